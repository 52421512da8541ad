"""Training over rows that are split between parties, all with the same columns; an algorithm a file, all roles in it.

A file decides what is trained on the own rows and how it is scored. It never talks: the rounds are `federated/`. Read
`lr.py` first.
"""
