"""How the database came to its present form: a file a version, run in order by `flow.store.upgrade`.

A version that was released is never changed. Read `v0001_first.py` first.
"""
