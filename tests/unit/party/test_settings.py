from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from pydantic import ValidationError

from party.errors import BadSettings
from party.settings import MAX_SETTINGS_BYTES, PartySettings, load_settings, render_settings, size_bytes
from runtime.addresses import HostPort

SMALLEST = """
schema = 1
party = "alice"
[gateway]
listen = "127.0.0.1:1001"
[flow]
listen = "127.0.0.1:1002"
[board]
listen = "127.0.0.1:1003"
"""


@pytest.fixture
def write(tmp_path: Path):
    def put(text: str) -> Path:
        path = tmp_path / "party.toml"
        path.write_text(text)
        return path

    return put


def test_the_smallest_file_gets_the_documented_defaults(write) -> None:
    settings = load_settings(write(SMALLEST))
    assert settings.party_id == "alice"
    assert settings.gateway_listen == HostPort("127.0.0.1", 1001)
    assert settings.gateway.durability == "process"
    assert settings.flow.database == "sqlite"
    assert settings.node.preload == ("numpy", "pyarrow", "torch")
    assert settings.node.memory_bytes is None
    assert settings.policy.accept == "ask"
    assert settings.policy.share == ()
    assert settings.cluster.nodes == ()


def test_what_is_rendered_loads_as_the_same_settings(write) -> None:
    settings = PartySettings.model_validate(
        {
            "schema": 1,
            "party": "alice",
            "run_dir": 'a "quoted" \\ path \x7f é 😀',
            "gateway": {"listen": "[::1]:1", "public": ["a.example:2", "b.example:3"], "durability": "power"},
            "flow": {"listen": "127.0.0.1:2", "database": "mysql", "database_url_file": "keys/database.url"},
            "board": {"listen": "127.0.0.1:3"},
            "node": {"cores": 3, "memory": "8GiB", "gpus": 0, "preload": []},
            "policy": {
                "accept": "ask",
                "components": ["homo_lr@1"],
                "peers": ["bob"],
                "share": ["logs"],
                "min_rows": 100,
            },
        }
    )
    assert load_settings(write(render_settings(settings).decode())) == settings
    assert settings.node.memory_bytes == 8 << 30


def test_every_rendered_key_has_a_comment_above_it() -> None:
    settings = PartySettings.model_validate(
        {"party": "a", "gateway": {"listen": "h:1"}, "flow": {"listen": "h:2"}, "board": {"listen": "h:3"}}
    )
    lines = render_settings(settings).decode().splitlines()
    for before, line in itertools.pairwise(lines):
        if line and not line.startswith("#"):
            assert before.startswith("#"), line


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("[board]\nlisten", "[board]\nlistn"), r"board\.listn: unknown key\. Did you mean 'listen'\?"),
        (("[board]", "[bord]"), r"bord: unknown key\. Did you mean 'board'\?"),
        (("[board]", "[policy]\nzzzz = 1\n[board]"), r"policy\.zzzz: unknown key\. There are: accept,"),
        (('party = "alice"', ""), r"party: this key is missing"),
        (('party = "alice"', 'party = "Alice"'), r"party: party id 'Alice' is not a legal name"),
        (("127.0.0.1:1001", "127.0.0.1"), r"gateway\.listen: '127\.0\.0\.1' is not an address"),
        (("[board]", '[node]\nmemory = "8GB"\n[board]'), r"node\.memory: '8GB' is not a size"),
        (("[board]", '[hooks]\nurl = "http://elsewhere/x"\n[board]'), r"hooks: url is not like https://host/path"),
        (("[board]", '[hooks]\nurl = "https://u@h/x"\n[board]'), r"hooks: url is not like"),
        (("[board]", '[hooks]\nurl = "https://h/x"\n[board]'), r"hooks: url needs secret_file"),
        (("[board]", "[node]\ncores = 0\n[board]"), r"node\.cores: input should be greater than or equal to 1, not 0"),
        (("[board]", '[node]\ngpus = "all"\n[board]'), r"node\.gpus: "),
        (
            ("[board]", '[policy]\naccept = "maybe"\n[board]'),
            r"policy\.accept: input should be 'agree', 'ask' or 'refuse', not 'maybe'",
        ),
        (("[board]", '[policy]\npeers = ["Bob!"]\n[board]'), r"policy\.peers\.0: party id 'Bob!'"),
        (("[flow]", '[flow]\ndatabase = "mysql"'), r"flow: database = \"mysql\" needs database_url_file"),
        (
            ("[flow]", "[flow]\ndatabase = 'postgres'"),
            r"flow\.database: input should be 'sqlite' or 'mysql', not 'postgres'",
        ),
    ],
)
def test_a_wrong_setting_names_file_and_key_and_what_is_meant(write, change: tuple[str, str], said: str) -> None:
    path = write(SMALLEST.replace(*change))
    with pytest.raises(BadSettings, match=rf"(?m)^{path}: {said}"):
        load_settings(path)


def test_all_wrong_keys_are_named_at_once(write) -> None:
    path = write(SMALLEST.replace("[board]\nlisten", "[board]\nlistn"))
    with pytest.raises(BadSettings) as caught:
        load_settings(path)
    assert "board.listn" in caught.value.message
    assert "board.listen: this key is missing" in caught.value.message


@pytest.mark.parametrize("line", ["schema = 2", "schema = '1'", "schema = true", ""])
def test_another_schema_version_is_refused_before_anything_else(write, line: str) -> None:
    with pytest.raises(BadSettings, match="schema: this release reads version 1"):
        load_settings(write(SMALLEST.replace("schema = 1", line) + "\n[from_the_future]\n"))


def test_a_file_that_never_ends_is_not_read_to_its_end(write) -> None:
    path = write(SMALLEST + "#" * MAX_SETTINGS_BYTES)
    with pytest.raises(BadSettings, match="has more than 1048576 bytes"):
        load_settings(path)
    with pytest.raises(BadSettings, match="has more than 1048576 bytes"):
        load_settings(Path("/dev/zero"))


def test_a_file_that_is_absent_or_no_toml_is_refused_by_name(tmp_path: Path, write) -> None:
    with pytest.raises(BadSettings, match="nowhere"):
        load_settings(tmp_path / "nowhere.toml")
    with pytest.raises(BadSettings, match="TOML"):
        load_settings(write("a = = 1"))


def test_settings_cannot_be_changed_in_place(write) -> None:
    settings = load_settings(write(SMALLEST))
    with pytest.raises(ValidationError):
        settings.gateway.durability = "power"


@pytest.mark.parametrize(
    ("text", "expected"), [("1", 1), ("10B", 10), ("512MiB", 512 << 20), ("2GiB", 2 << 30), ("1TiB", 1 << 40)]
)
def test_sizes_are_powers_of_two_with_a_unit(text: str, expected: int) -> None:
    assert size_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "GiB", "0MiB", "-1GiB", "1.5GiB", "1GB", "1 GiB", "1iB", "٣GiB"])
def test_text_that_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a size"):
        size_bytes(text)
