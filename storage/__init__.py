"""What a party keeps at rest, and how values are written: tables, models, checkpoints, what tasks put out.

It decides where each thing lies, how it becomes visible whole or not at all, and what a file from outside must be to
become a table. It never knows a job's rules, another party or a network, and checks what it reads back. Read
`client.py`, the door, first; then `tables/store.py`, or `intake/sources.py` for uploads.
"""
