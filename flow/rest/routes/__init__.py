"""Every route under /v1, by subject. Each checks who asks, asks Flow or a room below, and shows what that says."""
