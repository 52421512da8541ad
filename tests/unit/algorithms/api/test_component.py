"""What a policy asks of a component: does it put numbers of several parties together, and what protects them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from algorithms.api.component import Terms, weakest_protection
from algorithms.api.conversation import Line, Protection
from algorithms.api.ports import ModelUse
from algorithms.registry import component, components
from party.ids import Role
from storage.client import Kind
from tests.fixtures.algorithms import ENCRYPTED, FIXED_POINT

PLAIN, HIDDEN = Protection.PLAIN, Protection.ENCRYPTED
TRAININGS = ("homo_lr", "homo_nn", "scale")


@pytest.mark.parametrize("name", TRAININGS)
@pytest.mark.parametrize(
    ("settings", "weakest"),
    [({}, PLAIN), (FIXED_POINT, PLAIN), (ENCRYPTED, HIDDEN)],
)
def test_a_training_is_as_protected_as_its_weakest_message_about_rows(name, settings, weakest):
    made = component(name)
    assert weakest_protection(made, Terms(made.parameters.model_validate(settings))) is weakest
    assert made.training_roles == {Role.GUEST, Role.HOST}
    assert made.safe_trainers == 3


@pytest.mark.parametrize(
    ("name", "settings"),
    [("noop", {}), ("ballast", {}), ("exchange", {}), ("evaluate", {}), ("predict", {}), ("scale", {"fit": False})],
)
def test_what_says_nothing_about_rows_needs_no_protection(name, settings):
    made = component(name)
    assert weakest_protection(made, Terms(made.parameters.model_validate(settings))) is None


def test_a_line_that_says_nothing_of_itself_counts():
    line = Line("x", frozenset(), frozenset(), Kind.ARRAY, 1, PLAIN, "Numbers.")
    made = replace(component("noop"), conversation=lambda _terms: (line,))
    assert weakest_protection(made, Terms(made.parameters())) is PLAIN


def test_protections_have_an_order():
    strengths = [p.strength for p in (PLAIN, Protection.MASKED, HIDDEN, Protection.AGGREGATE_SEALED)]
    assert strengths == [0, 1, 2, 3]


def test_inputs_say_what_a_model_is_used_for():
    used = {name: component(name).inputs["model"].use for name in (*TRAININGS, "evaluate", "predict")}
    assert [name for name, use in used.items() if use is ModelUse.START] == ["homo_lr", "homo_nn"]


@pytest.mark.parametrize("found", components(), ids=lambda found: found.reference)
def test_every_component_says_who_learns_what(found):
    assert all(spec.learned(Terms(found.parameters())) for spec in found.roles.values())


def test_what_an_arbiter_learns_depends_on_the_protection():
    made = component("homo_lr")
    terms = (Terms(made.parameters.model_validate({"protection": {"kind": how}})) for how in ("plain", "paillier"))
    plain, hidden = (made.roles[Role.ARBITER].learned(each) for each in terms)
    assert "in the clear" in plain
    assert "encrypted" in hidden


def test_a_line_of_no_kind_of_value_is_refused_when_it_is_made():
    with pytest.raises(TypeError, match="Line 'x': 'integer' is no kind of value"):
        Line("x", frozenset(), frozenset(), "integer", 1, PLAIN, "Numbers.")
