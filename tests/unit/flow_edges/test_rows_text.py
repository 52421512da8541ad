"""Rows of a table as a person sees them."""

from __future__ import annotations

from flow.cli.data.rows_text import row_lines


def test_names_and_values_are_shown_as_they_are() -> None:
    lines = list(row_lines(["PatientId", "größe"], [["a1", 1.5], [None, "inf"], ["c", None]], None))
    assert lines == ["PatientId  größe", "a1         1.5", "null       inf", "c          null"]


def test_numbers_stand_to_the_right() -> None:
    assert list(row_lines(["n", "x"], [[1, 0.25], [1000, 3.0]], None)) == ["   n     x", "   1  0.25", "1000   3.0"]


def test_a_line_break_in_a_cell_stays_in_its_row() -> None:
    assert list(row_lines(["a", "b"], [["x\ny\r", "z"]], None)) == ["a       b", "x\\ny\\r  z"]


def test_columns_that_do_not_fit_stand_below() -> None:
    rows = [[f"value-{i}" for i in range(6)]]
    lines = list(row_lines([f"c{i}" for i in range(6)], rows, 30))
    assert lines == [
        "c0       c1       c2",
        "value-0  value-1  value-2",
        "",
        "c3       c4       c5",
        "value-3  value-4  value-5",
    ]
    assert list(row_lines(["c"] * 6, rows, None))[1].count("value") == 6


def test_only_a_long_text_is_cut_and_only_on_a_terminal() -> None:
    (_, cut) = row_lines(["t"], [["x" * 100]], 80)
    assert cut == "x" * 59 + "…"
    (_, whole) = row_lines(["t"], [["x" * 100]], None)
    assert whole == "x" * 100
