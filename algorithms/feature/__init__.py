"""Columns made ready for training, alike at all parties; a component a file.

It decides what becomes of a column. It never looks at a label. Read `scale.py` first.
"""
