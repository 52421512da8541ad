"""What an upload tells of columns that are text for want of a way to read their numbers."""

from __future__ import annotations

import pytest

from storage.client import BadRow, SourceOptions, Store
from storage.intake.csv_words import without_thousands


@pytest.fixture
def upload(tmp_path):
    """Uploads a CSV `id;x` with these values and returns the types of its columns and what was said."""

    def call(*values, **options):
        path = tmp_path / "data.csv"
        path.write_text("id;x\n" + "".join(f"{i};{value}\n" for i, value in enumerate(values)))
        said: list[str] = []
        stored = Store(tmp_path / "store").tables.upload(
            path, "ns/name", options=SourceOptions(**options), remark=said.append
        )
        return dict(stored.columns)["x"], said

    return call


@pytest.mark.parametrize("sign", ["?", "-", ".", "*", "n.a."])
def test_a_sign_for_missing_values_that_makes_text_of_numbers_is_said_with_the_option(upload, sign):
    kind, [said] = upload(sign, sign, "7", sign)
    assert kind == "string"
    assert f"because of '{sign}' in line 2 (1 of its first 4 values are numbers)." in said
    assert f"If '{sign}' stands for a missing value, upload the file again with --null" in said
    assert said.endswith(", or leave it out: --drop=x.")
    kind, [said] = upload(sign, sign, "7", sign, null_values=(sign,))
    assert (kind, said[:28]) == ("int64", "Numbers are missing: 3 in 'x")


def test_a_second_sign_for_missing_values_is_given_beside_the_first(upload):
    _, [said] = upload("?", "-", "-", "7", null_values=("?",))
    assert "with --null '?' --null -, or" in said


def test_the_usual_words_for_a_missing_value_need_no_option(upload):
    for word in ("NA", "N/A", "null", "NaN", ""):
        assert upload(word, word, "7")[0] == "int64"


@pytest.mark.parametrize(
    ("text", "decimal", "plain"),
    [
        ("1,234.5", ".", "1234.5"),
        ("1,234", ".", "1234"),
        (" -12,345,678 ", ".", "-12345678"),
        ("1 234.5", ".", "1234.5"),
        ("1'234'567", ".", "1234567"),
        ("1.234,5", ".", "1234.5"),
        ("1.234,5", ",", "1234,5"),
        ("1\u00a0234,50", ",", "1234,50"),
        ("1,23", ".", None),
        ("1,2345", ".", None),
        ("1,234 567", ".", None),
        ("12,34,567", ".", None),
        ("1234", ".", None),
        ("2024-01-01", ".", None),
        ("", ".", None),
    ],
)
def test_a_number_with_signs_between_thousands_is_known(text, decimal, plain):
    assert without_thousands(text, decimal) == plain


def test_signs_between_thousands_are_named_with_the_number_without_them(upload):
    kind, [said] = upload("1,234.5", "2,234.5", "7")
    assert kind == "string"
    assert "because of '1,234.5' in line 2 (1 of its first 3 values are numbers)." in said
    assert "Write numbers without signs between thousands, as 1234.5, where the file is made" in said
    with pytest.raises(BadRow, match=r"line 4, column 'x': not a number: '1,234\.5'.*without, as 1234\.5, where"):
        upload("7", "8", "1,234.5")


def test_a_comma_that_may_stand_between_thousands_is_not_taken_for_a_decimal_sign_alone(upload):
    _, [said] = upload("1,234", "12,345", "7")
    assert "stands between thousands, write the numbers without it" in said
    assert "--decimal ','" in said
    with pytest.raises(BadRow, match=r"--decimal ','\. If signs stand between thousands.*as 1234, where"):
        upload("7", "8", "1,234")
    _, [said] = upload("1,234", "12,34", "7")
    assert "decimal comma" in said
    assert "thousands" not in said
