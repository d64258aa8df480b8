"""Comparing runs, without a screen: settings, scores, curves, letters, and reading the folders."""

import shutil
from pathlib import Path

import msgspec
import pytest
from compared_runs import story_with, trained
from hypothesis import given
from hypothesis import strategies as st
from tui_story import setup, worker_of

from core.config import DataConfig, LoraConfig, ModelConfig, RunConfig, TrainConfig
from core.evaluate.text import Score, Scores
from core.events import DataOpened, Step, Validated, WorkerStarted
from kocr_tui import format as fmt
from kocr_tui.look.braille import BrailleGrid
from kocr_tui.reading.comparison_watch import ComparedReader
from kocr_tui.strings import LANGUAGES, use_language
from kocr_tui.views import comparison_curves as curves
from kocr_tui.views import comparison_scores as scoring
from kocr_tui.views.comparison import Compared, Difference, differences, names, reads_other_photos
from kocr_tui.widgets.compared_curves import legend_rows
from kocr_tui.widgets.compared_differences import cut_start, difference_lines
from kocr_tui.widgets.compared_tables import cost_lines, newest_lines, note_lines


@pytest.fixture(autouse=True)
def _english() -> None:
    use_language("en")


def config(name: str = "signs", **parts: object) -> RunConfig:
    data = DataConfig(train="/data/train.jsonl", validation="/data/val.jsonl")
    return RunConfig(name=name, **{"model": ModelConfig(path="m"), "data": data, **parts})  # type: ignore[arg-type]


def scores_of(right: int, n: int = 200, step: int = 100) -> Validated:
    part = Score.of(right, n)
    scores = Scores(n=n, exact=part, normalized=part, similarity80=part)
    return Validated(step=step, scope="rolling", scores=scores)


def test_only_what_differs_is_a_difference() -> None:
    runs = [
        Compared("a", config=config("a", lora=LoraConfig(rank=16))),
        Compared("b", config=config("b", lora=LoraConfig(rank=32), train=TrainConfig(seed=0))),
    ]
    assert differences(runs) == [Difference("lora.rank", ("16", "32"))]


def test_a_setting_that_is_not_given_is_shown_as_its_default() -> None:
    runs = [
        Compared("a", config=config()),
        Compared("b", config=config(train=TrainConfig(seed=7, micro_batch_tokens=2048))),
    ]
    assert differences(runs) == [
        Difference("train.micro_batch_tokens", ("not set", "2048")),
        Difference("train.seed", ("0", "7")),
    ]


def test_a_run_without_a_config_makes_no_difference_but_has_a_place_in_the_others() -> None:
    runs = [
        Compared("a", config=config(train=TrainConfig(batch=16))),
        Compared("b", problem="newer"),
        Compared("c", config=config(train=TrainConfig(batch=32))),
    ]
    assert differences(runs) == [Difference("train.batch", ("16", "?", "32"))]
    assert differences(runs[:2]) == []


def test_setups_rows_and_versions_that_differ_are_shown() -> None:
    def run(pixels: int, rows: int, torch: str) -> Compared:
        worker = WorkerStarted(
            pid=1, attempt=1, device="cuda", card="RTX 4090", profile="rtx4090",
            capacity_bytes=1, versions={"torch": torch, "peft": "0.18"},
        )  # fmt: skip
        data = DataOpened(train_rows=rows, validation_rows=200, set_aside=0)
        return Compared("x", worker=worker, data=data, choice=setup(pixels))

    found = {
        one.key: one.values
        for one in differences([run(1_003_520, 10, "2.10"), run(2_007_040, 12_000, "2.11")])
    }
    assert found == {
        "pixel budget": ("1.00 MP", "2.01 MP"),
        "image tokens": ("1,280", "2,560"),
        "micro-batch tokens": ("1,344", "2,624"),
        "training rows": ("10", "12,000"),
        "torch": ("2.10", "2.11"),
    }


def test_runs_of_one_name_go_by_their_ids() -> None:
    runs = [Compared("1-signs", config=config()), Compared("2-signs", config=config())]
    assert names(runs) == ["1-signs", "2-signs"]
    assert names([*runs[:1], Compared("3", config=config("간판"))]) == ["signs", "간판"]


def test_other_validation_rows_are_noticed() -> None:
    other = DataConfig(train="/data/train.jsonl", validation="/data/other.jsonl")
    runs = [Compared("a", config=config()), Compared("b", config=config(data=other))]
    assert reads_other_photos(runs)
    assert not reads_other_photos([runs[0], runs[0], Compared("c")])


