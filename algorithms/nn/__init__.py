"""Neural networks in torch. Imported only by role functions, so that everything else runs without torch."""
