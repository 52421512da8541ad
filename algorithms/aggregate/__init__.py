"""How the trainers' vectors become one: each trainer contributes, the arbiter adds.

It decides in which parts a vector goes out and how its sum comes back whole. It never decides how numbers are written
(`encoding/`) or who may see them (`protection/`). Read `contributor.py` first.
"""
