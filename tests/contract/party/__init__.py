"""Tests of the room party."""
