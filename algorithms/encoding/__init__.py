"""How a trainer writes its numbers before it contributes them, a scheme a file.

It decides precision and range, and what rounding leaves for the next vector. It never sends, and hides nothing. Read
`settings.py` first.
"""
