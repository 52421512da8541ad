"""Who we are: ids, card, keys, home, settings, users, and whom we trust.

It decides what a party is called, which file holds which secret, who of its people may do what, and which other
parties are believed. It never listens, and knows no job. Read `home.py` first.
"""
