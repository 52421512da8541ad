"""Federated training in rounds: each concept a group of parameters and pure functions on it.

It decides what a round is made of, when training stops and which settings do not go together. It never knows a model or
a row: those are a learner's. Read `trainer.py` first.
"""
