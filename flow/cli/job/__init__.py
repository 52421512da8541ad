"""`flow job …`: its commands, and jobs as text."""
