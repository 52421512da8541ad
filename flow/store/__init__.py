"""Flow's database: what is known of every job at this party, so that all of it goes on after any restart.

Decides whether a transition is still possible when it is written (a compare-and-swap), and writes the event that tells
of it. It never calls another room, and never decides that something should happen. Read `tables.py` first, then
`transitions.py`; `live.py` is what of it is in memory.
"""
