"""Components are found by name."""

from __future__ import annotations

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from algorithms import registry
from algorithms.api.component import Component, Terms
from algorithms.api.errors import InstalledTwice, NotInstalled, RolesRefused, UnknownComponent
from algorithms.registry import component, components
from party.ids import Role
from runtime.errors import PlatformError, all_codes

ROOT = Path(__file__).parents[3]


def test_a_component_is_found_with_and_without_its_version():
    assert component("homo_lr@1") is component("homo_lr")
    assert component("noop").reference == "noop@1"


@pytest.mark.parametrize(
    ("reference", "hint"),
    [
        ("homo_rl@1", "Did you mean 'homo_lr'?"),
        ("homo_lr@2", "'homo_lr@1'"),
        ("zzz", "There are: ballast, evaluate, exchange, homo_lr"),
    ],
)
def test_an_unknown_component_says_what_was_meant(reference, hint):
    with pytest.raises(UnknownComponent, match=reference) as caught:
        component(reference)
    assert hint in caught.value.hint


def test_every_component_of_ours_is_listed():
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][registry.GROUP]
    assert {made.name for made in components()} >= ours.keys()


@pytest.fixture
def installed(monkeypatch):
    """What is installed, as entry points."""
    find = registry._sources.__wrapped__

    def install(**installed):
        entries = [EntryPoint(name, value, registry.GROUP) for name, values in installed.items() for value in values]
        monkeypatch.setattr(registry, "entry_points", lambda group: entries)
        monkeypatch.setattr(registry, "_sources", find)

    return install


def test_a_checkout_that_is_not_installed_says_so_and_what_to_do(installed):
    for installation in ({}, {"toy": ["toy_room:TOY"]}):
        installed(**installation)
        with pytest.raises(NotInstalled, match="from a checkout that is not installed") as caught:
            component("homo_lr@1")
        assert "pip install -e ." in caught.value.hint


def test_a_checkout_that_has_changed_since_it_was_installed_says_so(installed):
    installed(gone=["algorithms.gone:COMPONENT"])
    with pytest.raises(NotInstalled, match=r"as algorithms\.gone:COMPONENT, which is not there") as caught:
        components()
    assert "pip install -e ." in caught.value.hint


def test_two_components_of_one_name_are_refused(installed):
    installed(noop=["algorithms.diagnostics.noop:COMPONENT"] * 2)
    assert component("noop").name == "noop"
    installed(noop=["algorithms.diagnostics.noop:COMPONENT", "other_room:NOOP"])
    with pytest.raises(InstalledTwice, match="Two installed packages have a component 'noop'"):
        components()


@pytest.mark.parametrize("made", components(), ids=lambda made: made.name)
def test_what_must_be_shared_are_parameters_of_the_component(made):
    assert made.parameters().shared().keys() <= made.parameters.model_fields.keys()


def test_an_entry_point_that_is_no_component_is_refused(monkeypatch):
    entry = EntryPoint("odd", "math:pi", registry.GROUP)
    monkeypatch.setattr(registry, "_sources", lambda: {"odd": entry})
    with pytest.raises(UnknownComponent, match="odd"):
        component("odd")


def test_a_role_below_its_minimum_is_refused():
    made: Component = component("homo_lr")
    with pytest.raises(RolesRefused, match="at least 1 arbiter, the task has 0"):
        made.require(Terms(made.parameters(), {Role.GUEST: ["a"]}))


def test_error_codes_of_the_room_are_unique():
    found = [error for error in _all(PlatformError) if error.__module__ == "algorithms.api.errors"]
    codes = [error.code for error in found]
    assert len(set(codes)) == len(codes) > 1
    assert all(all_codes()[code] is error for code, error in zip(codes, found, strict=True))


def _all(error):
    return [error, *(e for sub in error.__subclasses__() for e in _all(sub))]
