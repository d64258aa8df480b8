"""Label files of every kind, as their makers write them, become the rows they mean."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sign_rows import chat_row

from core.data import sources
from core.data.sources import template
from core.data.sources.boxes import BoxedText, in_reading_order
from core.data.sources.items import Box, Labelled, Rejected
from core.errors import UsageError


def write(path: Path, document: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    return path


def read(path: Path, *, crops: bool = False) -> list[Any]:
    kind = sources.recognise(path)
    return list(sources.read(path, kind, template=template.DEFAULT, crops=crops))


STORES = {
    "images": [
        {
            "fileName": "1.jpg",
            "store_kor_name": "원마트",
            "store_eng_name": "ONE MART",
            "business_category": "소매",
            "item_sub_category": "편의점",
            "location": "서울 종로구",
        },
        {"fileName": "2.jpg", "store_kor_name": "마왕족발", "store_eng_name": None},
        {"fileName": "3.jpg", "store_kor_name": "", "store_eng_name": "KOKORO"},
    ]
}


def test_store_names(tmp_path: Path) -> None:
    path = write(tmp_path / "labels.json", STORES)
    assert sources.recognise(path) == "store-names"
    rows = read(path)
    assert [row.answer for row in rows] == ["원마트 (ONE MART)", "마왕족발", "KOKORO"]
    assert [row.image for row in rows] == ["1.jpg", "2.jpg", "3.jpg"]
    assert rows[0].place == "labels.json images[0]"
    assert rows[0].metadata == {
        "business_category": "소매",
        "item_sub_category": "편의점",
        "location": "서울 종로구",
        "store_kor_name": "원마트",
        "store_eng_name": "ONE MART",
    }
    assert rows[1].metadata == {"store_kor_name": "마왕족발"}


def test_one_bad_element_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_bytes(
        '\ufeff{"images": [{"fileName": 3}, {"fileName": "a", "fileName": "b"}, '.encode()
        + b'{"fileName": "\xff"}, '
        + '{"fileName": "1.jpg", "store_kor_name": "가"}]}'.encode()
    )
    wrong, twice, bytes_, good = read(path)
    assert (bytes_.reason, bytes_.place) == ("bad-encoding", "labels.json images[2]")
    assert (wrong.reason, wrong.place) == ("wrong-structure", "labels.json images[0]")
    assert (twice.reason, twice.sentence) == ("duplicate-key", "the key 'fileName' is given twice")
    assert good.answer == "가"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"images": [{"fileName": "1.jpg"}', ["labels.json", "not JSON"]),
        (b'{"pictures": []}', ["labels.json", "not a row of this kind"]),
        (b"", ["labels.json", "not JSON"]),
        (b'{"images": [] \xff}', ["labels.json", "not UTF-8 at byte 15"]),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(
    tmp_path: Path, content: bytes, words: list[str]
) -> None:
    path = tmp_path / "labels.json"
    path.write_bytes(content)
    with pytest.raises(UsageError) as refused:
        list(sources.read(path, "store-names", template=template.DEFAULT, crops=False))
    assert all(word in str(refused.value) for word in words)
    assert "\n" not in str(refused.value)


def test_a_file_of_no_known_kind_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    path = write(tmp_path / "labels.json", {"pictures": []})
    with pytest.raises(UsageError, match=r"--from .*store-names, aihub-105"):
        sources.recognise(path)


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("{korean} ({english})", {"korean": "원마트", "english": "ONE"}, "원마트 (ONE)"),
        ("{korean} ({english})", {"korean": "원마트", "english": ""}, "원마트"),
        ("{korean} ({english})", {"korean": "", "english": "ONE"}, "ONE"),
        ("{korean} ({english})", {"korean": "원(주)", "english": ""}, "원(주)"),
        ("{korean} ({english})", {"korean": "(주)원", "english": ""}, "(주)원"),
        ("{korean}", {"korean": "(원)", "english": ""}, "(원)"),
        ("{english} [{korean}]", {"korean": "원", "english": "ONE"}, "ONE [원]"),
        ("{korean} - {location}", {"korean": "원", "location": "서울"}, "원 - 서울"),
        ("{korean} ({english})", {"korean": "{english}", "english": "X"}, "{english} (X)"),
    ],
)
def test_templates(text: str, values: dict[str, str], expected: str) -> None:
    assert template.fill(template.check(text), values) == expected


@pytest.mark.parametrize("wrong", ["{name}", "{", "plain", "{korean} {0}"])
def test_wrong_templates_are_refused(wrong: str) -> None:
    with pytest.raises(UsageError, match="--template"):
        template.check(wrong)


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_template_never_loses_a_name(korean: str, english: str) -> None:
    korean, english = " ".join(korean.split()), " ".join(english.split())
    filled = template.fill(template.DEFAULT, {"korean": korean, "english": english})
    assert korean in filled
    assert english in filled


def label_105(text: list[tuple[str, list[float]]], size: tuple[int, int] = (100, 80)) -> object:
    return {
        "images": [{"file_name": "a.jpg", "width": size[0], "height": size[1]}],
        "annotations": [{"bbox": box, "text": word} for word, box in text],
    }


def test_aihub_105_as_whole_photos(tmp_path: Path) -> None:
    words = [("둘", [40.0, 10.0, 20.0, 10.0]), ("셋", [5.0, 40.0, 20.0, 10.0])]
    words += [("하나", [5.0, 12.0, 20.0, 10.0]), ("xxx", [0.0, 0.0, 5.0, 5.0])]
    write(tmp_path / "labels" / "b" / "2.json", label_105(words))
    write(tmp_path / "labels" / "1.json", label_105([("xxx", [0.0, 0.0, 5.0, 5.0])]))
    write(tmp_path / "labels" / "3.json", {"images": []})
    empty, three, row = read(tmp_path / "labels")
    assert (empty.place, empty.reason) == ("1.json", "illegible")
    assert (three.place, three.reason) == ("3.json", "wrong-image-count")
    assert (row.place, row.image, row.answer) == ("b/2.json", "a.jpg", "하나 둘 셋")


def test_aihub_105_as_crops(tmp_path: Path) -> None:
    write(tmp_path / "labels" / "1.json", label_105([("가", [1, 2, 3, 4]), ("xxx", [0, 0, 5, 5])]))
    row, bad = read(tmp_path / "labels", crops=True)
    assert row.box == Box(1, 2, 3, 4, (100, 80))
    assert (bad.place, bad.reason) == ("1.json annotations[1]", "illegible")


def test_aihub_81(tmp_path: Path) -> None:
    document = {
        "info": {"name": "Text in the wild"},
        "images": [
            {"id": 7, "width": 100, "height": 80, "file_name": "7.jpg", "type": "sign"},
            {"id": 8, "width": 100, "height": 80, "file_name": "8.jpg", "type": "book"},
        ],
        "annotations": [
            {"id": 1, "image_id": 7, "text": "가게", "bbox": [0, 0, 9, 9], "attributes": {}},
            {
                "id": 2,
                "image_id": 7,
                "text": "가",
                "bbox": [0, 0, 4, 9],
                "attributes": {"class": "character"},
            },
            {"id": 3, "image_id": 99, "text": "밖", "bbox": [0, 0, 4, 9]},
            {"id": 4, "image_id": 7, "text": "상자", "bbox": [0, 0, 4]},
        ],
        "licenses": [],
    }
    path = write(tmp_path / "textinthewild_data_info.json", document)
    assert sources.recognise(path) == "aihub-81"
    found = read(path)
    [row] = [item for item in found if isinstance(item, Labelled)]
    assert (row.image, row.answer, row.metadata) == ("7.jpg", "가게", {"type": "sign"})
    reasons = {item.place.rpartition(" ")[2]: item.reason for item in found if item is not row}
    assert reasons == {
        "annotations[3]": "wrong-structure",
        "images[1]": "illegible",
        "annotations[2]": "unknown-image",
    }


def test_reading_order_is_by_line_then_from_the_left() -> None:
    boxes = [("d", 50, 30), ("a", 0, 3), ("c", 2, 28), ("b", 40, 0)]
    texts = [BoxedText("", text, (x, y, 20, 20)) for text, x, y in boxes]
    assert [box.text for box in in_reading_order(texts)] == ["a", "b", "c", "d"]


CHAT = {
    "image": "1.jpg",
    "conversations": [
        {"role": "user", "content": "<image>\n무슨 가게?"},
        {"role": "assistant", "content": "마왕족발"},
    ],
    "metadata": {"location": "서울"},
}
SHAREGPT = {
    "id": "x",
    "image": "1.jpg",
    "conversations": [
        {"from": "human", "value": "<image>\n무슨 가게?"},
        {"from": "gpt", "value": "마왕족발"},
    ],
}
SHAREGPT_MESSAGES = {
    "images": ["1.jpg"],
    "messages": [
        {"role": "user", "content": "<image>무슨 가게?"},
        {"role": "assistant", "content": "마왕족발"},
    ],
}
MESSAGES = chat_row("1.jpg", "마왕족발", "무슨 가게?")


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (CHAT, "chat"),
        (SHAREGPT, "sharegpt"),
        (SHAREGPT_MESSAGES, "sharegpt"),
        (MESSAGES, "messages"),
    ],
)
@pytest.mark.parametrize("as_list", [True, False])
def test_chats(tmp_path: Path, row: dict[str, Any], kind: str, as_list: bool) -> None:
    if as_list:
        path = write(tmp_path / "rows.json", [row, {}])
    else:
        path = tmp_path / "rows.jsonl"
        path.write_text(json.dumps(row, ensure_ascii=False) + "\r\n\r\n{}\r\n", encoding="utf-8")
    assert sources.recognise(path) == kind
    good, bad = read(path)
    assert (good.image, good.prompt, good.answer) == ("1.jpg", "무슨 가게?", "마왕족발")
    assert good.metadata == row.get("metadata", {})
    assert isinstance(bad, Rejected)
    assert bad.place == ("rows.json[1]" if as_list else "rows.jsonl line 3")


def test_a_line_that_is_no_utf8_costs_only_itself(tmp_path: Path) -> None:
    good = json.dumps(CHAT, ensure_ascii=False).encode()
    (tmp_path / "rows.jsonl").write_bytes(good + b'\n{"image": "\xff"}\n' + good + b"\n")
    first, bad, last = read(tmp_path / "rows.jsonl")
    assert first.answer == last.answer == "마왕족발"
    assert (bad.reason, bad.place) == ("bad-encoding", "rows.jsonl line 2")
