"""The demo's signs and base: deterministic, split by name, small, and able to read."""

import hashlib
import json
from pathlib import Path

import pytest

from core.config import ModelConfig
from core.data.images import read_photo
from core.data.survey import open_rows
from core.demo.prepare import demo_config, prepare
from core.demo.signboards import PROMPT, write_dataset
from core.evaluate.generate import SignReader
from core.evaluate.text import normalize
from core.hardware.device import CpuDevice
from core.model.load import load_model, open_config
from core.model.processing import load_processing

BASE = Path(demo_config().model.path)


@pytest.fixture(scope="module")
def signs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("signs")
    write_dataset(folder, train=80, validation=40, seed=3)
    return folder


def answers(file: Path) -> list[str]:
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [row["messages"][1]["content"][0]["text"] for row in rows]


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    signs: Path, tmp_path: Path
) -> None:
    write_dataset(tmp_path / "again", train=80, validation=40, seed=3)
    write_dataset(tmp_path / "other", train=80, validation=40, seed=4)
    first = digests(signs)
    assert digests(tmp_path / "again") == first
    other = digests(tmp_path / "other")
    assert all(other[name] != digest for name, digest in first.items())


def test_no_name_and_no_rendering_is_in_both_splits(signs: Path) -> None:
    train, validation = (answers(signs / f"{split}.jsonl") for split in ("train", "validation"))
    assert (len(train), len(validation)) == (80, 40)
    assert {normalize(name) for name in train}.isdisjoint(normalize(name) for name in validation)
    images = [digest for name, digest in digests(signs).items() if name.endswith(".jpg")]
    assert len(set(images)) == len(images) == 120


def test_rows_are_those_a_user_has(signs: Path) -> None:
    [first, *_] = (signs / "train.jsonl").read_text(encoding="utf-8").splitlines()
    user, assistant = json.loads(first)["messages"]
    assert user["content"][1] == {"type": "text", "text": PROMPT}
    assert (signs / user["content"][0]["image"]).is_file()
    assert assistant["role"] == "assistant"
    names = answers(signs / "train.jsonl")
    english = [name for name in names if name.endswith(")")]
    assert 0 < len(english) < len(names)
    assert all(" (" in name and name.split(" (")[1].rstrip(")").isascii() for name in english)


def test_the_base_is_a_small_folder_without_pickles() -> None:
    files = [path for path in BASE.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 8_000_000
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".jinja", ".md"}
    assert json.loads((BASE / "config.json").read_text())["model_type"] == "qwen2_vl"


def test_the_base_writes_what_it_sees_but_does_not_pick_the_name(signs: Path) -> None:
    """It finds the name on most photos, yet rarely replies with nothing but the name."""
    model = ModelConfig(path=str(BASE))
    _config, family = open_config(model)
    processing = load_processing(model, family)
    reader = SignReader(
        load_model(model, family, "fp32", "fp32"),
        processing,
        CpuDevice(2**34, 2**34),
        max_pixels=140 * 784,
        max_new_tokens=32,
    )
    rows = open_rows(signs / "validation.jsonl", "refuse")
    read = reader.read_rows(rows, range(len(rows)))
    contained = sum(
        normalize(one.truth.split(" (")[0]) in normalize(one.reply or "") for one in read
    )
    assert contained >= 20
    assert sum(one.normalized for one in read) <= 20
    assert all(read_photo(rows[index].image).mode == "RGB" for index in range(3))


def test_preparing_twice_makes_the_photos_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.demo.prepare.TRAIN_PHOTOS", 4)
    monkeypatch.setattr("core.demo.prepare.VALIDATION_PHOTOS", 2)
    config = prepare(tmp_path / "demo")
    assert config.is_file()
    photo = tmp_path / "demo" / "images" / "train" / "000001.jpg"
    first = photo.stat().st_mtime_ns
    prepare(tmp_path / "demo")
    assert photo.stat().st_mtime_ns == first
    monkeypatch.setattr("core.demo.prepare.TRAIN_PHOTOS", 5)
    prepare(tmp_path / "demo")
    assert (tmp_path / "demo" / "images" / "train" / "000005.jpg").is_file()
