"""Paillier for vectors: keys and single ciphertexts, fixed-base powers, packing, encrypted vectors."""
