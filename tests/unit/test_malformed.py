"""Whatever a data set holds: each row is used, or is set aside with a reason that names it."""

import shutil
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from malformed import CASES, PHOTO, Case, picture, row

from core.config import ModelConfig
from core.data.dataset import SignRows
from core.data.survey import open_rows
from core.errors import DataGoneError
from core.model.families import QWEN2_VL
from core.model.load import open_config
from core.model.processing import Processing, load_processing
from core.model.vision import Tower
from core.train.loading.loader import load_steps
from core.train.loading.micro_batch import MicroBatch
from core.train.loading.step_plan import StepPlan


@pytest.fixture(scope="module")
def processing(tiny_model_folder: Path) -> Processing:
    return load_processing(ModelConfig(path=str(tiny_model_folder)), QWEN2_VL)


@cache
def tower() -> Tower:
    """The demo base's."""
    config, family = open_config(ModelConfig(path=str(files("core.demo") / "base")))
    return Tower.of(family, config)


def load(rows: SignRows, processing: Processing, *, workers: int = 0) -> Iterator[list[MicroBatch]]:
    return load_steps(
        rows,
        processing.encoder(16 * 784),
        processing.pad_token_id,
        tower(),
        StepPlan.of(rows, processing, 16 * 784, seed=0, batch=4, budget=1),
        start=0,
        stop=-(-len(rows) // 4),
        workers=workers,
        pin_memory=False,
    )


def loaded(rows: SignRows, processing: Processing, *, workers: int = 0) -> list[MicroBatch]:
    return [micro for step in load(rows, processing, workers=workers) for micro in step]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one sound photo."""
    made = tmp_path / "data"
    made.mkdir()
    picture((80, 50)).save(made / "good.png")
    return made


def write(folder: Path, *lines: bytes) -> Path:
    path = folder / "rows.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def test_there_are_at_least_sixty_and_no_name_twice() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 60


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_used_or_set_aside_with_a_reason_that_names_it(
    case: Case, folder: Path, processing: Processing
) -> None:
    rows = open_rows(write(folder, case.make(folder), row("good.png")), "set-aside")
    assert rows.photos[len(rows) - 1] == str(folder / "good.png")
    told = [(bad.line, bad.reason, bad.sentence) for bad in rows.set_aside]
    batches = loaded(rows, processing)
    replaced = [each for micro in batches for each in micro.replaced]
    assert sum(micro.samples for micro in batches) == len(rows)
    if case.late:
        assert told == []
        [found] = replaced
        assert (found.line, found.taken) == (1, 2)
        assert found.sentence.startswith(f"{rows.photos[0]}: can't be decoded")
        assert case.words in found.sentence
    elif case.reason:
        [(line, reason, sentence)] = told
        assert (line, reason, replaced) == (1, case.reason, [])
        assert case.words in sentence
        assert len(sentence) < 6000
        assert "\n" not in sentence
    else:
        assert (told, replaced) == ([], [])
        assert rows.size(0) == case.size


def delete(folder: Path) -> None:
    (folder / PHOTO).unlink()


def enlarge(folder: Path) -> None:
    picture((70, 40)).save(folder / PHOTO)


def rewrite(folder: Path) -> None:
    path = folder / "rows.jsonl"
    path.write_bytes(path.read_bytes().replace("마왕".encode(), "왕마".encode(), 1))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (delete, "no such file"),
        (enlarge, "the photo was 60x40 and is 70x40 now"),
        (rewrite, "the row was changed since the file was opened"),
    ],
)
def test_what_changes_after_the_survey_is_replaced_and_told(
    change: Callable[[Path], None], words: str, folder: Path, processing: Processing
) -> None:
    picture().save(folder / PHOTO)
    rows = open_rows(write(folder, row(), row("good.png", "원마트")), "refuse")
    change(folder)
    [found] = [each for micro in loaded(rows, processing) for each in micro.replaced]
    assert (found.line, found.taken) == (1, 2)
    assert words in found.sentence


def test_replacements_do_not_depend_on_the_workers(folder: Path, processing: Processing) -> None:
    lines = []
    for number in range(12):
        picture((56 + number, 56)).save(folder / f"{number}.jpg")
        lines.append(row(f"{number}.jpg", f"가게{number}"))
    rows = open_rows(write(folder, *lines), "refuse")
    for number in (2, 5, 6):
        photo = folder / f"{number}.jpg"
        photo.write_bytes(photo.read_bytes()[:700])
    alone, together = (loaded(rows, processing, workers=workers) for workers in (0, 2))
    assert [micro.replaced for micro in alone] == [micro.replaced for micro in together]
    assert sorted(each.line for micro in alone for each in micro.replaced) == [3, 6, 7]
    for ours, theirs in zip(alone, together, strict=True):
        pairs = zip(ours.batch.tensors(), theirs.batch.tensors(), strict=True)
        assert all(torch.equal(left, right) for left, right in pairs)


@pytest.mark.parametrize("workers", [0, 1])
def test_when_every_photo_is_gone_it_is_one_line(
    folder: Path, processing: Processing, workers: int
) -> None:
    path = write(folder, *(row("good.png", f"가{number}") for number in range(40)))
    rows = open_rows(path, "refuse")
    shutil.rmtree(folder / "good.png", ignore_errors=True)
    (folder / "good.png").unlink()
    with pytest.raises(DataGoneError) as gone:
        loaded(rows, processing, workers=workers)
    assert "16 rows one after another can't be read" in str(gone.value)
    assert "good.png: no such file; see whether the disk" in str(gone.value)
    assert "\n" not in str(gone.value)
