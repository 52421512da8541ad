"""The mathematics of several parties: what is computed on each side of a task, and what the sides say to each other.

It decides what a component asks for, says, learns and makes. It never opens a file, a connection or a database: inputs,
outputs, messages and what survives a restart come through the context. Read `homo/lr.py` first, an algorithm as one
file, then `api/`.
"""
