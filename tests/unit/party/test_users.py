from __future__ import annotations

import itertools
import json
from hashlib import sha256
from pathlib import Path

import pytest

from party.errors import BadUsers, LastOfficer, NotAllowed, NotAuthenticated, UserExists, UserUnknown, UserWasRemoved
from party.ids import InvalidName
from party.user_file import UserFile
from party.users import (
    KINDS,
    Thing,
    User,
    UserRole,
    Users,
    Verb,
    allows,
    authenticate,
    load_users,
    make_user,
    may,
    may_some,
    new_token,
    save_users,
)
from runtime.disk.files import write_whole
from runtime.errors import Denied, FileExposed

ALLOWED = {
    "scientist": """read job, read event, read metric, read log, read party, read table, read model, read report,
                    submit job, note job, upload table""",
    "operator": """read job, read event, read metric, read log, read party, read service, read table, stop job,
                   note job, clean job""",
    "officer": """read job, read event, read metric, read ledger, read party, read user, read policy, read table,
                  read model, read report, approve job, note job, clean job, trust party, manage user, manage policy,
                  manage table, manage model, delete table, delete model""",
    "auditor": """read job, read event, read metric, read log, read ledger, read party, read user, read policy,
                  read service, read table, read model, read report""",
}
OWN = {
    "scientist": """read rows, stop job, export table, export model, delete table, delete model, manage table,
                    manage model""",
}
NOBODYS = {"scientist": "read rows, export table, export model"}


def pairs(text: str) -> set[tuple[str, ...]]:
    return {tuple(pair.split()) for pair in text.split(",")} if text else set()


@pytest.mark.parametrize("role", list(UserRole))
def test_a_role_allows_exactly_what_is_written_here_and_nothing_else(role: UserRole) -> None:
    user = make_user("ada", [role])
    written = {"bob": pairs(ALLOWED[role])}
    written["ada"] = written["bob"] | pairs(OWN.get(role, ""))
    written[""] = written["bob"] | pairs(NOBODYS.get(role, ""))
    for owner, wanted in written.items():
        found = set()
        for verb, kind in itertools.product(Verb, KINDS):
            thing = Thing(kind, "x", owner)
            try:
                may(user, verb, thing)
            except NotAllowed:
                assert not allows(user, verb, thing)
                continue
            assert allows(user, verb, thing)
            may_some(user, verb, kind)
            found.add((str(verb), kind))
        assert found == wanted, owner


def test_who_may_do_so_to_nothing_at_all_is_refused_before_the_thing_is_known() -> None:
    may_some(make_user("ada", ["scientist"]), "stop", "job")
    with pytest.raises(NotAllowed, match="User ada may not stop job"):
        may_some(make_user("ada", ["officer", "auditor"]), "stop", "job")


def test_the_word_admin_of_older_files_reads_as_scientist_operator_and_officer(tmp_path: Path) -> None:
    row = {"name": "ada", "roles": ["admin", "auditor"], "token_sha256": sha256(b"t").hexdigest()}
    file = tmp_path / "users.json"
    write_whole(file, json.dumps({"schema": 1, "users": [row]}).encode())
    assert load_users(file).get("ada").roles == set(UserRole)
    with pytest.raises(BadUsers):
        make_user("eve", ["admin"])


def test_what_the_table_does_not_know_is_denied_to_everybody() -> None:
    everything = make_user("ada", UserRole)
    for verb, thing in [("erase", "job"), ("read", "secret"), ("", ""), ("READ", "job")]:
        with pytest.raises(Denied):
            may(everything, verb, thing)


def test_a_user_without_a_known_role_may_do_nothing() -> None:
    for roles in (frozenset[str](), frozenset({"root"})):
        for verb, kind in itertools.product(Verb, KINDS):
            with pytest.raises(NotAllowed):
                may(User("eve", roles), verb, kind)


def test_a_scientist_stops_and_deletes_only_what_is_their_own() -> None:
    ada = make_user("ada", ["scientist"])
    may(ada, Verb.STOP, Thing("job", "01J", owner="ada"))
    may(ada, Verb.DELETE, Thing("table", "a/b", owner="ada"))
    for owner in ("bob", "", "ADA"):
        with pytest.raises(NotAllowed):
            may(ada, Verb.STOP, Thing("job", "01J", owner=owner))
    with pytest.raises(NotAllowed):
        may(User("", frozenset({"scientist"})), Verb.STOP, Thing("job", "01J", owner=""))


def test_a_refusal_names_user_verb_thing_and_who_may() -> None:
    with pytest.raises(NotAllowed, match="User ada may not stop job 01J") as caught:
        may(make_user("ada", ["auditor"]), "stop", Thing("job", "01J"))
    assert caught.value.hint == "It takes the role operator, or the role scientist for one's own."


def test_a_token_belongs_to_one_user() -> None:
    ada, bob = new_token(), new_token()
    users = Users().added(make_user("ada", ["officer"]), ada).added(make_user("bob", ["scientist"]), bob)
    assert authenticate(users, ada).user.name == "ada"
    assert authenticate(users, bob).user == users.get("bob")
    for token in ("", "arch_", ada[:-1], ada + "x", ada.upper(), "x" * 1_000_000, "\ud800é"):
        with pytest.raises(NotAuthenticated):
            authenticate(users, token)
    with pytest.raises(NotAuthenticated):
        authenticate(Users(), ada)
    with pytest.raises(NotAuthenticated):
        authenticate(users.with_token("ada", new_token()), ada)
    with pytest.raises(NotAuthenticated):
        authenticate(users.without("bob"), bob)


