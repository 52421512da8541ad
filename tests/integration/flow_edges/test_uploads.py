"""Uploads over REST and by the command: what is refused, how it is said, and that nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import httpx
import pytest

from flow.cli.exit_codes import Exit
from flow.rest.routes import tables
from runtime.errors import Denied, NotFound, Unavailable
from storage.client import TableRoles
from storage.place import Place
from tests.fakes.disks import small_disk
from tests.fakes.flow_party import FakeParty
from tests.integration.flow_edges.conftest import Command

ROWS = "id,x\n" + "".join(f"{i},{i}.25\n" for i in range(1000))


def put(party: FakeParty, table: str, content: object, **headers: str) -> httpx.Response:
    return httpx.put(
        f"http://127.0.0.1:{party.server.port}/v1/tables/{table}",
        headers={"Authorization": f"Bearer {party.home.token()}"} | headers,
        content=content,  # type: ignore[arg-type]
        timeout=60,
    )


def spooled(party: FakeParty) -> list[Path]:
    return list((party.home.state("flow") / "uploads").glob("*"))


@pytest.fixture
def small_spool(party: FakeParty) -> Iterator[Path]:
    """Uploads arrive on a disk of one MiB."""
    with small_disk(party.home.state("flow") / "uploads") as folder:
        yield folder


def test_an_upload_on_a_full_disk_is_told_as_such(party: FakeParty, flow: Command, small_spool: Path) -> None:
    file = small_spool.parent / "big.csv"
    file.write_text("id,x\n" + "".join(f"{i},{i}.25\n" for i in range(400_000)))
    with pytest.raises(Unavailable) as full:
        party.client.upload(file, "t/two")
    assert full.value.code == "storage.full"
    assert full.value.message == f"No room left on {small_spool} for table t/two: 6.6 MB needed, 996 kB left."
    done = flow("data", "upload", file, "--table", "t/two", "--id", "id")
    assert done.code == Exit.UNAVAILABLE
    assert "No room left on" in done.err
    undeclared = put(party, "t/two", iter([file.read_bytes()]))
    assert (undeclared.status_code, undeclared.json()["code"]) == (503, "storage.full")
    assert spooled(party) == []


def test_a_file_of_any_name_is_taken_and_leaves_nothing(party: FakeParty) -> None:
    for name in ("a" * 300 + ".csv", "%C3%A4" * 100 + ".csv", ".", "..", "/", "%00", "...csv"):
        answer = put(party, "names/any", ROWS, **{"File-Name": name})
        assert answer.status_code == 201, (name, answer.text)
    too_long = put(party, "names/any", ROWS, **{"File-Name": "a" * 2000})
    assert too_long.status_code == 400
    assert "1000 characters" in too_long.json()["message"]
    assert spooled(party) == []


def test_the_command_and_rest_take_the_same_options(party: FakeParty, flow: Command, folder: Path) -> None:
    text = "sim;größe;bad;y;n;who\n89860012345678901234;?;x;0;1;07\n89860012345678901235;2.5;1;;2;8\n"
    (folder / "t.csv").write_bytes(text.encode("latin-1"))
    own = ("--id", "sim", "--label", "y", "--weight", "n", "--match-id", "who")
    words = ("--type", "größe=float", "--encoding", "latin-1", "--delimiter", ";", "--null", "?", "--drop", "bad")
    done = flow("data", "upload", "t.csv", "--table", "opt/t", *own, *words)
    assert done.code == 0, done.err
    assert "1 row has no label (column 'y')." in done.out
    assert "Uploading" not in done.err + done.out
    query = "id=sim&label=y&weight=n&match_id=who&type=gr%C3%B6%C3%9Fe%3Dfloat"
    query += "&encoding=latin-1&delimiter=%3B&null=%3F&features=gr%C3%B6%C3%9Fe"
    answer = put(party, f"opt/u?{query}", text.encode("latin-1"))
    assert answer.status_code == 201, answer.text
    unlabelled, gaps = answer.json()["remarks"]
    assert unlabelled == "1 row has no label (column 'y')."
    assert gaps.startswith("Numbers are missing: 1 in 'größe', of 2 rows.")
    shown = party.client.table("opt/t")
    assert shown.digest == answer.json()["digest"]
    assert shown.roles == TableRoles(id="sim", label="y", weight="n", match_id="who")
    assert answer.json()["roles"] == asdict(shown.roles)
    assert "id sim, label y, weight n, match id who, owner admin" in flow("data", "show", "opt/t").out
    assert party.client.table("opt/t").remarks == ()


def test_an_error_about_types_names_an_option_that_exists(flow: Command, folder: Path) -> None:
    (folder / "t.csv").write_text("id,x\n1,2\n2,oops\n3,4\n")
    refused = flow("data", "upload", "t.csv", "--table", "opt/t", "--id", "id")
    assert refused.code == Exit.BAD_INPUT
    assert "--type x=text" in refused.err
    assert flow("data", "upload", "t.csv", "--table", "opt/t", "--id", "id", "--type", "x=text").code == 0
    assert flow("data", "upload", "t.csv", "--table", "opt/t", "--null", "oops").code == 0
    wrong = flow("data", "upload", "t.csv", "--table", "opt/t", "--type", "x")
    assert (wrong.code, "rite COLUMN=TYPE" in wrong.err) == (Exit.BAD_INPUT, True)


def test_files_that_are_no_table_are_refused_by_a_plain_sentence(flow: Command, folder: Path) -> None:
    (folder / "empty.csv").write_bytes(b"")
    (folder / "empty.parquet").write_bytes(b"")
    (folder / "book.xlsx").write_bytes(b"PK\x03\x04" + bytes(100))
    for name, says in (("empty.csv", "is empty"), ("empty.parquet", "is empty"), ("book.xlsx", "an Excel workbook")):
        refused = flow("data", "upload", name, "--table", "no/table")
        assert refused.code == Exit.BAD_INPUT
        assert says in refused.err
        assert "Arrow error" not in refused.err


def test_a_table_name_is_quoted_as_it_was_typed(flow: Command, folder: Path) -> None:
    (folder / "t.csv").write_text("id,x\n1,2\n")
    for words in (("upload", "t.csv", "--table", "s"), ("show", "s"), ("head", "s"), ("delete", "s")):
        refused = flow("data", *words)
        assert refused.code == Exit.BAD_INPUT
        assert "'s' is not the name of a table; write NAMESPACE/NAME" in refused.err


def test_of_two_uploads_of_one_name_at_the_same_time_only_one_users_is_stored(
    party: FakeParty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both passed the first look, before there was a table."""
    file = tmp_path / "t.csv"
    file.write_text("id,x\n1,2\n")
    alice, eve = (party.client_of(name, "scientist") for name in ("race-alice", "race-eve"))
    create_once = Place.create_once

    def first_alice(place: Place, path: str, data: bytes) -> bool:
        if path.startswith("tables/race/") and b"race-eve" in data:
            monkeypatch.undo()
            alice.upload(file, "race/table")
        return create_once(place, path, data)

    monkeypatch.setattr(Place, "create_once", first_alice)
    with pytest.raises(Denied, match="belongs to race-alice") as refused:
        eve.upload(file, "race/table")
    assert refused.value.code == "flow.table_owned"
    assert [t.owner for t in party.client.tables() if t.name == "race/table"] == ["race-alice"]
    assert len(list((Path(party.home.store) / "tables/race/table/data").glob("*[!k]"))) == 1


