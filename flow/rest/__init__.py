"""The REST interface of a party: every route under /v1, described by OpenAPI.

Decides who calls and whether they may (`who.py`), and how an error is answered (`errors.py`). A route asks Flow and
shows what it says; no route decides about a job. Read `app.py` first.
"""
