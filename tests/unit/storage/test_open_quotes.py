"""A double quote that is not closed where its cell ends swallows rows: that is said by line, and never in silence."""

from __future__ import annotations

import pytest

from storage.client import BadRow, SourceOptions, Store


@pytest.fixture
def upload(tmp_path):
    """Uploads a CSV and returns its rows and what was said of open quotes."""

    def call(text, **options):
        path = tmp_path / "data.csv"
        path.write_text(text, newline="")
        said: list[str] = []
        stored = Store(tmp_path / "store").tables.upload(
            path, "ns/name", options=SourceOptions(**options), remark=said.append
        )
        return stored.rows, [each for each in said if "double quote" in each]

    return call


def rows(header, cell, *, opened=(), end="\n"):
    """Twenty rows `i,CELL,i`, those of `opened` with a quote that nothing closes."""
    lines = [f'{i},"open,{i}' if i in opened else f"{i},{cell.format(i=i)},{i}" for i in range(20)]
    return end.join([header, *lines, ""])


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("options", [{}, {"drop": ("n",)}])
def test_rows_that_lie_between_two_open_quotes_are_not_swallowed_in_silence(upload, end, options):
    with pytest.raises(BadRow, match=r"line 7, column 'n': a double quote is opened here.*4 lines more") as refused:
        upload(rows("id,n,x", "abc", opened=(5, 9), end=end), **options)
    assert refused.value.line == 7
    assert refused.value.text.startswith("open,5")


def test_a_quote_left_open_among_quoted_cells_takes_in_one_row(upload):
    with pytest.raises(BadRow, match=r"line 7, column 'n'.*takes in 1 line more"):
        upload("id,x,n\n" + "".join(f'{i},{i},"{"open" if i in (5, 9) else "abc" + chr(34)}\n' for i in range(20)))


def test_the_line_named_is_that_of_the_quote_not_that_of_its_row(upload):
    text = 'id,m,n\n1,a,b\n2,"two\nlines","open\n3,c,d\n4,e,f"\n5,g,h\n'
    with pytest.raises(BadRow, match="line 4, column 'n'"):
        upload(text)


def test_cells_of_several_lines_stay_what_they_are(upload):
    for cell in ('"a\nb"', '"a, b\nc, d"', '"he said ""no, no""\n\nand left, twice,"', '"7\n8"'):
        assert upload(rows("id,n,x", cell)) == (20, [])
        assert upload(rows("id,n,x", cell.replace("\n", "\r\n"), end="\r\n")) == (20, [])


def test_a_cell_of_several_lines_may_be_the_first_the_last_or_the_only_one(upload):
    assert upload('n,id\n"a\nb",1\n"c, d\ne",2\n') == (2, [])
    assert upload('id,n\n1,"a\nb"\n2,"c\nd, e"\n') == (2, [])
    assert upload('n\n"a\nb"\n"7\n8"\n') == (2, [])


def test_blank_lines_are_no_sign_of_an_open_quote(upload):
    assert upload('id,n\n\n1,"a"\n\n\n2,"b"\n\n') == (2, [])


def test_without_a_column_of_numbers_and_for_a_very_long_cell_it_is_only_said(upload):
    count, [said] = upload('w,n\na,"b\nc,d\ne,f"\n')
    assert count == 1
    assert said.startswith("The cell of column 'n' that begins in line 2 goes on for 2 lines more.")
    lines = "\n".join(["word"] * 60)
    assert len(upload(f'id,n\n1,"{lines}"\n2,b\n')[1]) == 1


def test_a_long_text_in_a_column_that_is_left_out_stays_no_fault(upload):
    text = "a\n" * 100_000
    assert upload(f'id,n\n1,"{text}"\n2,"b"\n', drop=("n",)) == (2, [])
