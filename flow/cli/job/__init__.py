"""`flow job …`: its commands, a job as text, and a job run here in one process."""
