"""Troubles that are over, and checkpoints that were passed over, are told no longer."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tui_story import Story, training_story, worker_of
from tui_troubles import THROTTLED, rolled_back, save_failed

from core.events import NotFinite, TrainingStarted
from core.run_watch import RunWatch, watch
from kocr_tui.commands.status import line_of
from kocr_tui.plain import report
from kocr_tui.strings import LANGUAGES, use_language
from kocr_tui.views.notices import notices
from kocr_tui.views.run_row import RowMaker
from kocr_tui.views.run_view import Pulse, RunView


@pytest.fixture(autouse=True)
def _english_again() -> Iterator[None]:
    yield
    use_language("en")


def troubles_of(watched: RunWatch) -> list[str]:
    """Which troubles of now `status --json` tells; the line for people tells the same."""
    told = report.status(watched)
    found = [name for name in ("save_failure", "throttled") if told[name] is not None]
    line = line_of(watched)
    marks = {"save_failure": "! checkpoint not saved", "throttled": "! card throttled"}
    assert [name for name, mark in marks.items() if mark in line] == found
    assert "! skipped steps: 5  ! rolled back: 1" in line
    return found


def test_a_run_that_has_ended_has_no_troubles_of_now(runs: Path) -> None:
    story = training_story(runs)
    story.put(NotFinite(step=120, what="loss", in_a_row=5, total=5), rolled_back(120, 100))
    story.put(save_failed(story.run, 120), THROTTLED)
    with worker_of(story.run):
        assert troubles_of(watch(story.run)) == ["save_failure", "throttled"]
    dead = watch(story.run)
    assert dead.live_state() == "died"
    assert troubles_of(dead) == []
    story.finish("failed", "the disk is full", 100)
    ended = watch(story.run)
    assert troubles_of(ended) == []
    assert (ended.state.faults.save_failed, ended.state.faults.throttled) == (None, None)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_last_save_that_fails_promises_no_other(runs: Path, language: str) -> None:
    use_language(language)
    story = training_story(runs)
    story.put(msgspec.structs.replace(save_failed(story.run, 120), retry_s=None))
    view = RunView(story.run, None, story.now)
    view.take(story.run.events().read(), Pulse("stopping"))
    [notice] = notices(view)
    assert (
        notice.text
        == {
            "en": "Checkpoint of step 120 can't be saved. The run ends without it.",
            "ko": "120 스텝 체크포인트 저장 실패. 이 체크포인트 없이 학습을 끝냅니다.",
        }[language]
    )


def test_the_checkpoint_is_the_one_that_a_resume_goes_on_from(runs: Path) -> None:
    story = training_story(runs)
    story.checkpoint(110)
    assert told_checkpoint(story) == 110
    story.put(rolled_back(120, 100))
    assert told_checkpoint(story) == 100
    story.checkpoint(112)
    story.start()
    assert told_checkpoint(story) == 112
    story.put(begun_from(100))
    assert told_checkpoint(story) == 100, "112 was passed over"
    story.put(rolled_back(105, 0))
    assert told_checkpoint(story) is None


def told_checkpoint(story: Story) -> int | None:
    """What `status --json` and the list of runs tell; they agree."""
    step = RowMaker(story.run).row().checkpoint_step
    assert report.status(watch(story.run))["checkpoint_step"] == step
    return step


def begun_from(step: int) -> TrainingStarted:
    return TrainingStarted(step=step, steps=400, epochs=2, samples=9, trainable_parameters=9)
