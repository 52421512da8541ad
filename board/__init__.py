"""Pages for people: what jobs do, round by round.

Decides how a job looks in a browser, and who is looking. It knows of Flow what `flow.client` answers, holds nothing but
a cookie, and no page needs a script or a file from elsewhere. Read `pages.py` first.
"""
