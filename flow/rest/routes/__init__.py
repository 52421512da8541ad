"""Every route under /v1, by subject."""
