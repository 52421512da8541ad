"""To and from other parties' gateways: the public port, the lines to peers, what is delivered and what is taken.

Decides who is let in (by pinned certificate), how much a caller may cost, when a delivery is tried again, and whether
an envelope is kept. It never reads a value beyond what the contract's line asks, and never tells a stranger why it was
turned away. Read delivery.py for the way out, front.py and inbound.py for the way in.
"""
