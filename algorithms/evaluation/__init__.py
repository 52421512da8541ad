"""What a kept model is worth on a party's own rows, and what it says about each.

It decides which metrics a report holds. It never trains; how a kind of model scores rows is `models/`. Read
`evaluate.py` first.
"""
