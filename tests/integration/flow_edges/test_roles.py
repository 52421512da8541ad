"""Who may do what over REST: every route asks, and answers each role as the one table of roles says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import APIRouter, Depends
from fastapi.routing import APIRoute, iter_route_contexts

from flow.rest.access import caller, guarded, guards_of
from party.errors import NotAllowed
from party.users import User, UserRole, make_user, may_some
from runtime.errors import Denied
from tests.fakes.flow_party import FakeParty, job_json
from tests.fakes.flow_service import waiting_for_person

OPEN_ROUTES = {("GET", "/v1/health"), ("POST", "/v1/sessions/ticket"), ("POST", "/v1/sessions/password")}


@pytest.fixture(scope="module", autouse=True)
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=60) as client:
        yield client


def routes(party: FakeParty) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """Every route of the application: method and path, and what its guards ask."""
    found = {}
    for context in iter_route_contexts(party.app.routes):
        route = context.original_route
        assert isinstance(route, APIRoute), f"{route} is served without a guard"
        for method in route.methods or ():
            found[method, str(context.path)] = guards_of(route.dependant)
    return found


def status(http: httpx.Client, party: FakeParty, route: tuple[str, str], token: str | None) -> int:
    """How the party answers a request that names nothing that exists; streams are left at once."""
    method, path = route
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    address = f"http://127.0.0.1:{party.server.port}{path.replace('{', 'x').replace('}', '')}"
    with http.stream(method, address, headers=headers) as answer:
        if answer.status_code == httpx.codes.UNAUTHORIZED and token != "own":
            assert answer.headers["www-authenticate"] == "Bearer"
        return answer.status_code


def test_every_route_has_a_guard_but_those_that_are_open_to_all(party: FakeParty) -> None:
    found = routes(party)
    assert len(found) > 25
    assert {route for route, guards in found.items() if not guards} == OPEN_ROUTES


def test_an_application_with_a_route_that_asks_nobody_is_not_served() -> None:
    def nothing() -> None: ...

    router = APIRouter()
    router.add_api_route("/known", nothing, dependencies=[Depends(caller)])
    with pytest.raises(TypeError, match="/known has no guard"):
        guarded(router)
    mounted = APIRouter()
    mounted.add_route("/raw", lambda _request: None)
    with pytest.raises(TypeError, match="no guard"):
        guarded(mounted)


def test_every_route_but_the_open_ones_needs_a_token(http: httpx.Client, party: FakeParty) -> None:
    for route in sorted(set(routes(party)) - OPEN_ROUTES):
        for token in (None, "wrong", "s1.e30.x"):
            assert status(http, party, route, token) == httpx.codes.UNAUTHORIZED, (route, token)


@pytest.mark.parametrize("role", list(UserRole))
def test_every_route_answers_a_role_as_the_table_says(http: httpx.Client, party: FakeParty, role: UserRole) -> None:
    user = make_user(f"matrix-{role}", [role])
    token = party.home.user_file.add(user.name, user.roles)
    for route, guards in sorted(routes(party).items()):
        denied = status(http, party, route, token) == httpx.codes.FORBIDDEN
        assert denied != all(_passes(user, *guard) for guard in guards if guard[0]), (route, guards)


def _passes(user: User, verb: str, kind: str) -> bool:
    try:
        may_some(user, verb, kind)
    except NotAllowed:
        return False
    return True


@pytest.mark.parametrize(
    ("roles", "denied"),
    [
        (["auditor"], ["submit", "resume", "stop", "approve", "upload", "head", "delete", "reload"]),
        (["operator"], ["submit", "resume", "approve", "upload", "head", "delete", "reload"]),
        (["officer"], ["submit", "resume", "stop", "upload", "head", "logs"]),
        (["scientist"], ["stop", "approve", "head", "delete", "reload"]),
    ],
    ids=["auditor", "operator", "officer", "scientist"],
)
def test_a_role_may_do_to_what_is_others_what_the_table_says(
    party: FakeParty, tmp_path: Path, roles: list[str], denied: list[str]
) -> None:
    job = party.client.submit(job_json())
    party.service.change(job, waiting_for=(waiting_for_person("hospital-a"),))
    file = tmp_path / "t.csv"
    file.write_text("id,x\n1,2\n")
    name = f"roles/{roles[0]}"
    party.client.upload(file, name)
    user = party.client_of(f"user-{roles[0]}", *roles)
    actions = {
        "submit": lambda: user.submit(job_json()),
        "resume": lambda: user.resume(job, {}),
        "metrics": lambda: user.metrics(job),
        "logs": lambda: user.logs(job),
        "upload": lambda: user.upload(file, "roles/other"),
        "head": lambda: user.head(name),
        "delete": lambda: user.delete(name),
        "approve": lambda: user.approve(job, user.proposal(job).digest),
        "stop": lambda: user.stop(job),
        "reload": user.reload,
    }
    refused = []
    for action, do in actions.items():
        try:
            do()
        except Denied as error:
            refused.append((action, error.code))
    assert set(refused) == {(action, "party.not_allowed") for action in denied}


def test_rows_are_shown_to_the_owner_of_a_table_and_to_scientists_where_it_has_none(
    party: FakeParty, tmp_path: Path
) -> None:
    file = tmp_path / "t.csv"
    file.write_text("id,x\n1,2\n")
    ada, eve = (party.client_of(name, "scientist") for name in ("rows-ada", "rows-eve"))
    ada.upload(file, "rows/own")
    party.tables.upload(str(file), "rows/free")
    assert ada.head("rows/own").rows == ((1, 2),)
    assert eve.table("rows/own").rows == 1
    with pytest.raises(Denied, match="may not read rows of rows/own@1"):
        eve.head("rows/own")
    assert eve.head("rows/free").rows == ((1, 2),)
