"""No row larger than what was proved to fit is trained on, and no micro-batch is larger either."""

from collections.abc import Callable
from pathlib import Path

import pytest
from training import Bench

from core.data.survey import open_rows
from core.errors import DataGoneError
from core.events import Setup
from core.train.loading.loader import load_steps
from core.train.loading.micro_batch import MicroBatch
from core.train.loading.step_plan import Certified, StepPlan

MAX_PIXELS = 40 * 784
ROWS = [
    ("a.png", (112, 84), "가게"),
    ("b.png", (200, 140), "마왕족발"),
    ("c.png", (84, 84), "꽃집"),
    ("d.png", (84, 112), "행복한 세탁소 본점 (HAPPY LAUNDRY)"),
    ("e.png", (84, 84), "빵"),
]


@pytest.fixture(scope="module")
def bench(tiny_model_folder: Path) -> Bench:
    return Bench.of(tiny_model_folder)


@pytest.fixture
def path(write_rows: Callable[..., Path]) -> Path:
    return write_rows(ROWS)


def epoch(bench: Bench, path: Path, certified: Certified, budget: int) -> list[MicroBatch]:
    rows = open_rows(path, "refuse")
    plan = StepPlan.of(
        rows, bench.processing, MAX_PIXELS, certified=certified, seed=0, batch=5, budget=budget
    )
    steps = load_steps(
        rows,
        bench.processing.encoder(MAX_PIXELS),
        bench.processing.pad_token_id,
        bench.tower,
        plan,
        start=0,
        stop=1,
        workers=0,
        pin_memory=False,
    )
    return [micro for step in steps for micro in step]


def told(batches: list[MicroBatch]) -> list[tuple[int, str]]:
    return [(row.line, row.sentence) for micro in batches for row in micro.replaced]


def largest(bench: Bench, path: Path) -> tuple[int, int, int]:
    """Most image tokens, most text tokens, and most tokens of a row."""
    rows = open_rows(path, "refuse")
    images = rows.image_tokens(bench.processing.geometry, MAX_PIXELS).tolist()
    texts = [
        bench.processing.text.token_count(rows[index].prompt, rows[index].answer)
        for index in range(len(rows))
    ]
    both = [image + text for image, text in zip(images, texts, strict=True)]
    return max(images), max(texts), max(both)


def test_rows_as_large_as_what_was_proved_are_used(bench: Bench, path: Path) -> None:
    certified = Certified(*largest(bench, path))
    batches = epoch(bench, path, certified, budget=1)
    assert told(batches) == []
    assert sum(micro.samples for micro in batches) == len(ROWS)


@pytest.mark.parametrize(
    ("less", "line", "kind"),
    [
        ((1, 0, 0), 2, "image tokens"),
        ((0, 1, 0), 4, "text tokens"),
        ((0, 0, 1), 2, "tokens in all"),
    ],
)
def test_a_larger_row_is_replaced_and_told_with_its_size(
    bench: Bench, path: Path, less: tuple[int, int, int], line: int, kind: str
) -> None:
    most = [count - off for count, off in zip(largest(bench, path), less, strict=True)]
    batches = epoch(bench, path, Certified(*most), budget=1)
    [(found, sentence)] = told(batches)
    assert found == line
    assert f"{ROWS[line - 1][0]}: " in sentence
    assert f" {kind}, more than the " in sentence
    assert sum(micro.samples for micro in batches) == len(ROWS), "another row stands in for it"


def test_what_was_not_probed_bounds_nothing(bench: Bench, path: Path) -> None:
    setup = Setup(
        weights="fp32",
        rank=4,
        targets="language",
        checkpointing="none",
        micro_batch_tokens=1,
        max_pixels=MAX_PIXELS,
        image_tokens=0,
    )
    assert told(epoch(bench, path, Certified.of(setup), budget=1)) == []


def test_when_no_row_is_small_enough_it_is_one_line(bench: Bench, path: Path) -> None:
    with pytest.raises(DataGoneError, match="more than the 3 that were proved to fit"):
        epoch(bench, path, Certified(image_tokens=3), budget=1)


@pytest.mark.parametrize("budget", [1, 60, 90, 120, 200, 1000])
@pytest.mark.parametrize("off", [0, 1])
def test_no_micro_batch_is_above_the_budget_and_the_largest_certified_sample(
    bench: Bench, path: Path, budget: int, off: int
) -> None:
    images, texts, both = largest(bench, path)
    certified = Certified(images - off, texts, both)
    for micro in epoch(bench, path, certified, budget):
        padding = 7
        assert sum(micro.batch.lengths) <= max(budget, both) + padding
