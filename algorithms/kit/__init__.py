"""What several algorithms share: how a task over split rows begins, rows as arrays, scores, long vectors, side blocks.

It decides what suits: columns, labels, rows in all. It never decides how vectors are written, hidden or added up. Read
`admission.py` first.
"""