def test_tokens_are_long_and_never_the_same() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) >= 48 for token in tokens)


def test_users_are_saved_with_digests_and_come_back(tmp_path: Path) -> None:
    token = new_token()
    users = Users().added(make_user("ada", ["officer", "scientist"]), token).added(make_user("bob", ["auditor"]), "t")
    users = users.with_password("ada", "$argon2id$v=19$m=64,t=2,p=1$a$b")
    save_users(tmp_path / "users.json", users)
    text = (tmp_path / "users.json").read_text()
    assert token not in text
    assert token.removeprefix("arch_") not in text
    assert load_users(tmp_path / "users.json") == users
    assert [user.name for user in users] == ["ada", "bob"]
    assert token not in repr(users)
    assert "argon2id" not in repr(users)


def test_a_user_name_is_given_once_and_unknown_ones_are_named() -> None:
    users = Users().added(make_user("ada", ["officer"]), "t")
    with pytest.raises(UserExists, match="ada"):
        users.added(make_user("ada", ["auditor"]), "u")
    with pytest.raises(UserUnknown, match="no user 'eve'") as caught:
        users.without("eve")
    assert caught.value.hint == "Known: ada."


def test_the_name_of_a_user_who_was_removed_goes_to_nobody_else(tmp_path: Path) -> None:
    file = UserFile(tmp_path)
    save_users(file.path, Users().added(make_user("ada", ["officer"]), "t"))
    file.add("bob", ["scientist"])
    file.remove("bob")
    with pytest.raises(UserWasRemoved, match="'bob' before, who still owns") as caught:
        file.add("bob", ["scientist"])
    assert "--again" in caught.value.hint
    file.set_roles("ada", ["officer", "auditor"])
    with pytest.raises(UserWasRemoved):
        file.add("bob", ["scientist"])
    file.add("bob", ["scientist"], again=True)
    file.add("carl", ["scientist"], again=True)
    assert file.read().removed == ()


def test_a_user_needs_a_legal_name_and_a_known_role() -> None:
    with pytest.raises(InvalidName):
        make_user("../ada", ["officer"])
    with pytest.raises(BadUsers, match="root") as caught:
        make_user("ada", ["root"])
    assert "scientist, operator, officer, auditor" in caught.value.hint
    with pytest.raises(BadUsers, match="no role"):
        make_user("ada", [])


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        json.dumps({"schema": 2, "users": []}),
        json.dumps({"schema": 1}),
        json.dumps({"schema": 1, "users": 5}),
        json.dumps({"schema": 1, "users": ["ada"]}),
        json.dumps({"schema": 1, "users": [{"name": "ada", "roles": ["root"], "token_sha256": "00"}]}),
        json.dumps({"schema": 1, "users": [{"name": "ada", "roles": ["officer"]}]}),
        json.dumps({"schema": 1, "users": [{"name": 5, "roles": ["officer"], "token_sha256": "00"}]}),
        json.dumps({"schema": 1, "users": [{"name": "ada", "roles": ["officer"], "token_sha256": "short"}]}),
    ],
)
def test_a_damaged_users_file_is_refused_by_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "users.json").write_text(content)
    (tmp_path / "users.json").chmod(0o600)
    with pytest.raises(BadUsers, match=r"users\.json"):
        load_users(tmp_path / "users.json")


def test_a_users_file_that_others_may_change_is_refused(tmp_path: Path) -> None:
    save_users(tmp_path / "users.json", Users())
    (tmp_path / "users.json").chmod(0o620)
    with pytest.raises(FileExposed, match=r"users\.json"):
        load_users(tmp_path / "users.json")


def test_an_absent_users_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadUsers, match=r"users\.json"):
        load_users(tmp_path / "users.json")


def test_the_last_officer_can_neither_be_removed_nor_become_something_else() -> None:
    users = Users().added(make_user("ada", ["officer"]), "t").added(make_user("bob", ["scientist"]), "u")
    for leave in (lambda: users.without("ada"), lambda: users.with_roles("ada", ["scientist", "auditor"])):
        with pytest.raises(LastOfficer) as refused:
            leave()
        assert refused.value.hint == "Make somebody else one first."
    more = users.with_roles("bob", ["officer"])
    assert [user.name for user in more.without("ada")] == ["bob"]
    assert users.with_roles("ada", ["officer", "auditor"]).get("ada").roles == {"officer", "auditor"}
    with pytest.raises(UserUnknown):
        users.with_roles("eve", ["officer"])


def test_changing_users_changes_what_their_sessions_rest_on() -> None:
    users = Users().added(make_user("ada", ["officer"]), "t")
    changed = [users, users.with_token("ada", "u"), users.with_password("ada", "$argon2id$a")]
    assert len({each.account("ada").credential for each in changed}) == 3
    assert users.with_roles("ada", list(UserRole)).account("ada").credential == users.account("ada").credential
