"""Starts several rooms of one party in one process, and several parties on one machine for the demo.

It stands outside the floors: no room imports it.
"""
