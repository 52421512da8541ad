"""What every service stands on, whoever it serves: the lowest room.

It decides how a process of ours behaves towards its host and its callers: when it is ready and stops, what it logs,
how it keeps files, what a full disk or a foreign text is told as, how many may wait at a door, and of which five kinds
every error is. It never knows a party, a home, a job or a message, and imports no other room. Read `errors.py` first.
"""
