"""Paillier for vectors: keys and single ciphertexts, fixed-base powers, packing, encrypted vectors, tags of sums.

It decides what a ciphertext, a layout and a tag are. It never talks and knows no role. Read `vectors.py` first.
"""
