"""Components that train nothing: whether parties reach each other, and what their links and hosts bear.

They decide nothing about data and never see any. Read `noop.py` first.
"""