def test_a_better_run_is_one_whose_interval_lies_above() -> None:
    high, low, close = Score.of(160, 200), Score.of(100, 200), Score.of(150, 200)
    assert scoring.verdict([low, high]) == scoring.Verdict(best=1, below=(0,), within=())
    assert scoring.verdict([high, close]) == scoring.Verdict(best=0, below=(), within=(1,))
    assert scoring.verdict([low, close, None, high]) == scoring.Verdict(3, below=(0,), within=(1,))
    assert scoring.verdict([high, None]) is None
    assert scoring.score_ranks([low, high]) == ["", "apart"]
    assert scoring.score_ranks([high, close, None]) == ["best", "", ""]
    tie = scoring.Verdict(best=1, below=(0,), within=(), equal=(2,))
    assert scoring.verdict([low, high, high]) == tie
    assert scoring.score_ranks([low, high, high]) == ["", "best", "best"]


def test_the_best_of_equal_values_is_not_marked() -> None:
    assert scoring.best_ranks([2.0, 2.0, None], larger=True) == ["", "", ""]
    assert scoring.best_ranks([2.0, 3.0, 3.0], larger=True) == ["", "best", "best"]
    assert scoring.best_ranks([2, 3, None], larger=False) == ["best", "", ""]


def test_the_stage_that_decides_is_the_latest_of_all_runs() -> None:
    ended = Compared("a", stages={"final": scores_of(9), "rolling": scores_of(8)})
    live = Compared("b", stages={"rolling": scores_of(8), "baseline": scores_of(1)})
    assert scoring.deciding_stage([ended, live]) == "rolling"
    assert scoring.deciding_stage([ended, ended]) == "final"
    assert scoring.deciding_stage([ended, Compared("c", stages={"baseline": scores_of(1)})]) is None


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_verdict_is_one_sentence_with_letters(language: str) -> None:
    use_language(language)
    mixed = scoring.sentence("exact", scoring.Verdict(best=1, below=(0, 3), within=(2,)))
    assert all(part in mixed for part in ("B", "A, D", "C", "95 %"))
    within = scoring.sentence("exact", scoring.Verdict(best=0, below=(), within=(1,)))
    apart = scoring.sentence("exact", scoring.Verdict(best=0, below=(1,), within=()))
    equal = scoring.sentence("exact", scoring.Verdict(best=0, below=(), within=(), equal=(2,)))
    assert "A, C" in equal
    assert "95 %" not in equal
    leaders = scoring.sentence("exact", scoring.Verdict(best=2, below=(1,), within=(), equal=(0,)))
    assert "A = C" in leaders
    assert len({mixed, within, apart, equal, leaders}) == 5


def test_scores_of_different_steps_come_with_a_word_of_caution() -> None:
    runs = [
        Compared("a", stages={"rolling": scores_of(160, step=100)}),
        Compared("b", stages={"rolling": scores_of(100, step=50)}),
    ]
    text = "\n".join(line.plain for line in newest_lines(runs, 78, 0.0))
    assert "A is better than B" in text
    assert "different steps" in text


def test_the_axis_counts_samples_where_batches_differ() -> None:
    small, large = Compared("a", batch=16, losses=((10, 0.5),)), Compared("b", batch=32)
    assert curves.axis_of([small, small, Compared("c")]) == "step"
    assert curves.axis_of([small, large]) == "samples"
    assert curves.curve(small, "loss", "step") == [(10, 0.5)]
    assert curves.curve(small, "loss", "samples") == [(160, 0.5)]


def test_scores_are_drawn_in_percent_without_those_of_no_rows() -> None:
    run = Compared("a", rolling=(scores_of(0, 0, 5), scores_of(50, 200, 10)))
    assert curves.curve(run, "normalized", "step") == [(10, 25.0)]


def test_ranges_hold_the_points() -> None:
    giants = [(float(x), 1.0) for x in range(99)] + [(99.0, 900.0)]
    low, high = curves.loss_range([giants], whole=True)
    assert (low, high) == (0.0, pytest.approx(1.0))
    low, high = curves.loss_range([[(0, 2.0), (1, 3.0)], []], whole=False)
    assert 1.5 < low < 2.0
    assert 3.0 < high < 3.5
    assert curves.percent_range([[(0, 71.0), (1, 74.0)]]) == (60.0, 80.0)
    assert curves.percent_range([[(0, 3.0)]]) == (0.0, 20.0)
    assert curves.percent_range([[]]) == (0.0, 100.0)
    low, high = curves.log_range([[(0, 0.0), (1, 0.1), (2, 10.0)]])
    assert 0 < low < 0.1
    assert high > 10


def test_no_two_letters_stand_in_one_cell() -> None:
    cells = curves.letter_cells([(30, 4), (30, 4), (30, 4), None, (79, 0)], 80, 6)
    assert cells == [(31, 4), (31, 3), (31, 5), None, (79, 0)]