def test_whoever_is_removed_while_the_body_comes_stores_nothing(
    party: FakeParty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "t.csv"
    file.write_text("id,x\n1,2\n")
    user = party.client_of("leaving-soon", "scientist")
    write = tables._write

    async def removes(*given: object) -> None:
        await write(*given)
        party.home.user_file.remove("leaving-soon")

    monkeypatch.setattr(tables, "_write", removes)
    with pytest.raises(Denied) as refused:
        user.upload(file, "left/table")
    assert refused.value.code == "party.not_authenticated"
    with pytest.raises(NotFound):
        party.client.table("left/table")


def test_a_file_without_names_and_with_decimal_commas_is_taken_both_ways(
    party: FakeParty, flow: Command, folder: Path
) -> None:
    text = "a;1,5\nb;2\n"
    (folder / "t.csv").write_text(text)
    how = ("--delimiter", ";", "--decimal", ",", "--no-header", "--columns", "id,x")
    done = flow("data", "upload", "t.csv", "--table", "opt/t", "--id", "id", *how)
    assert done.code == 0, done.err
    query = "id=id&delimiter=%3B&decimal=%2C&no_header=true&columns=id&columns=x"
    answer = put(party, f"opt/u?{query}", text)
    assert answer.status_code == 201, answer.text
    assert party.client.table("opt/t").digest == answer.json()["digest"]
    assert party.client.head("opt/t").rows == (("a", 1.5), ("b", 2.0))


def test_a_folder_is_called_a_folder(flow: Command, folder: Path) -> None:
    (folder / "files").mkdir()
    refused = flow("data", "upload", "files", "--table", "no/table")
    assert refused.code != 0
    assert "files is a folder; name one file in it" in refused.err


def test_a_field_that_is_too_long_is_refused_by_a_sentence(party: FakeParty) -> None:
    answer = put(party, "long/field", f"a,note\n1,{'x' * 200_000}\n")
    assert (answer.status_code, answer.json()["code"]) == (400, "storage.bad_row")
    assert "line 2, column 'note': a field of more than 131072 bytes" in answer.json()["message"]
