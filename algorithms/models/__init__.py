"""Kinds of kept models, each a file: what one holds and how it scores rows.

It decides whether a model suits a table, and its probabilities. It never trains. Read `inference.py` first.
"""
