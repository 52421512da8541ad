"""Who may see what a trainer contributes; one scheme a file."""