@given(st.lists(st.sampled_from([[], [(1.0, 2.0)], [(1.0, 2.0), (2.0, 1.0)]]), max_size=6))
def test_a_curve_names_the_first_that_is_the_same(lines: list[list[tuple[float, float]]]) -> None:
    for index, twin in enumerate(curves.twins(lines)):
        before = [other for other in range(index) if lines[index] and lines[other] == lines[index]]
        assert twin == (before[0] if before else None)


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_each_of_lines_that_coincide_is_seen(count: int) -> None:
    grid = BrailleGrid(40, 4, (0, 10), (0, 1), dash=3)
    for number in range(count):
        grid.draw([(0, 0.5), (10, 0.5)], str(number))
    seen = [grid.cell(column, 1)[1] + grid.cell(column, 2)[1] for column in range(40)]
    assert set(seen) == {str(number) for number in range(count)}
    assert seen[:3] == ["0"] * 3


def test_paths_keep_their_ends() -> None:
    assert cut_start("/data/간판/train.jsonl", 16) == "…판/train.jsonl"
    assert fmt.width(cut_start("/data/간판/train.jsonl", 15)) <= 15
    assert cut_start("short", 16) == "short"


def test_a_value_without_room_goes_below_its_key() -> None:
    def of(folder: str) -> Compared:
        data = DataConfig(train=f"/data/{folder}/train.jsonl", validation="/data/val.jsonl")
        return Compared(folder, config=config(data=data))

    lines = [line.plain for line in difference_lines([of("signs-of-a-whole-city"), of("네온")], 60)]
    assert lines[1].strip() == "data.train"
    assert lines[2:] == [
        "  A /data/signs-of-a-whole-city/train.jsonl",
        "  B /data/네온/train.jsonl",
    ]


@pytest.mark.parametrize("columns", [76, 96, 116])
@pytest.mark.parametrize("count", [2, 3, 6])
def test_hangul_names_align(count: int, columns: int) -> None:
    given = ["signs", "간판-인식-실험", "a", "네온사인-네온사인-네온사인", "b", "ㄱ"]
    runs = tuple(
        Compared(
            str(at), live="done", config=config(given[at]), stages={"final": scores_of(90 + at)}
        )
        for at in range(count)
    )
    for rows in (
        newest_lines(runs, columns, 0.0)[: count + 1],
        cost_lines(runs, columns, 0.0)[:-1],
    ):
        assert len({fmt.width(row.plain) for row in rows}) == 1
        assert fmt.width(rows[0].plain) <= columns
    legend = legend_rows(runs, columns)
    assert all(fmt.width(row.plain) <= columns for row in legend)
    joined = " ".join(row.plain for row in legend)
    assert all(f"{letter}━" in joined for letter in "ABCDEF"[:count])


def test_the_peak_is_that_of_every_step(runs: Path) -> None:
    story = trained(story_with(runs, "signs"), right=None, steps=3)
    reader = ComparedReader(story.run)
    with worker_of(story.run):
        assert reader.look()
        usual = reader.compared.peak_bytes
        assert usual is not None
        last = next(one for one in reversed(story.run.events().poll()) if isinstance(one, Step))
        story.put(msgspec.structs.replace(last, step=4, peak_bytes=usual + 5))
        story.step(5)
        assert reader.look()
        assert reader.compared.peak_bytes == usual + 5
        assert reader.compared.step == 5
        assert not reader.look()


def test_a_run_that_ended_is_read_once_until_a_worker_takes_it_up(runs: Path) -> None:
    story = trained(story_with(runs, "signs"), steps=10)
    reader = ComparedReader(story.run)
    assert reader.look()
    story.step(11)
    assert not reader.look()
    assert reader.compared.step == 10
    with worker_of(story.run):
        assert reader.look()
        assert reader.compared.step == 11


def test_a_deleted_run_stays_as_it_was(runs: Path) -> None:
    story = trained(story_with(runs, "signs"), right=None, steps=10)
    reader = ComparedReader(story.run)
    with worker_of(story.run):
        reader.look()
    before = reader.compared
    shutil.rmtree(story.run.path)
    assert reader.look()
    assert reader.compared.gone
    assert (reader.compared.live, reader.compared.losses) == (before.live, before.losses)
    assert not reader.look()


def test_events_that_cannot_be_read_are_told(runs: Path) -> None:
    story = trained(story_with(runs, "signs"), right=None, steps=2)
    reader = ComparedReader(story.run)
    with worker_of(story.run):
        reader.look()
        story.run.events_file.unlink()
        story.run.events_file.mkdir()
        assert reader.look()
    assert reader.compared.trouble
    assert reader.compared.step == 2
    text = "\n".join(line.plain for line in note_lines([reader.compared], 80, 0.0))
    assert f"A: nothing new can be read of it: {reader.compared.trouble}" in text


def test_without_a_config_the_first_step_tells_the_batch(runs: Path) -> None:
    story = trained(story_with(runs, "signs"), right=None, steps=2)
    story.run.config_file.write_text("[lora]\nshape = 3\n", encoding="utf-8")
    reader = ComparedReader(story.run)
    reader.look()
    assert reader.compared.config is None
    assert "config.toml" in reader.compared.problem
    assert reader.compared.batch == 16
