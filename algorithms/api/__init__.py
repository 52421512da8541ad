"""What a person who writes an algorithm reads, and nothing else: component, conversation, context, channel, errors.

It decides what a component may declare and what its functions may touch. It never computes and knows no algorithm; what
it is has a version (`algorithms.code_digest`). Read `component.py` first.
"""
