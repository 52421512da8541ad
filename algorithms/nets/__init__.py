"""Neural networks in torch, by name: how each is built, started and trained on one trainer's rows.

Imported only by functions that run, so that everything else needs no torch. It never knows of other parties. Read
`spec.py` first.
"""
