"""What is suggested for a name that is not known."""

from __future__ import annotations

import pytest

from flow.job.spec import ResourceSpec
from flow.rest_client.paths import NotAnOutput, NothingNamed, output_path, part
from party.errors import BadUsers
from party.users import make_user
from runtime.suggestions import did_you_mean


def test_the_nearest_name_is_suggested_or_all_are_listed() -> None:
    assert did_you_mean("memroy", ["cores", "memory", "gpus"]) == "Did you mean 'memory'?"
    assert did_you_mean("xyz", ["b", "a"]) == "There are: a, b."
    assert did_you_mean("x", []) == "There are none yet."
    many = [f"column{i}" for i in range(10_000)]
    assert did_you_mean("zz" * 10_000, many).startswith("There are: column0, column1, ")


@pytest.mark.parametrize(("given", "meant"), [("cpus", "cores"), ("cpu", "cores"), ("ram", "memory"), ("gpu", "gpus")])
def test_other_words_for_resources_suggest_ours(given: str, meant: str) -> None:
    assert did_you_mean(given, ResourceSpec.model_fields) == f"Did you mean '{meant}'?"


@pytest.mark.parametrize("given", ["secure", "encryption"])
def test_other_words_for_who_may_see_updates_suggest_ours(given: str) -> None:
    assert did_you_mean(given, ["rounds", "server", "protection"]) == "Did you mean 'protection'?"


def test_an_empty_name_is_no_other_path() -> None:
    with pytest.raises(NothingNamed, match="An empty text names nothing"):
        part("")
    assert part("../a b") == "..%2Fa%20b"


def test_a_role_that_is_none_suggests_the_one_that_was_meant() -> None:
    with pytest.raises(BadUsers, match=r"'sceintist' is no role\. Did you mean 'scientist'\?"):
        make_user("ada", ["sceintist"])


def test_an_output_is_named_as_it_was_typed() -> None:
    with pytest.raises(NotAnOutput, match=r"'train\.model' is not the name of one of the models"):
        output_path("models", "train.model")
    assert output_path("models", "job:J/train.model") == "/models/J/train.model"
