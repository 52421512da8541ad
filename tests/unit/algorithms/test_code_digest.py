"""A component's digest is that of its mathematics; what all components are written against has a version instead."""

from __future__ import annotations

import shutil
from dataclasses import replace
from importlib import import_module, invalidate_caches
from pathlib import Path

import pytest

import algorithms
from algorithms.api.component import Component, RoleSpec
from algorithms.code_digest import API, API_MINIMUM, API_VERSION, _imports, is_api, mathematics
from algorithms.registry import component, components
from party.ids import Role
from tests.fixtures.algorithms import context

ROOM = Path(algorithms.__file__).parent
OURS = {made.name for made in components() if made.parameters.__module__.startswith("algorithms.")}
SUMMING = {"exchange", "homo_lr", "homo_nn", "scale"}


@pytest.fixture
def release(tmp_path, monkeypatch):
    """Another release's copy of the room, which digests are taken of."""
    copy = tmp_path / "algorithms"
    shutil.copytree(ROOM, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(algorithms.__spec__, "submodule_search_locations", [str(copy)])
    return copy


def digests():
    return {name: replace(component(name)).code_digest for name in OURS}


def edit(release, *modules):
    for module in modules:
        path = release.parent / f"{module.replace('.', '/')}.py"
        path = path if path.exists() else release.parent / module.replace(".", "/") / "__init__.py"
        path.write_text(path.read_text() + "\n\nclass AnotherError(Exception):\n    pass\n")


def test_a_copy_of_the_room_has_the_digests_of_the_room(release, monkeypatch):
    copied = digests()
    monkeypatch.undo()
    assert copied == digests()
    assert len(set(copied.values())) == len(OURS)
    assert all(len(digest) == 64 for digest in copied.values())


def test_releases_whose_api_alone_differs_have_the_same_digests(release):
    before = digests()
    edit(release, *(name for name, _ in modules() if is_api(name)))
    assert digests() == before


@pytest.mark.parametrize(
    ("module", "users"),
    [
        ("algorithms.homo.lr", {"homo_lr"}),
        ("algorithms.federated.trainer", {"homo_lr", "homo_nn"}),
        ("algorithms.nets.optimizers", {"homo_nn"}),
        ("algorithms.aggregate.aggregation", SUMMING),
        ("algorithms.crypto.paillier", SUMMING),
        ("algorithms.crypto", SUMMING),
    ],
)
def test_an_edit_of_mathematics_changes_the_components_that_use_it_and_no_other(release, module, users):
    before = digests()
    edit(release, module)
    assert {name for name, digest in digests().items() if digest != before[name]} == users


def test_a_new_module_is_mathematics_unless_it_is_named_as_api(release):
    before = digests()
    (release / "fresh.py").write_text("")
    for path in (release / "federated/trainer.py", release / "api/errors.py"):
        path.write_text(path.read_text() + "\nimport algorithms.fresh\n")
    invalidate_caches()
    with_one = digests()
    assert {name for name in OURS if with_one[name] != before[name]} == {"homo_lr", "homo_nn"}
    (release / "fresh.py").write_text("x = 1")
    assert {name for name, digest in digests().items() if digest != with_one[name]} == {"homo_lr", "homo_nn"}


def modules():
    """Every module of the room, with its file."""
    for path in ROOM.rglob("*.py"):
        yield ".".join(path.relative_to(ROOM.parent).with_suffix("").parts).removesuffix(".__init__"), path


def test_every_module_is_api_or_part_of_a_component():
    used = {name for each in OURS for name in mathematics([component(each).parameters.__module__])}
    assert {name for name, _ in modules() if not is_api(name)} == used
    assert all((ROOM.parent / part.replace(".", "/")).with_suffix(".py").exists() or is_package(part) for part in API)


def is_package(name):
    return (ROOM.parent / name.replace(".", "/") / "__init__.py").exists()


def test_the_api_needs_no_mathematics():
    known = dict(modules())
    for name in filter(is_api, known):
        imported = set(_imports(known[name].read_bytes(), name.rpartition(".")[0])) & known.keys()
        assert all(map(is_api, imported)), name


def test_the_digest_of_a_foreign_component_covers_its_own_package(tmp_path, monkeypatch):
    sources = {
        "__init__": "", "parameters": "from algorithms.api.parameters import Parameters\nclass Own(Parameters): pass",
        "inner/__init__": "from . import deep", "inner/deep": "import torch_that_is_not_here\nfrom ..sibling import x",
        "sibling": "x = 1", "unused": "",
        "check": "from typing import TYPE_CHECKING\nif TYPE_CHECKING: from . import unused\ndef check(terms): pass",
        "roles": "def run(ctx, p):\n    from .inner import deep\n    from algorithms.models.linear import log_loss",
        "talk": "import json\nfrom .parameters import Own\ndef conversation(terms): return ()",
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
    found = mathematics({part.__module__ for part in (own.Own, talk.conversation, roles.run, check.check)}).keys()
    expected = {f"foreign_room/{name}".removesuffix("/__init__").replace("/", ".") for name in sources}
    assert {name for name in found if name.startswith("foreign_room")} == expected - {"foreign_room.unused"}
    assert "algorithms.models.linear" in found
    assert not {"json", "torch", "algorithms.api.component"} & found
    for name in sources.keys() - {"unused"}:
        before = replace(made).code_digest
        (tmp_path / f"foreign_room/{name}.py").write_text(sources[name] + "\n# changed")
        assert replace(made).code_digest != before, name


def test_what_all_parties_draw_alike_is_that_of_this_version_of_the_api():
    """Other numbers need another version: a party that draws these would compute something else than the others."""
    assert (API_MINIMUM, API_VERSION) == (1, 1)
    ctx = context()
    assert [*map(int, ctx.common_rng("shuffle", (3, 1)).bit_generator.random_raw(2))] == [
        16037912129441522444,
        256574947806839210,
    ]
    assert [batch.tolist() for batch in ctx.mini_batches(7, 3, 1, 5)] == [[5, 3, 0], [4, 6], [2, 1]]
