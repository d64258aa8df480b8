"""What ``evaluate --page`` says and how it names sets."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from scored_rows import scored_row

from core.errors import KocrError
from core.evaluate.predictions import Header
from kocr_tui.commands import evaluate_page
from kocr_tui.strings import use_language

ROWS = [scored_row(1, "마왕족발", "미왕"), scored_row(2, "마왕족발", "마왕족발")]


@pytest.fixture(autouse=True)
def korean() -> Iterator[None]:
    use_language("ko")
    yield
    use_language("en")


def test_the_page_is_in_the_language_in_use_and_told_of(tmp_path: Path) -> None:
    sets = {f"{tmp_path}/{name}.jsonl": (Header(reader=name), ROWS) for name in ("base", "tuned")}
    line = evaluate_page.write(tmp_path / "page.html", sets)
    size = round((tmp_path / "page.html").stat().st_size / 1000)
    assert line == f"페이지: {tmp_path}/page.html ({size} kB, 간판 1개 중 1개 표시)"
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert '<html lang="ko">' in page
    assert "<b>base</b>" in page
    assert "<b>tuned</b>" in page


def test_sets_are_called_by_what_tells_them_apart() -> None:
    assert evaluate_page.short_names(["a/x.jsonl", "a/y.jsonl"]) == ["x", "y"]
    same = ["a/x.jsonl", "b/x.jsonl"]
    assert evaluate_page.short_names(same) == same
    assert evaluate_page.short_names(["Tesseract 5.3.0"]) == ["Tesseract 5.3.0"]


def test_a_page_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(KocrError, match=r"none/page\.html: can't be written: No such file"):
        evaluate_page.write(tmp_path / "none" / "page.html", {"a": (None, ROWS)})
