"""A conversion accounts for every row, repeats to the byte and overwrites nothing unasked."""

import json
import os
import subprocess
import sys
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sign_rows import STORED_AS

from core.data.convert import Request, convert
from core.data.crops import upright_rectangle
from core.data.images import ON_THEIR_SIDE, read_photo
from core.data.photos import PhotoBook
from core.data.receipt import Receipt
from core.data.sources.items import Box
from core.data.splits import groups, is_validation
from core.data.survey import open_rows
from core.data.unusable import UnusableError
from core.errors import KocrError, UsageError


def write_stores(folder: Path, count: int, broken: tuple[int, ...] = ()) -> Path:
    """A store-names JSON and its photos; every third shop has an English name."""
    (folder / "photos").mkdir(parents=True)
    images = []
    for number in range(count):
        name = f"{number}.jpg"
        if number not in broken:
            Image.new("RGB", (60 + number, 60), (9 * number, 0, 0)).save(folder / "photos" / name)
        english = f"SHOP {number}" if number % 3 == 0 else None
        store = {"fileName": name, "store_kor_name": f"가게{number // 2}", "location": "서울"}
        images.append({**store, "store_eng_name": english})
    path = folder / "labels.json"
    path.write_text(json.dumps({"images": images}, ensure_ascii=False), encoding="utf-8")
    return path


def run(request: Request) -> Receipt:
    return convert(request, PhotoBook(None, workers=1), 1, None)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def request_of_ten(tmp_path: Path) -> Request:
    source = write_stores(tmp_path, 10, broken=(4, 7))
    return Request(source, tmp_path / "out", images=tmp_path / "photos")


def test_every_row_is_kept_or_set_aside_with_place_and_reason(request_of_ten: Request) -> None:
    receipt = run(request_of_ten)
    assert (receipt.inputs, receipt.kept, receipt.set_aside) == (10, 8, {"no-such-file": 2})
    assert [bad.place for bad in receipt.rows_set_aside] == [
        "labels.json images[4]",
        "labels.json images[7]",
    ]
    assert "4.jpg: no such file" in receipt.rows_set_aside[0].sentence
    rows = open_rows(request_of_ten.out / "train.jsonl", "refuse")
    assert len(rows) == 8
    assert [rows[0].answer, rows[1].answer] == ["가게0 (SHOP 0)", "가게0"]
    assert rows[0].metadata == {
        "location": "서울",
        "store_kor_name": "가게0",
        "store_eng_name": "SHOP 0",
    }
    written = json.loads((request_of_ten.out / "receipt.json").read_bytes())
    assert written["kept"] == 8
    assert sorted(path.name for path in request_of_ten.out.iterdir()) == [
        "receipt.json",
        "train.jsonl",
    ]


def test_a_second_run_gives_the_same_bytes(request_of_ten: Request) -> None:
    request = replace(request_of_ten, share=0.3)
    run(request)
    first = bytes_of(request.out)
    with pytest.raises(UsageError, match=r"train\.jsonl|receipt\.json"):
        run(request)
    assert bytes_of(request.out) == first
    run(replace(request, force=True))
    assert bytes_of(request.out) == first
    assert set(first) == {"receipt.json", "train.jsonl", "validation.jsonl"}


def test_a_split_keeps_a_shop_on_one_side(request_of_ten: Request) -> None:
    receipt = run(replace(request_of_ten, share=0.4))
    assert receipt.train + receipt.validation == 8
    assert receipt.groups == 5
    names = [
        {row.metadata["store_kor_name"] for row in map(rows.__getitem__, range(len(rows)))}  # type: ignore[index]
        for rows in (
            open_rows(request_of_ten.out / f"{side}.jsonl", "refuse")
            for side in ("train", "validation")
        )
    ]
    assert not names[0] & names[1]


def test_what_a_conversion_did_not_write_is_left_alone(request_of_ten: Request) -> None:
    request_of_ten.out.mkdir()
    (request_of_ten.out / "train.jsonl").write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        run(request_of_ten)
    with pytest.raises(UsageError, match="was not written by a conversion"):
        run(replace(request_of_ten, force=True))
    assert (request_of_ten.out / "train.jsonl").read_text() == "mine"
    assert len(list(request_of_ten.out.iterdir())) == 1


def test_photos_in_the_data_set_are_named_relative_to_it(tmp_path: Path) -> None:
    source = write_stores(tmp_path / "set", 3)
    run(Request(source, tmp_path / "set", images=tmp_path / "set" / "photos"))
    first = json.loads((tmp_path / "set" / "train.jsonl").read_text().splitlines()[0])
    assert first["messages"][0]["content"][0]["image"] == "photos/0.jpg"
    (tmp_path / "set").rename(tmp_path / "moved")
    assert len(open_rows(tmp_path / "moved" / "train.jsonl", "refuse")) == 3


def test_no_usable_row_is_a_failure_that_leaves_nothing(tmp_path: Path) -> None:
    source = write_stores(tmp_path, 2, broken=(0, 1))
    with pytest.raises(KocrError, match=r"none of 2 rows can be used; the first: .*images\[0\]"):
        run(Request(source, tmp_path / "out", images=tmp_path / "photos"))
    assert not (tmp_path / "out").exists()


