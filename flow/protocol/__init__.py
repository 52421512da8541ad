"""What parties say to each other about a job, and how a party decides what it answers to a proposal.

Decides whether we agree, under which conditions, what a person is shown, and whether a manifest is what was agreed on.
Pure: what the decision needs is looked up before and passed in (`knowledge.py`); nothing is sent, stored or read here.
Read `messages.py` first, then `agreement.py`.
"""
