"""A party's home as it was stored when formats were frozen: every later release opens it.

`home.tar.gz` is the home of `north` after the job in `job.json` with two other parties, its services stopped;
`expected.json` says what is in it. Made once, by `python -m tests.vectors.home_v1.make FOLDER`. A format that changes
on purpose gets a `home_v2` beside it, and this one must still open.
"""
