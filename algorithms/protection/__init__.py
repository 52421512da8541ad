"""Who may see what a trainer contributes, a scheme a file.

It decides which keys there are, who holds them and what the arbiter is sent. It never changes a number. Read
`settings.py` first.
"""
