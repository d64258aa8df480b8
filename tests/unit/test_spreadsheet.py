"""Tables for spreadsheets: what goes in comes out, and nothing of it is run."""

import csv
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from kocr_tui.plain.spreadsheet import cell, table

CELLS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=20)


def test_a_table_is_utf8_with_a_mark_and_read_back_as_it_was(tmp_path: Path) -> None:
    rows = [["1.jpg", "원마트 (ONE MART)"], ["2.jpg", 'a,"b"\nc']]
    with table(tmp_path / "table.csv", ["image", "text"]) as write:
        for row in rows:
            write(row)
    content = (tmp_path / "table.csv").read_bytes()
    assert content.startswith("\ufeffimage,text\r\n".encode())
    with (tmp_path / "table.csv").open(encoding="utf-8-sig", newline="") as file:
        assert list(csv.reader(file)) == [["image", "text"], *rows]


@given(text=CELLS, sign=st.sampled_from("=+-@\t\r"))
def test_no_cell_is_a_formula(text: str, sign: str) -> None:
    assert cell(sign + text) == f"'{sign}{text}"
    assert cell(text).removeprefix("'") == text.removeprefix("'")


def test_a_name_that_is_no_utf8_is_escaped() -> None:
    assert cell("\udcb0.jpg") == "\\udcb0.jpg"
