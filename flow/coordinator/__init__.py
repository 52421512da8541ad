"""The party that leads a job: snapshots, moves, errands, and what other parties tell it."""
