"""Each fault in a data set is found, told where it is, and nothing else is."""

import json
import os
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sign_rows import PROMPT, chat_row

from core.data import photos as photos_module
from core.data.audit.audit import audit
from core.data.audit.budgets import IMAGE_TOKENS
from core.data.audit.near import near_pairs
from core.data.audit.report import Audit
from core.data.photos import PhotoBook, perceptual_hash
from core.data.tokens import PixelGeometry
from core.demo.signboards import write_dataset

GEOMETRY = PixelGeometry(14, 2, 56 * 56)
Change = Callable[[Path], None]


def noise(seed: int, size: tuple[int, int] = (90, 60)) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def write_split(folder: Path, split: str, answers: Sequence[str], seed: int) -> Path:
    lines = []
    for number, answer in enumerate(answers):
        name = f"{split}{number}.jpg"
        noise(seed + number).save(folder / name)
        lines.append(json.dumps(chat_row(name, answer), ensure_ascii=False))
    path = folder / f"{split}.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data set with nothing wrong in it."""
    data = tmp_path / "data"
    data.mkdir()
    write_split(data, "train", ["마왕족발", "원마트 (ONE MART)", "세븐"], 0)
    write_split(data, "validation", ["서울식당", "부산식당"], 100)
    return data


def check(folder: Path, model: str | None = None) -> Audit:
    return audit(
        folder, None, PhotoBook(None, workers=1), model=model, family="qwen2_vl", tell=None
    )


def found(result: Audit) -> dict[str, tuple[str, int]]:
    return {each.kind: (each.level, each.count) for each in result.findings}


def edit_row(path: Path, number: int, change: Callable[[dict[str, Any]], None]) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    row = json.loads(lines[number])
    change(row)
    lines[number] = json.dumps(row, ensure_ascii=False)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def answer_to(path: Path, number: int, answer: str) -> None:
    def change(row: dict[str, Any]) -> None:
        row["messages"][1]["content"][0]["text"] = answer

    edit_row(path, number, change)


def locate(row: dict[str, Any]) -> None:
    row["metadata"] = {"location": "서울 종로구"}


def same_place(folder: Path) -> None:
    answer_to(folder / "validation.jsonl", 0, "마왕 족발")
    edit_row(folder / "train.jsonl", 0, locate)
    edit_row(folder / "validation.jsonl", 0, locate)


def copy(source: str, target: str) -> Change:
    def change(folder: Path) -> None:
        (folder / target).write_bytes((folder / source).read_bytes())

    return change


def answer(text: str) -> Change:
    return lambda folder: answer_to(folder / "train.jsonl", 1, text)


def resize_into_validation(folder: Path) -> None:
    noise(1).resize((120, 80)).save(folder / "validation0.jpg", quality=60)


def two_answers(folder: Path) -> None:
    copy("train0.jpg", "train1.jpg")(folder)


def repeat(folder: Path) -> None:
    copy("train0.jpg", "train1.jpg")(folder)
    answer_to(folder / "train.jsonl", 1, "마왕 족발")


def leak(folder: Path) -> None:
    copy("train0.jpg", "validation0.jpg")(folder)
    answer_to(folder / "validation.jsonl", 0, "마왕족발")


def make_long(folder: Path) -> None:
    noise(1, (2100, 60)).save(folder / "train1.jpg")


def animate(folder: Path) -> None:
    noise(1).save(folder / "train1.gif", save_all=True, append_images=[noise(9)])
    edit_row(
        folder / "train.jsonl",
        1,
        lambda row: row["messages"][0]["content"][0].update(image="train1.gif"),
    )


