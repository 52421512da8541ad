"""Flow-to-Flow calls: a signed request to another party's Flow and its signed answer.

Decides whether a call is fresh, new, and of whom it says it is, and which subscriber of our own is asked. It never
reads a method or a body, and knows no connection: the way to a party is given to it. Read calls.py first.
"""
