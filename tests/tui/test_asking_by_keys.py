"""A full disk: keys, commands and Ctrl+C still end a worker, and the rest is refused in a line."""

import errno
import os
import signal
from pathlib import Path

import pytest
from textual.pilot import Pilot
from tui_pilot import shows, until
from tui_story import EPOCH, Story, training_story, worker_of

from core.errors import KocrError
from core.events import AnyEvent
from core.run_watch import RunWatch
from kocr_tui.app import ConsoleApp
from kocr_tui.cli import main
from kocr_tui.plain.follow import follow
from kocr_tui.screens.confirm import ConfirmScreen

REFUSED = "the request can't be written: the disk is full"
SIGNALLED = "the worker was sent a signal: the disk is full"


@pytest.fixture
def story(runs: Path, monkeypatch: pytest.MonkeyPatch) -> Story:
    """A run in the middle of training, whose disk is full from now on."""
    story = training_story(runs)

    def fail(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    return story


def told(app: ConsoleApp, end: str) -> bool:
    return any(notice.message.endswith(end) for notice in app._notifications)


async def answers(pilot: Pilot[str], key: str) -> None:
    await pilot.press(key)
    await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
    await pilot.press("y")


@pytest.mark.parametrize("key", ["s", "a"])
async def test_stop_and_abort_reach_the_worker_and_the_rest_is_refused(
    runs: Path, story: Story, key: str
) -> None:
    with worker_of(story.run):
        app = ConsoleApp(runs, story.run.id, "en", clock=lambda: EPOCH)
        async with app.run_test(size=(120, 40), notifications=True) as pilot:
            await until(pilot, shows(pilot, "▶ training"))
            for other in "pec":
                await pilot.press(other)
                await until(pilot, lambda: told(app, REFUSED))
                app.clear_notifications()
            assert story.run.worker_pid() is not None
            await answers(pilot, key)
            await until(pilot, lambda: told(app, SIGNALLED))
            await until(pilot, lambda: story.run.worker_pid() is None)


@pytest.mark.parametrize("command", ["stop", "abort"])
def test_the_commands_say_that_it_was_a_signal(
    runs: Path, story: Story, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with worker_of(story.run):
        assert main([command, story.run.id, "--runs", str(runs)]) == 0
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(story.run.id)
    assert line.endswith(SIGNALLED)


class Interrupted(RunWatch):
    """Ctrl+C is pressed at each look at the run."""

    def poll(self) -> list[AnyEvent]:
        signal.raise_signal(signal.SIGINT)
        return super().poll()


def test_ctrl_c_while_following_is_a_signal_where_somebody_works(
    story: Story, capsys: pytest.CaptureFixture[str]
) -> None:
    watched = Interrupted(story.run)
    watched.catch_up()
    with pytest.raises(KocrError), worker_of(story.run):
        follow(watched)
    first, *_more = capsys.readouterr().err.splitlines()
    assert first.endswith(SIGNALLED)


def test_ctrl_c_while_following_raises_nothing_where_nobody_does(
    story: Story, capsys: pytest.CaptureFixture[str]
) -> None:
    watched = Interrupted(story.run)
    watched.catch_up()
    with pytest.raises(KocrError, match=story.run.id):
        follow(watched)
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith(REFUSED)
