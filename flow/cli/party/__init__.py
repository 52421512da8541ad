"""`flow party …`: its commands, the launcher as a process, policies."""
