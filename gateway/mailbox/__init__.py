"""What a gateway holds: one interface, a body in memory and one on disk."""
