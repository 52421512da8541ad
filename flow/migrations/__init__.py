"""How the database came to its present form; run by `flow.store.upgrade`."""
