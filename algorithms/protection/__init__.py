"""What may be seen of what a trainer contributes."""
