"""`flow party …`: its commands, the party's services as processes, its policy."""
