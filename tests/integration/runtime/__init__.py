"""Tests of the room runtime over real sockets."""
