"""The Node Manager turns one order into one confined process on its host, watches it, and tells how it ended.

It decides how a process is started, confined, watched and ended, and what of an executor's words is believed. It never
decides which job runs or on which host, never asks another party, and keeps nothing of a job once the job is over.
Two processes meet here: `supervisor` is the Node Manager's own, `executor` the warm parent's and those of its
children. They know each other only by what lies flat beside them: the order, the assignment, the working folder, the
events. Read `order.py` first, then `events.py`, `supervisor/manager.py` and `executor/main.py`.
"""
