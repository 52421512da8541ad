"""Federated training: what a round is made of, each concept a group of parameters and pure functions on it."""
