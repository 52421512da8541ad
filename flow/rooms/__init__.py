"""What Flow needs of the rooms below, and how it reaches them: gateway, Cluster Manager, the party's store.

Decides nothing about jobs; it says what is there: what this party holds and of what it was made (`holdings.py`), what
other parties answer (`peer_calls.py`), whether our wall clock may be believed (`own_clock.py`). Read `ports.py` first.
"""
