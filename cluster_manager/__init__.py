"""The Cluster Manager knows what this party's nodes can bear: it reserves for executors, and starts them there.

It decides on which node an executor runs, and how long a reservation holds. It never decides which task comes next,
makes no process (a node's Node Manager does), and keeps nothing of what executors tell: it passes that on. Read
`placement.py` first, which is pure, then `reservations.py` and `manager.py`.
"""
