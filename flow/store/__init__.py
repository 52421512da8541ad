"""What Flow remembers: tables, moves and queries, the same on SQLite and MySQL."""
