"""A resume that was refused since something is not as it was: shown, asked about, allowed."""

from pathlib import Path

import pytest
from tui_pilot import shows, until
from tui_story import EPOCH, Story

from core import toml_file
from core.config import RunConfig
from core.events import Difference, ResumeRefused
from core.run_dir import RunDir
from core.run_watch import watch
from kocr_tui.app import ConsoleApp
from kocr_tui.plain.follow import _Printer
from kocr_tui.plain.report import status
from kocr_tui.views.run_row import RowMaker

DIFFERENCES = (
    Difference(name="config-changed", before="train.seed = 1", now="train.seed = 2"),
    Difference(name="data-changed", before="train.jsonl: 5 rows", now="[b]train.jsonl: 6 rows"),
)


def refused_story(runs: Path) -> Story:
    story = Story(runs)
    story.start()
    story.train(5)
    story.finish("stopped", "stopped on request", 3)
    story.start()
    story.put(ResumeRefused(differences=DIFFERENCES))
    story.finish("failed", "signs: config-changed: …", 2)
    return story


@pytest.mark.parametrize(("answer", "started"), [("y", 1), ("n", 0)])
async def test_r_asks_with_every_difference_and_allows_those_alone(
    runs: Path, monkeypatch: pytest.MonkeyPatch, answer: str, started: int
) -> None:
    story = refused_story(runs)
    launched: list[tuple[str, tuple[str, ...]]] = []

    def launch(run: RunDir, allow: tuple[str, ...] = ()) -> int:
        launched.append((run.id, allow))
        return 1

    monkeypatch.setattr("core.launch.launch", launch)
    app = ConsoleApp(runs, story.run.id, "en", clock=lambda: EPOCH + 1000)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, shows(pilot, "not as it was when the run began", "r asks"))
        await until(pilot, shows(pilot, "│ data-changed: train.jsonl: 5 rows → [b]train.jsonl: 6"))
        await pilot.press("r")
        question = "although this is not as it was?"
        await until(
            pilot, shows(pilot, question, "config-changed: train.seed = 1 → train.seed = 2")
        )
        assert launched == []
        await pilot.press(answer)
        await until(pilot, lambda: not shows(pilot, question)())
        await until(pilot, lambda: len(launched) == started)
    expected = [(story.run.id, ("config-changed", "data-changed"))]
    assert launched == expected[:started]


async def test_it_is_told_in_korean(runs: Path) -> None:
    story = refused_story(runs)
    app = ConsoleApp(runs, story.run.id, "ko", clock=lambda: EPOCH + 1000)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, shows(pilot, "달라진 것이 있어 이어 가지 않았습니다", "data-changed"))
        await pilot.press("r")
        await until(pilot, shows(pilot, "그래도 이어 갈까요?", "config-changed"))


async def test_a_run_that_is_done_resumes_only_with_more_epochs(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = Story(runs)
    story.start()
    story.train(5)
    story.finish("done", "trained 400 steps", 0)
    launched: list[RunDir] = []
    monkeypatch.setattr("core.launch.launch", lambda run: launched.append(run) or 1)
    app = ConsoleApp(runs, story.run.id, "en", clock=lambda: EPOCH + 1000)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, shows(pilot, "✓ Done"))
        await pilot.press("r")
        await until(pilot, shows(pilot, "can't be resumed: it is done"))
        assert launched == []
        give_epochs(story.run, 3)
        await pilot.press("r")
        await until(pilot, lambda: bool(launched))
    assert RowMaker(story.run).row().epochs == 2


def give_epochs(run: RunDir, epochs: int) -> None:
    document = toml_file.plain(toml_file.read(run.config_file, RunConfig))
    document["train"]["epochs"] = epochs
    config = toml_file.convert(document, RunConfig, "config.toml")
    run.config_file.write_text(toml_file.encode(config), encoding="utf-8")


def test_plain_lines_and_json_name_each_difference(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    story = refused_story(runs)
    _Printer(story.run.id).show(ResumeRefused(differences=DIFFERENCES))
    assert capsys.readouterr().out.splitlines() == [
        "config-changed: train.seed = 1 → train.seed = 2",
        "data-changed: train.jsonl: 5 rows → [b]train.jsonl: 6 rows",
    ]
    refused = watch(story.run)
    assert [one["name"] for one in status(refused)["refused"]] == ["config-changed", "data-changed"]
    story.start()
    refused.poll()
    assert status(refused)["refused"] is None
