"""Files of predictions, and replies made elsewhere on their way to the rows."""

import hashlib
import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sign_rows import PROMPT, chat_row

from core.data.photos import PhotoBook
from core.errors import UsageError
from core.evaluate.labels import LabelledRow, labelled_rows
from core.evaluate.predictions import (
    Header,
    PredictionsWriter,
    ReadRow,
    read_predictions,
    row_id,
    write_predictions,
)
from core.evaluate.replies import as_read_rows, read_replies

HEADER = Header(reader="ours", model="qwen", max_pixels=200_704, rows=3)


def read_row(row: int, reply: str | None = "가나") -> ReadRow:
    return ReadRow(
        row=row, id=f"{row:016x}", image=f"{row}.jpg", prompt="?", truth="가나", reply=reply
    )


def jsonl(path: Path, *lines: Any) -> Path:
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8")
    return path


def test_a_row_is_known_by_its_content() -> None:
    photo = hashlib.sha256(b"photo").hexdigest()
    content = f"{photo}\0{PROMPT}\0가나".encode()
    assert row_id(photo, "/a/b.jpg", PROMPT, "가나") == hashlib.sha256(content).hexdigest()[:16]
    assert row_id(photo, "x", PROMPT, unicodedata.normalize("NFD", "가나")) == row_id(
        photo, "y", PROMPT, "가나"
    )
    assert row_id(None, "/a/b.jpg", "?", "가") == row_id(None, "b.jpg", "?", "가")
    ids = {row_id(*each) for each in ((None, "b", "?", "가"), (None, "b", "", "?\0가"))}
    ids |= {row_id(photo, "b", "?", "가"), row_id(None, "c", "?", "가")}
    assert len(ids) == 4


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    with PredictionsWriter(path, HEADER) as writer:
        assert writer.done == ()
        writer.append([read_row(1), read_row(2, None)])
        assert read_predictions(path).rows == (read_row(1), read_row(2, None))
    with PredictionsWriter(path, HEADER) as writer:
        assert writer.done == (read_row(1), read_row(2, None))
        writer.append([read_row(3)])
    found = read_predictions(path)
    assert found.header == HEADER
    assert [row.row for row in found.rows] == [1, 2, 3]


@pytest.mark.parametrize(
    ("end", "kept"),
    [(b'{"row":2,"id":"', 1), (b'{"predictions":1,"rea', 1), (b'{"row":2', 1), (b"\xea\xb0", 1)],
)
def test_a_half_written_line_is_cut_off(tmp_path: Path, end: bytes, kept: int) -> None:
    path = tmp_path / "predictions.jsonl"
    with PredictionsWriter(path, HEADER) as writer:
        writer.append([read_row(1)])
    whole = path.read_bytes()
    path.write_bytes(whole + end)
    assert len(read_predictions(path).rows) == kept
    with PredictionsWriter(path, HEADER) as writer:
        assert writer.done == (read_row(1),)
        writer.append([read_row(2)])
    assert path.read_bytes().startswith(whole)
    assert [row.row for row in read_predictions(path).rows] == [1, 2]


def test_a_line_that_only_lacks_its_end_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    with PredictionsWriter(path, HEADER) as writer:
        writer.append([read_row(1), read_row(2)])
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    with PredictionsWriter(path, HEADER) as writer:
        assert len(writer.done) == 2
        writer.append([read_row(3)])
    assert [row.row for row in read_predictions(path).rows] == [1, 2, 3]


def test_half_a_header_is_no_header(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_bytes(b'{"predictions":1,"read')
    with PredictionsWriter(path, HEADER) as writer:
        writer.append([read_row(1)])
    assert read_predictions(path).header == HEADER


def test_another_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    PredictionsWriter(path, HEADER).close()
    other = Header(reader="ours", model="qwen", max_pixels=802_816, rows=3)
    before = path.read_bytes()
    with pytest.raises(UsageError, match="max_pixels 200704, not 802816"):
        PredictionsWriter(path, other)
    with pytest.raises(UsageError, match="max_pixels 200704, not 802816"):
        write_predictions(path, other, [read_row(1)])
    assert path.read_bytes() == before
    write_predictions(path, HEADER, [read_row(1)])
    assert read_predictions(path).rows == (read_row(1),)


def test_what_is_no_prediction_is_refused_by_its_line(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"note": "of another tool"}, {"row": 1}, {"row": 2})
    with pytest.raises(UsageError, match=r"a\.jsonl line 2: no prediction: .*`id`"):
        read_predictions(path)
    path.write_bytes(b"{]\n{}\n")
    with pytest.raises(UsageError, match="line 1"):
        read_predictions(path)
    with pytest.raises(UsageError, match="no such file"):
        read_predictions(tmp_path / "none.jsonl")


