"""What runs in the Node Manager's own process: it takes orders, has executors forked, watches them, reads their logs.

It decides when a process is started, adopted, killed and taken for lost, and how much of a log is passed on. It never
forks (the warm parent does) and runs no line of component code. Read `manager.py` first, then `supervisor.py`.
"""