def test_names_in_nfd_and_files_in_folders_below_are_found(tmp_path: Path) -> None:
    source = write_stores(tmp_path, 1)
    names = ["간판.jpg", "깊은.jpg", "둘.jpg", "../labels.json"]
    below = tmp_path / "photos" / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "photos" / "c").mkdir()
    photo = Image.new("RGB", (60, 60))
    photo.save(tmp_path / "photos" / unicodedata.normalize("NFD", names[0]))
    photo.save(below / unicodedata.normalize("NFD", names[1]))
    for folder in (below, tmp_path / "photos" / "c"):
        photo.save(folder / names[2])
    entries = [{"fileName": name, "store_kor_name": "가"} for name in names]
    source.write_text(json.dumps({"images": entries}), encoding="utf-8")
    receipt = run(Request(source, tmp_path / "out", images=tmp_path / "photos"))
    assert receipt.kept == 2
    assert receipt.set_aside == {"ambiguous-file": 1, "path-refused": 1}


keys = st.lists(st.lists(st.integers(0, 30), max_size=3), max_size=60)


@given(keys)
def test_rows_that_share_a_key_share_a_group(own: list[list[int]]) -> None:
    found = groups(own)
    for row, mine in enumerate(own):
        for other, theirs in enumerate(own):
            if set(mine) & set(theirs):
                assert found[row] == found[other]
    for owner in set(found):
        members = {row for row, group in enumerate(found) if group == owner}
        reached, grown = {owner}, {owner}
        while grown:
            held = {key for row in reached for key in own[row]}
            grown = {row for row in members - reached if held & set(own[row])}
            reached |= grown
        assert reached == members


@given(st.integers(0, 1000), st.sampled_from([0.1, 0.3, 0.5]))
def test_the_share_of_groups_is_kept(seed: int, share: float) -> None:
    chosen = sum(is_validation(f"group {number}", share, seed) for number in range(2000))
    assert abs(chosen / 2000 - share) < 0.06


# Where both frames have the same size, the upright one is taken.
FRAMES = [("upright", turn) for turn in STORED_AS] + [("stored", turn) for turn in ON_THEIR_SIDE]


@pytest.mark.parametrize(("frame", "orientation"), FRAMES)
def test_boxes_are_cut_whichever_way_up_they_were_drawn(
    tmp_path: Path, frame: str, orientation: int
) -> None:
    upright = Image.new("RGB", (120, 80), "white")
    upright.paste("red", (10, 20, 40, 30))
    turn = STORED_AS[orientation]
    stored = upright if turn is None else upright.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "labels").mkdir()
    stored.save(tmp_path / "labels" / "a.png", exif=exif)
    picture = upright if frame == "upright" else stored
    pixels = picture.convert("RGB").load()
    assert pixels is not None
    red = [
        (x, y)
        for x in range(picture.width)
        for y in range(picture.height)
        if pixels[x, y] == (255, 0, 0)
    ]
    (left, top), (right, bottom) = min(red), max(red)
    label = {
        "images": [{"file_name": "a.png", "width": picture.width, "height": picture.height}],
        "annotations": [
            {"bbox": [left, top, right - left + 1, bottom - top + 1], "text": "간판"},
            {"bbox": [500, 500, 10, 10], "text": "밖"},
            {"bbox": [-5, -5, 10, 10], "text": "가"},
        ],
    }
    (tmp_path / "labels" / "a.json").write_text(json.dumps(label), encoding="utf-8")
    receipt = run(Request(tmp_path / "labels", tmp_path / "out", crops=True))
    assert (receipt.inputs, receipt.kept, receipt.set_aside) == (3, 2, {"bad-box": 1})
    rows = open_rows(tmp_path / "out" / "train.jsonl", "refuse")
    crop = read_photo(rows[0].image)
    assert crop.size == (30, 10)
    assert crop.getcolors() == [(300, (255, 0, 0))]
    assert rows.size(1) == (5, 5)


def test_a_label_for_a_photo_of_another_size_is_set_aside() -> None:
    with pytest.raises(
        UnusableError, match="is for a photo of 300x200, the file has 100x80"
    ) as bad:
        upright_rectangle(Box(0, 0, 9, 9, (300, 200)), (100, 80), 1)
    assert bad.value.reason == "size-mismatch"


def kocr(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kocr_tui.cli", "convert", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "KOCR_HOME": str(home), "LANG": "C.UTF-8"},
    )


def test_the_command(tmp_path: Path) -> None:
    source = write_stores(tmp_path, 4, broken=(1,))
    arguments = [str(source), str(tmp_path / "out"), "--images", str(tmp_path / "photos")]
    done = kocr(tmp_path, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert "4 rows in, 3 kept" in done.stdout
    assert "1  no-such-file  labels.json images[1]: " in done.stdout
    again = kocr(tmp_path, *arguments)
    assert again.returncode == 2
    assert again.stderr.count("\n") == 1
    assert "--force" in again.stderr
    forced = kocr(tmp_path, *arguments, "--force", "--json", "--validation", str(source))
    receipt = json.loads(forced.stdout)
    assert (receipt["inputs"], receipt["kept"], receipt["set_aside"]) == (8, 6, {"no-such-file": 2})
    assert [entry["name"] for entry in receipt["outputs"]] == ["train.jsonl", "validation.jsonl"]
    wrong = kocr(tmp_path, str(tmp_path / "none.json"), str(tmp_path / "o"))
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "none.json: no such file" in wrong.stderr