def test_a_file_without_a_header_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_predictions(path, HEADER, [read_row(1)])
    path.write_bytes(path.read_bytes().partition(b"\n")[2])
    assert read_predictions(path).header is None
    for content in (path.read_bytes(), b'{"image": "a.jpg", "reply": "x"}\n'):
        path.write_bytes(content)
        with pytest.raises(UsageError, match="no file of predictions with a header"):
            PredictionsWriter(path, HEADER)
        with pytest.raises(UsageError, match="no file of predictions with a header"):
            write_predictions(path, HEADER, [read_row(1)])
        assert path.read_bytes() == content


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four rows, two of one photo; the third photo isn't there."""
    (tmp_path / "in").mkdir()
    Image.new("RGB", (60, 40), "red").save(tmp_path / "in" / "a.jpg")
    Image.new("RGB", (30, 80), "blue").save(tmp_path / "b.jpg")
    lines = [
        {"id": "sign-1", **chat_row("in/a.jpg", "가나")},
        {**chat_row("b.jpg", "다라"), "metadata": {"id": 7}},
        chat_row("missing.jpg", "마바"),
        chat_row("b.jpg", "사아"),
    ]
    return jsonl(tmp_path / "rows.jsonl", *lines)


def rows_of(data: Path, **options: Any) -> list[LabelledRow]:
    return labelled_rows(data, PhotoBook(None, 1), **options)


def replies_of(data: Path, *lines: Any, hashes: bool = False) -> list[ReadRow]:
    source = jsonl(data.parent / "replies.jsonl", *lines)
    return as_read_rows(rows_of(data), read_replies(source), source, hashes=hashes)


def test_rows_are_there_without_their_photos(data: Path) -> None:
    rows = rows_of(data)
    assert [row.line for row in rows] == [1, 2, 3, 4]
    assert [row.size for row in rows] == [(60, 40), (30, 80), None, (30, 80)]
    assert [row.given_id for row in rows] == ["sign-1", "7", None, None]
    assert rows[0].image == str(data.parent / "in" / "a.jpg")


def test_fewer_rows_are_drawn_by_the_seed(data: Path) -> None:
    drawn = {seed: [row.line for row in rows_of(data, count=2, seed=seed)] for seed in range(6)}
    assert all(len(lines) == 2 and lines == sorted(lines) for lines in drawn.values())
    assert drawn[0] == [row.line for row in rows_of(data, count=2)]
    assert len({tuple(lines) for lines in drawn.values()}) > 1
    assert [row.line for row in rows_of(data, count=9)] == [1, 2, 3, 4]


def test_a_row_that_is_none_is_refused(data: Path) -> None:
    data.write_text(data.read_text("utf-8") + '{"messages": []}\n', "utf-8")
    with pytest.raises(UsageError, match=r"rows\.jsonl row 5: expected the turns"):
        rows_of(data)


@pytest.mark.parametrize(
    "keys",
    [
        {"image": "in/a.jpg"},
        {"image": "a.jpg"},
        {"image": "/elsewhere/in/a.jpg"},
        {"image": unicodedata.normalize("NFD", "in/a.jpg")},
        {"id": "sign-1"},
        {"row": 1},
        {"id": row_id(None, "a.jpg", PROMPT, "가나")},
        {"row": 1, "truth": "ignored", "image": "in/a.jpg"},
    ],
)
def test_a_reply_finds_its_row(data: Path, keys: dict[str, Any]) -> None:
    first, *others = replies_of(data, {**keys, "reply": "가너", "ms": 12.5, "cut": True})
    assert (first.reply, first.why, first.ms, first.cut) == ("가너", None, 12.5, True)
    assert [row.reply for row in others] == [None, None, None]
    assert others[0].why == "no reply in replies.jsonl"