CASES: list[tuple[Change, dict[str, tuple[str, int]]]] = [
    (lambda folder: None, {}),
    (lambda folder: (folder / "train1.jpg").unlink(), {"rows-set-aside": ("failure", 1)}),
    (answer(" "), {"rows-set-aside": ("failure", 1)}),
    (answer(unicodedata.normalize("NFD", "세븐")), {"stored-in-nfd": ("warning", 1)}),
    (answer("원마트\u200b"), {"invisible-character": ("warning", 1)}),
    (answer("원마트\n둘째"), {"line-break": ("warning", 1)}),
    (answer("원마트 02-123-4567"), {"phone-number": ("warning", 1)}),
    (answer("원마트 1588-1234"), {"phone-number": ("warning", 1)}),
    (answer("가" * 61), {"long-answer": ("warning", 1)}),
    (answer("日本料理"), {"other-script": ("info", 1)}),
    (answer(PROMPT), {"answer-is-prompt": ("warning", 1)}),
    (two_answers, {"conflicting-answers": ("failure", 1), "repeated-photo": ("warning", 1)}),
    (repeat, {"repeated-photo": ("warning", 1)}),
    (leak, {"photo-leak": ("failure", 1), "name-on-both-sides": ("info", 1)}),
    (resize_into_validation, {"near-photo-leak": ("warning", 1)}),
    (same_place, {"place-leak": ("failure", 1), "name-on-both-sides": ("info", 1)}),
    (make_long, {"long-photo": ("warning", 1)}),
    (animate, {"animated": ("warning", 1)}),
]


@pytest.mark.parametrize(("change", "expected"), CASES)
def test_each_fault_is_found_and_nothing_else(
    folder: Path, change: Change, expected: dict[str, tuple[str, int]]
) -> None:
    change(folder)
    result = check(folder)
    assert found(result) == expected
    assert result.inputs == result.kept + sum(result.set_aside.values()) == 5
    levels = {level for level, _count in expected.values()}
    assert result.failed(strict=False) == ("failure" in levels)
    assert result.failed(strict=True) == bool({"failure", "warning"} & levels)


def test_a_row_set_aside_has_its_place_and_reason(folder: Path) -> None:
    (folder / "validation1.jpg").write_bytes(b"<html>gone</html>")
    result = check(folder)
    [bad] = result.rows_set_aside
    assert (bad.file, bad.line, bad.reason) == (str(folder / "validation.jsonl"), 2, "not-an-image")
    assert bad.sentence.startswith(f"{folder / 'validation1.jpg'}: not an image")
    assert result.set_aside == {"not-an-image": 1}


def test_budgets_are_the_geometrys(folder: Path, tiny_model_folder: Path) -> None:
    sizes = [(1000, 400), (300, 2000), (90, 60), (640, 480), (56, 56)]
    names = ["train0", "train1", "train2", "validation0", "validation1"]
    for size, name in zip(sizes, names, strict=True):
        noise(len(name), size).save(folder / f"{name}.jpg")
    result = check(folder, str(tiny_model_folder))
    assert result.text_tokens == "exact"
    native = [GEOMETRY.image_tokens(w, h, 10**9) for w, h in sizes]
    for budget, tokens in zip(result.budgets, (*IMAGE_TOKENS, 10**6), strict=True):
        counts = [GEOMETRY.image_tokens(w, h, tokens * 784) for w, h in sizes]
        assert budget.image_tokens.max == max(counts)
        assert budget.image_tokens.mean == pytest.approx(sum(counts) / 5, abs=0.01)
        assert budget.shrunk == sum(a < b for a, b in zip(counts, native, strict=True))
    assert result.worst is not None
    assert result.worst.most_image_tokens.tokens == max(native)
    assert result.worst.most_image_tokens.photo == str(folder / "train1.jpg")
    assert result.worst.most_text_tokens.line == 2
    assert result.worst.both == max(native) + result.worst.most_text_tokens.tokens


def test_text_tokens_are_what_training_counts_and_bytes_bound_them(
    folder: Path, tiny_model_folder: Path
) -> None:
    from core.config import ModelConfig
    from core.model.families import QWEN2_VL
    from core.model.processing import load_processing

    exact, bound = check(folder, str(tiny_model_folder)), check(folder)
    text = load_processing(ModelConfig(path=str(tiny_model_folder)), QWEN2_VL).text
    trained = text.token_count(PROMPT, "원마트 (ONE MART)")
    assert exact.worst is not None
    assert bound.worst is not None
    assert trained <= exact.worst.most_text_tokens.tokens <= bound.worst.most_text_tokens.tokens
    assert bound.text_tokens == "upper bound"


