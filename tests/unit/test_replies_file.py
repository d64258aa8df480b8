"""Replies that something else made find the rows that they answer."""

import json
import unicodedata
from pathlib import Path

import pytest
from scored_rows import scored_row

from core.errors import UsageError
from core.evaluate.predictions import Header, ReadRow, write_predictions
from core.read.readers.replies_file import MISSING, with_replies

ROWS = [
    scored_row(1, "마왕족발", None, image="/photos/가.jpg"),
    scored_row(2, "원마트", None, image="/photos/나.jpg"),
    scored_row(3, "kokoro", None, image="/other/다.jpg"),
]


def answers(tmp_path: Path, rows: list[ReadRow], *lines: object) -> list[str | None]:
    return [row.reply for row in with_replies(written(tmp_path, *lines), rows)]


def written(tmp_path: Path, *lines: object) -> Path:
    path = tmp_path / "replies.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def test_rows_are_found_by_id_line_and_image(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "가.jpg")
    found = with_replies(
        written(
            tmp_path,
            {"id": ROWS[1].id, "reply": "나"},
            {"id": 3, "reply": "다", "service": "other keys do no harm"},
            {"image": decomposed, "reply": "가"},
        ),
        ROWS,
    )
    assert [row.reply for row in found] == ["가", "나", "다"]
    assert [row.why for row in found] == [None] * 3


def test_rows_without_a_reply_say_so(tmp_path: Path) -> None:
    found = with_replies(
        written(tmp_path, {"id": 1, "reply": None}, {"id": 2, "reply": None, "why": "HTTP 500"}),
        ROWS,
    )
    assert [row.reply for row in found] == [None] * 3
    assert [row.why for row in found] == [MISSING, "HTTP 500", MISSING]


def test_own_ids_of_the_data_come_before_line_numbers(tmp_path: Path) -> None:
    rows = [
        ReadRow(**{**vars_of(row), "metadata": {"id": other}})
        for row, other in zip(ROWS, (2, 3, 1), strict=True)
    ]
    assert answers(tmp_path, rows, {"id": 1, "reply": "x"}) == [None, None, "x"]


def vars_of(row: ReadRow) -> dict[str, object]:
    return {name: getattr(row, name) for name in row.__struct_fields__}


def test_rows_of_one_photo_are_answered_in_order_and_by_one_line_alike(tmp_path: Path) -> None:
    twice = [scored_row(line, "마왕족발", None, image="a.jpg") for line in (1, 2)]
    one, two = ({"image": "a.jpg", "reply": reply} for reply in ("한", "두"))
    assert answers(tmp_path, twice, one) == ["한", "한"]
    assert answers(tmp_path, twice, one, two) == ["한", "두"]
    with pytest.raises(UsageError, match="line 3: answers row 1 again"):
        answers(tmp_path, twice, one, two, one)


def test_a_file_of_our_own_answers_the_same_rows(tmp_path: Path) -> None:
    read = [scored_row(line, "마왕족발", "마왕", image=f"{line}.jpg") for line in (1, 2)]
    bare = [scored_row(line, "마왕족발", None, image=f"{line}.jpg") for line in (1, 2)]
    path = tmp_path / "predictions.jsonl"
    write_predictions(path, Header(reader="ours"), read)
    assert [row.reply for row in with_replies(path, bare)] == ["마왕", "마왕"]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([{"id": 9, "reply": ""}], r"line 1: no row has the id 9"),
        ([{"image": "x.jpg", "reply": ""}] * 5, r"line 3: .*'x\.jpg' and 2 more$"),
        ([{"reply": "마왕"}], r'line 1: needs "image" or "id" beside "reply"'),
        ([{"id": 1}], r"line 1: no reply: .*`reply`"),
        (['{"id": 1, "reply": "마'], r"line 1: no reply: "),
        ([{"id": 1, "reply": "a"}, {"id": 1, "reply": "b"}], r"line 2: answers row 1 again"),
    ],
)
def test_what_answers_no_row_is_named(tmp_path: Path, lines: list[object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        answers(tmp_path, ROWS, *lines)


def test_a_file_name_that_several_photos_have_needs_the_path(tmp_path: Path) -> None:
    rows = [scored_row(line, "마왕", None, image=f"{line}/a.jpg") for line in (1, 2)]
    with pytest.raises(UsageError, match="line 1: 2 photos are called 'a"):
        answers(tmp_path, rows, {"image": "a.jpg", "reply": ""})
    assert answers(tmp_path, rows, {"image": "2/a.jpg", "reply": "마왕"}) == [None, "마왕"]