def test_replies_to_rows_that_were_not_drawn_are_no_strangers(data: Path) -> None:
    lines = [{"row": row, "reply": f"{row}"} for row in range(1, 5)]
    source = jsonl(data.parent / "replies.jsonl", *lines)
    read = as_read_rows(rows_of(data), read_replies(source), source, hashes=False, count=2, seed=3)
    assert [row.row for row in read] == [row.line for row in rows_of(data, count=2, seed=3)]
    assert [row.reply for row in read] == [str(row.row) for row in read]


def test_the_whole_path_and_the_photos_hash_find_a_row(data: Path) -> None:
    photo = hashlib.sha256((data.parent / "b.jpg").read_bytes()).hexdigest()
    known = row_id(photo, "b.jpg", PROMPT, "사아")
    assert replies_of(data, {"id": known, "reply": "x"})[3].reply == "x"
    assert replies_of(data, {"image": str(data.parent / "in/a.jpg"), "reply": "x"})[0].reply == "x"
    # Our own line brings the hash, and the photo may be gone.
    elsewhere = row_id("ab" * 32, "missing.jpg", PROMPT, "마바")
    own = {"row": 3, "id": elsewhere, "image": "/x/missing.jpg", "image_hash": "ab" * 32}
    assert replies_of(data, {**own, "reply": "x"})[2].reply == "x"
    hashed = replies_of(data, {"row": 4, "reply": "x"}, hashes=True)
    assert [row.image_hash for row in hashed][1:] == [photo, None, photo]
    assert hashed[3].id == known


def test_one_reply_a_photo_holds_for_its_rows_and_two_go_row_by_row(data: Path) -> None:
    image = {"image": "b.jpg"}
    assert [row.reply for row in replies_of(data, {**image, "reply": "x"})] == [
        None,
        "x",
        None,
        "x",
    ]
    two = replies_of(data, {**image, "reply": "x"}, {**image, "reply": None, "why": "crashed"})
    assert [row.reply for row in two] == [None, "x", None, None]
    assert two[3].why == "crashed"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([{"image": "c.jpg"}, {"id": 9}, {"row": 5}], "3 replies belong to no row of the data: "),
        ([{"row": 9}] * 5, r"5 replies .*: line 1 \(row 9\), line 2 .*, line 3 .*, …"),
        ([{"row": 1}, {"id": "sign-1"}], "2 replies are for a row that has another one"),
        ([{"image": "b.jpg"}] * 3, "3 replies are for a row"),
        ([{"image": "b.jpg"}, {"row": 2}], "1 replies are for a row"),
        ([{"reply": "x", "ids": 1}], 'line 1: give "image" or "id"'),
    ],
)
def test_a_reply_without_a_row_of_its_own_is_refused(
    data: Path, lines: list[dict[str, Any]], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        replies_of(data, *({"reply": "x", **line} for line in lines))


def test_a_name_of_two_photos_names_neither(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    data = jsonl(tmp_path / "rows.jsonl", chat_row("a/1.jpg", "가"), chat_row("b/1.jpg", "나"))
    with pytest.raises(UsageError, match="belong to no row"):
        replies_of(data, {"image": "1.jpg", "reply": "x"})
    assert replies_of(data, {"image": "b/1.jpg", "reply": "x"})[1].reply == "x"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"image":"a.jpg"}\n', "line 1: no reply: .*`reply`"),
        (b'{"image":"a.jpg","reply":7}\n', "line 1: no reply: .*`str"),
        (b'{"predictions":1,"reader":"x"}\n', "no replies in it"),
        (b"", "no replies in it"),
        (b'\xef\xbb\xbf\n{"image":"a","reply":"\xff"}\n', "line 2: no reply"),
        (b"[1]\n", "line 1: no reply"),
    ],
)
def test_what_is_no_file_of_replies(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "replies.jsonl"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=words):
        read_replies(path)
