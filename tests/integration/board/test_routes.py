"""Every page asks who looks: none is served to a stranger but the login and what it is made of."""

from __future__ import annotations

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts

from board.app import create_app
from board.context import checked_form, logged_in
from board.cookies import VisitCookie
from board.metrics import permitted
from flow.client import FlowClient, Visitors
from party.ids import party_id

OPEN = {("GET", "/login"), ("POST", "/login"), ("POST", "/logout"), ("GET", "/plotly.js")}
BY_TOKEN = {("GET", "/metrics")}


def calls(dependant: Dependant) -> set[object]:
    return {dependant.call}.union(*(calls(below) for below in dependant.dependencies))


def test_every_page_needs_a_login_and_every_form_its_proof() -> None:
    with FlowClient("http://127.0.0.1:1") as flow:
        app = create_app(flow, VisitCookie(b"k" * 32, party_id("hospital-a")), Visitors(b"k"), "hospital-a")
    seen = set()
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if not isinstance(route, APIRoute):
            assert getattr(route, "path", "") == "/static"
            continue
        for method in route.methods:
            seen.add((method, str(context.path)))
            if (method, str(context.path)) not in OPEN:
                proof = permitted if (method, str(context.path)) in BY_TOKEN else logged_in
                assert proof in calls(route.dependant), (method, context.path)
            if method != "GET":
                assert checked_form in calls(route.dependant), (method, context.path)
    assert seen >= OPEN | BY_TOKEN
    assert len(seen) > 10