@given(st.lists(st.integers(0, 2**64 - 1), unique=True, max_size=40), st.data())
def test_near_pairs_are_those_of_brute_force(drawn: list[int], data: st.DataObject) -> None:
    for value in list(drawn[:10]):
        bits = data.draw(st.lists(st.integers(0, 63), max_size=6))
        flipped = value
        for bit in bits:
            flipped ^= 1 << bit
        if flipped not in drawn:
            drawn.append(flipped)
    expected = {
        (a, b)
        for a in range(len(drawn))
        for b in range(a + 1, len(drawn))
        if (drawn[a] ^ drawn[b]).bit_count() <= 4
    }
    pairs = near_pairs(np.array(drawn, dtype=np.uint64), 4)
    assert {(a, b) for a, b in pairs.tolist()} == expected


def test_photos_scaled_or_compressed_again_are_near_and_other_signs_are_not(
    tmp_path: Path,
) -> None:
    write_dataset(tmp_path, train=120, validation=0, seed=3)
    hashes = []
    for number, path in enumerate(sorted((tmp_path / "images" / "train").iterdir())):
        with Image.open(path) as photo:
            hashes.append(perceptual_hash(photo))
            smaller = photo.resize((photo.width * 2 // 3, photo.height * 2 // 3))
            smaller.save(tmp_path / "again.jpg", quality=70)
        if number % 4 == 0:
            with Image.open(tmp_path / "again.jpg") as again:
                apart = (hashes[-1] ^ perceptual_hash(again)) & (2**64 - 1)
                assert apart.bit_count() <= 4
    values = np.unique(np.array(hashes, dtype=np.int64)).view(np.uint64)
    assert len(values) == 120
    assert len(near_pairs(values, 4)) == 0


def test_a_second_audit_decodes_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def once() -> Audit:
        book = PhotoBook(tmp_path / "cache" / "photos.sqlite", workers=1)
        return audit(folder, None, book, model=None, family="qwen2_vl", tell=None)

    first = once()
    monkeypatch.setattr(photos_module, "_read", None)
    assert once() == first
    noise(77).save(folder / "train1.jpg")
    with pytest.raises(TypeError):
        once()


def kocr(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kocr_tui.cli", "check", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "KOCR_HOME": str(home), "LANG": "C.UTF-8"},
    )


def test_the_command(folder: Path, tmp_path: Path) -> None:
    clean = kocr(tmp_path, str(folder))
    assert (clean.returncode, clean.stderr) == (0, "")
    assert "5 rows, 5 usable" in clean.stdout
    assert "✓ nothing wrong found" in clean.stdout
    answer_to(folder / "train.jsonl", 0, "\u200b원마트 \x1b]0;evil\x07")
    answer_to(folder / "train.jsonl", 1, "줄\n바꿈")
    bad = kocr(tmp_path, str(folder))
    assert bad.returncode == 1
    assert "\x1b" not in bad.stdout
    assert "✗ 1 rows can't be used" in bad.stdout
    assert kocr(tmp_path, str(folder / "train.jsonl"), str(folder / "none.jsonl")).returncode == 2
    (folder / "train0.jpg").unlink()
    report = json.loads(kocr(tmp_path, str(folder), "--json").stdout)
    keys = {"inputs", "kept", "set_aside", "photos", "labels", "budgets", "worst", "findings"}
    assert keys <= set(report)
    assert report["set_aside"] == {"control-character": 1}
    answer_to(folder / "train.jsonl", 0, "원마트")
    noise(5).save(folder / "train0.jpg")
    assert kocr(tmp_path, str(folder)).returncode == 0
    assert kocr(tmp_path, str(folder), "--strict").returncode == 1
