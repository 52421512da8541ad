"""The columns that a table may have: their types, their roles, ids that differ, and what storing them changes."""
