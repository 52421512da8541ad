"""Policies by command line and REST: of the party, of tables, of models."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from party.home import SETTINGS_FILE, PartyHome
from party.settings_file import change_policy
from runtime.errors import Denied
from storage.client import Model, TableRoles, UsePolicy
from tests.fakes.flow_party import FakeParty
from tests.integration.flow_edges.conftest import Command

MODEL = "01M84NKVCS9025W7T6P1XBY3P8/train.model"


@pytest.fixture
def table(party: FakeParty, tmp_path: Path) -> str:
    """A table of the first user."""
    (tmp_path / "t.csv").write_text("id,x\n1,2\n")
    return party.client.upload(tmp_path / "t.csv", "breast/train", roles=TableRoles(id="id")).name


def test_the_policy_of_a_running_party_is_changed_in_its_file_and_taken_up(party: FakeParty, flow: Command) -> None:
    assert 'accept = "ask"' in flow("party", "policy", "show").out
    done = flow("party", "policy", "set", "accept=agree", "peers=hospital-b,coordinator", "min_trainers=3", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert (told["accept"], told["peers"], told["min_trainers"]) == ("agree", ["hospital-b", "coordinator"], 3)
    assert PartyHome(party.home.root).settings.policy.accept == "agree"
    assert json.loads(flow("party", "policy", "show", "--json").out) == told


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["accept=maybe"], "policy.accept: input should be 'agree', 'ask' or 'refuse'"),
        (["acept=ask"], "did you mean 'accept'"),
        (["accept"], "write key=value"),
        (
            ["components=homo_lr,homo_rl@1"],
            "policy.components: no component 'homo_rl@1' is installed here; did you mean",
        ),
        (["peers=hospitl-b"], "policy.peers: 'hospitl-b' is not a party that we trust; did you mean 'hospital-b'?"),
        (['min_protection={"homo_rl": "encrypted"}'], "policy.min_protection: no component 'homo_rl' is installed"),
    ],
)
def test_a_wrong_change_is_named_and_changes_nothing(
    party: FakeParty, flow: Command, words: list[str], says: str
) -> None:
    before = (party.home.root / "party.toml").read_text()
    done = flow("party", "policy", "set", *words)
    assert done.code == 2
    assert says in " ".join(done.err.lower().split())
    assert (party.home.root / "party.toml").read_text() == before


def test_the_settings_file_of_a_party_that_is_down_is_changed(flow: Command, tmp_path: Path) -> None:
    home = tmp_path / "down"
    assert flow("party", "init", "down", "--home", home).code == 0
    done = flow("party", "policy", "set", 'min_protection={"homo_lr": "encrypted"}', "--home", home)
    assert done.code == 0, done.err
    assert "is not running" in done.err
    assert PartyHome(home).settings.policy.min_protection == {"homo_lr": "encrypted"}


def test_names_that_fit_nothing_here_are_noted_where_the_party_is_down_and_once_it_is_up(
    party: FakeParty, flow: Command, tmp_path: Path
) -> None:
    home = tmp_path / "down"
    assert flow("party", "init", "down", "--home", home).code == 0
    done = flow("party", "policy", "set", "peers=nobody", "--home", home)
    assert done.code == 0, done.err
    assert "Note: policy.peers: 'nobody' is not a party that we trust." in done.out
    change_policy(party.home.root / SETTINGS_FILE, {"components": ["homo_rl"]})
    note = "policy.components: no component 'homo_rl' is installed here."
    assert f"Note: {note}" in flow("party", "policy", "show").out
    assert f"Note: {note}" in flow("party", "status").out
    assert note in json.loads(flow("party", "policy", "show", "--json").out)["notes"][0]


def test_only_an_officer_changes_the_policy(party: FakeParty) -> None:
    scientist = party.client_of("sam", "scientist")
    with pytest.raises(Denied):
        scientist.change_policy({"accept": "agree"})
    assert party.client_of("olga", "officer").change_policy({"accept": "agree"}).accept == "agree"


def test_what_a_table_may_be_used_for_is_shown_set_and_taken_back(party: FakeParty, flow: Command, table: str) -> None:
    party.client_of("eve", "scientist")
    assert "peers: *" in flow("data", "policy", table).out
    done = flow(
        "data",
        "policy",
        table,
        "--peers",
        "hospital-b",
        "--min-rows",
        "50",
        "--expires",
        "2030-01-31",
        "--users",
        "eve",
        "--json",
    )
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert (told["peers"], told["min_rows"], told["expires"]) == (["hospital-b"], 50, "2030-01-31T00:00:00Z")
    assert told["users"] == ["eve"]
    kept = json.loads(flow("data", "policy", table, "--expires", "never", "--json").out)
    assert (kept["peers"], kept["expires"]) == (["hospital-b"], None)
    words = flow("data", "policy", table, "--components", "").out
    assert ("expires: never" in words, "components: none" in words, "None" in words) == (True, True, False)
    assert json.loads(flow("data", "policy", table, "--clear", "--json").out)["peers"] == ["*"]
    assert flow("data", "policy", table, "--expires", "soon").code == 2
    assert flow("data", "policy", table, "--clear", "--peers", "b").code == 2
    assert flow("data", "policy", "no/table").code == 3


def test_a_model_is_granted_to_other_parties_by_name(party: FakeParty, flow: Command) -> None:
    party.client_of("evan", "scientist")
    party.store.models.save(MODEL, Model("linear", 1, {"w": np.zeros(2)}), "guest")
    assert json.loads(flow("model", "policy", MODEL, "--json").out)["peers"] == []
    done = flow("model", "policy", MODEL, "--peers", "coordinator", "--users", "evan", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["peers"] == ["coordinator"]
    assert party.store.use.of_model(MODEL) == UsePolicy(peers=("coordinator",), users=("evan",))
    assert json.loads(flow("model", "policy", MODEL, "--clear", "--json").out)["peers"] == []
    assert flow("model", "policy", f"{MODEL}x").code == 3


def test_only_its_owner_or_an_officer_says_what_a_table_may_be_used_for(party: FakeParty, table: str) -> None:
    policy = UsePolicy(peers=("hospital-b",))
    with pytest.raises(Denied):
        party.client_of("sally", "scientist").set_table_policy(table, policy)
    assert party.client_of("otto", "officer").set_table_policy(table, policy) == policy
    assert party.client.set_table_policy(table, None) == UsePolicy()


def test_what_was_made_of_a_deleted_table_is_freed_by_nobody_else(
    party: FakeParty, flow: Command, tmp_path: Path
) -> None:
    file = tmp_path / "t.csv"
    file.write_text("id,x\n1,2\n")
    ada, eve = (party.client_of(name, "scientist") for name in ("policy-ada", "policy-eve"))
    ada.upload(file, "gone/table")
    policy = ada.set_table_policy("gone/table", UsePolicy(components=("homo_lr",)))
    ada.delete("gone/table")
    assert eve.table_policy("gone/table") == policy
    with pytest.raises(Denied):
        eve.set_table_policy("gone/table", None)
    with pytest.raises(Denied):  # nor may another take its name
        eve.upload(file, "gone/table")
    assert flow("data", "policy", "gone/table", "--components", "evaluate").code == 0, (
        "an officer may, for a deleted one"
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--components", "homo_rl"], "components: no component 'homo_rl' is installed here; did you mean 'homo_lr'?"),
        (
            ["--components", "homo_lr@99"],
            "components: no component 'homo_lr@99' is installed here; did you mean 'homo_lr@1'?",
        ),
        (["--components", "evaluate", "--components", "hexagon_*"], "no component 'hexagon_*' is installed here"),
        (["--peers", "hospitl-b"], "peers: 'hospitl-b' is not a party that we trust; did you mean 'hospital-b'?"),
        (["--users", "nobody-here"], "users: this party has no user 'nobody-here'"),
        (["--expires", "2025-12-31"], "expires: 2025-12-31 00:00 UTC is over"),
    ],
)
def test_a_use_policy_that_names_what_is_not_known_or_is_over_is_refused_and_changes_nothing(
    party: FakeParty, flow: Command, table: str, words: list[str], says: str
) -> None:
    party.store.models.save(MODEL, Model("linear", 1, {"w": np.zeros(2)}), "guest")
    for kind, name in (("data", table), ("model", MODEL)):
        before = flow(kind, "policy", name, "--json").out
        done = flow(kind, "policy", name, *words)
        assert done.code == 2
        assert says in " ".join(done.err.split())
        assert flow(kind, "policy", name, "--json").out == before


def test_patterns_and_versions_of_what_is_known_are_taken(party: FakeParty, flow: Command, table: str) -> None:
    words = ["--components", "homo_*,evaluate@1", "--peers", "hospital-*", "--users", "*"]
    done = flow("data", "policy", table, *words, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["components"] == ["homo_*", "evaluate@1"]


def test_a_use_policy_keeps_what_was_known_when_it_was_set(party: FakeParty, flow: Command, table: str) -> None:
    over = datetime(2025, 1, 1, tzinfo=UTC)
    party.store.use.set_table(
        table, UsePolicy(peers=("left-us",), components=("old@1",), users=("gone",), expires=over)
    )
    assert flow("data", "policy", table, "--min-rows", "5").code == 0
    assert party.store.use.of_table(table).peers == ("left-us",)
