"""Components are found by name; their digest is that of their sources."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from importlib.metadata import EntryPoint

import pytest

from algorithms import registry
from algorithms.component import Component, RoleSpec, Terms, _sources
from algorithms.errors import RolesRefused, UnknownComponent
from algorithms.registry import component, components
from party.errors import PlatformError, all_codes
from party.ids import Role


def test_a_component_is_found_with_and_without_its_version():
    assert component("homo_lr@1") is component("homo_lr")
    assert component("noop").reference == "noop@1"


@pytest.mark.parametrize(
    ("reference", "hint"),
    [
        ("homo_rl@1", "Did you mean 'homo_lr'?"),
        ("homo_lr@2", "'homo_lr@1'"),
        ("zzz", "Installed are evaluate, exchange, homo_lr"),
    ],
)
def test_an_unknown_component_says_what_was_meant(reference, hint):
    with pytest.raises(UnknownComponent, match=reference) as caught:
        component(reference)
    assert hint in caught.value.hint


def test_every_component_of_ours_is_listed():
    assert {made.name for made in components()} >= set(registry.OURS)


@pytest.mark.parametrize("made", components(), ids=lambda made: made.name)
def test_what_must_be_shared_are_parameters_of_the_component(made):
    assert made.parameters().shared().keys() <= made.parameters.model_fields.keys()


def test_an_entry_point_that_is_no_component_is_refused(monkeypatch):
    entry = EntryPoint("odd", "math:pi", registry.GROUP)
    monkeypatch.setattr(registry, "_sources", lambda: {"odd": entry})
    with pytest.raises(UnknownComponent, match="odd"):
        component("odd")


def test_the_digest_covers_every_module_the_component_is_made_of():
    names = _sources(["algorithms.homo_lr"]).keys()
    assert {"algorithms.homo_lr", "algorithms.fedopt", "algorithms.crypto.paillier", "algorithms.aggregation"} <= names
    assert "algorithms.homo_nn" not in names
    assert {"algorithms.nn.model", "algorithms.nn.optimizers"} <= _sources(["algorithms.homo_nn"]).keys()
    digests = {made.code_digest for made in components()}
    assert len(digests) == len(components())
    assert all(len(digest) == 64 for digest in digests)


def test_the_digest_of_a_foreign_component_covers_its_own_package(tmp_path, monkeypatch):
    sources = {
        "__init__": "", "parameters": "from algorithms.component import Parameters\nclass Own(Parameters): pass",
        "inner/__init__": "from . import deep", "inner/deep": "import torch_that_is_not_here\nfrom ..sibling import x",
        "sibling": "x = 1", "unused": "", "check": "import json\ndef check(terms): pass",
        "roles": "def run(ctx, p):\n    from .inner import deep",
        "talk": "from .parameters import Own\ndef conversation(terms): return ()",
    }  # fmt: skip
    for name, text in sources.items():
        path = tmp_path / f"foreign_room/{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    own, talk, roles, check = (
        import_module(f"foreign_room.{name}") for name in ("parameters", "talk", "roles", "check")
    )
    made = Component("f", 1, own.Own, {}, {}, {Role.GUEST: RoleSpec(roles.run)}, talk.conversation, check.check)
    found = _sources({part.__module__ for part in (own.Own, talk.conversation, roles.run, check.check)}).keys()
    expected = {f"foreign_room/{name}".removesuffix("/__init__").replace("/", ".") for name in sources}
    assert {name for name in found if name.startswith("foreign_room")} == expected - {"foreign_room.unused"}
    assert "algorithms.component" in found
    assert not {"json", "torch"} & found
    for name in sources.keys() - {"unused"}:
        before = replace(made).code_digest
        (tmp_path / f"foreign_room/{name}.py").write_text(sources[name] + "\n# changed")
        assert replace(made).code_digest != before, name


def test_a_role_below_its_minimum_is_refused():
    made: Component = component("homo_lr")
    with pytest.raises(RolesRefused, match="at least 1 arbiter, the task has 0"):
        made.require(Terms(made.parameters(), {Role.GUEST: ["a"]}))


def test_error_codes_of_the_room_are_unique():
    found = [error for error in _all(PlatformError) if error.__module__ == "algorithms.errors"]
    codes = [error.code for error in found]
    assert len(set(codes)) == len(codes) == 21
    assert all(all_codes()[code] is error for code, error in zip(codes, found, strict=True))


def _all(error):
    return [error, *(e for sub in error.__subclasses__() for e in _all(sub))]
