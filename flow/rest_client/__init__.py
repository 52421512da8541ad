"""What a party's REST interface may be asked, by the subjects of `flow.rest.routes`; `flow.client` puts it together.

Decides how often a question is asked again while a service is away, and nothing else. Read `http.py` first.
"""
