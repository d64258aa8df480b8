"""What snapshots show: for each screen and state, run folders and the way there."""

import re
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import tuning_story as tuning
from compared_runs import two
from textual.pilot import Pilot
from textual.widgets import Input
from tui_pilot import screen_text, shows, until
from tui_story import EPOCH, GIB, PAIRS, STEPS, Story, ended_story, training_story
from tui_troubles import (
    THROTTLED,
    VOIDED,
    checkpoint_of,
    newer_event,
    out_of_memory,
    rolled_back,
    save_failed,
)

from core.events import Finished
from core.run_dir import RunDir
from kocr_tui.messages import RunNews
from kocr_tui.screens.confirm import ConfirmScreen
from kocr_tui.screens.run import RunScreen
from kocr_tui.strings import say
from kocr_tui.widgets.runs_table import RunsTable

Go = Callable[[Pilot[str], RunDir | None], Awaitable[None]]
BAR_END = "?"


async def stay(_pilot: Pilot[str], _run: RunDir | None) -> None:
    """The first screen is the one."""


@dataclass(frozen=True)
class Scene:
    """A screen in a state: ``write`` makes its runs, ``go`` leads there from the first screen.

    ``write`` returns the run that the console opens with, None for the list of runs. The clock
    stands ``late`` seconds after that run's last event. ``shown`` are strings' keys or texts that
    are on the screen once it is complete, and ``free`` the bytes free on the disk.
    """

    write: Callable[[Path], Story | None]
    shown: tuple[str, ...]
    go: Go = stay
    late: float = 17.0
    free: int = 10**12


def alive(story: Story) -> Story:
    """As if a worker held the run and showed life; see ``signs_of_life``."""
    story.run.lock_file.touch()
    story.run.heartbeat_file.touch()
    return story


def some_runs(runs: Path) -> None:
    """Runs in most states, of which two are live."""
    ended_story(runs, "나비", 50, 2)
    ended_story(runs, "gabang", 90, 3)
    failed = Story(runs, "signs-2b-r16-lr1e-4-long", at=EPOCH - 5 * 86_400)
    failed.start()
    failed.tune()
    failed.train(60)
    failed.finish("failed", "the disk is full", 60)
    died = Story(runs, "간판-7B", at=EPOCH - 7200)
    died.start()
    died.tune()
    died.train(30)
    probing = Story(runs, "probing", at=EPOCH - 300)
    probing.start()
    probing.tune(finish=False)
    alive(probing)
    alive(training_story(runs, "강남-간판"))


def live(runs: Path) -> Story:
    """A run that trains."""
    return alive(training_story(runs))


def rows_of_signs(_runs: Path) -> None:
    """Files of rows for the form."""
    folder = Path("data")
    folder.mkdir()
    for name in ("train", "broken", "validation"):
        (folder / f"{name}.jsonl").touch()


def planning(runs: Path) -> Story:
    """A run of whose setups three are planned."""
    story = Story(runs)
    tuning.start(story)
    tuning.plan(story, done=3)
    return alive(story)


def voided(runs: Path) -> Story:
    """A run that is tuned anew as its certificate no longer holds."""
    story = Story(runs)
    tuning.start(story)
    story.put(VOIDED)
    tuning.plan(story)
    tuning.probe(story, 2, running=True)
    return alive(story)


def nothing_fits(runs: Path) -> Story:
    """A run that has failed as no setup fits."""
    story = Story(runs)
    tuning.start(story)
    tuning.plan(story)
    tuning.write_plan(story, tuning.plan_of(fits=False))
    story.finish("failed", "nothing fits", 0)
    return story


def died(runs: Path) -> Story:
    """A run whose worker left a traceback and nothing else."""
    story = training_story(runs)
    story.run.log_file.write_text(
        "Traceback (most recent call last):\n"
        '  File "core/train/loop.py", line 88, in step\n'
        "RuntimeError: [red]no[/red] kernel image is available\n"
    )
    return story


def slow(runs: Path) -> Story:
    """A run whose worker lives and shows no sign of it."""
    story = live(runs)
    story.run.heartbeat_file.unlink()
    return story


def recovered(runs: Path) -> Story:
    """A run that ran out of memory twice and went on."""
    story = training_story(runs)
    story.put(out_of_memory(118), out_of_memory(121))
    for number in range(121, 126):
        story.step(number)
    return alive(story)


def gpu_lost(runs: Path) -> Story:
    """A run that failed as its card fell off the bus."""
    story = training_story(runs)
    story.put(Finished(state="failed", exit_code=4, message="Xid 79: off the bus", step=120))
    return story


def nearly_full(runs: Path) -> Story:
    """A run with one checkpoint of 2 GiB."""
    story = live(runs)
    checkpoint_of(story.run, 2 * GIB)
    return story


def unsaved(runs: Path) -> Story:
    """A run whose card is throttled and whose checkpoint the disk does not take."""
    story = live(runs)
    checkpoint_of(story.run, 2 * GIB)
    story.put(THROTTLED, save_failed(story.run, 120))
    return story


def gone_back(runs: Path) -> Story:
    """A run that went back to its checkpoint and goes on from there."""
    story = live(runs)
    story.put(rolled_back(120, 100))
    for number in range(101, 106):
        story.step(number)
    return story


def newer(runs: Path) -> Story:
    """A run of a version to come."""
    story = live(runs)
    newer_event(story.run)
    return story


def failed(runs: Path) -> Story:
    """A run that failed with a reason."""
    story = training_story(runs)
    story.finish("failed", "the disk is full", 120)
    return story


def done(runs: Path) -> Story:
    """A run that is over."""
    story = Story(runs)
    story.start()
    story.tune()
    story.train(STEPS)
    story.validated(STEPS, "selection", 44, 64, best=True)
    story.checkpoint(STEPS)
    story.predict(STEPS, *PAIRS)
    story.validated(STEPS, "final", 130, 200)
    story.finish("done", f"trained {STEPS} steps", STEPS)
    return story


def compared(runs: Path) -> None:
    """Two runs to compare."""
    two(runs)


async def filter_and_mark(pilot: Pilot[str], _run: RunDir | None) -> None:
    """Two runs are marked, and a filter leaves some."""
    await until(pilot, shows(pilot, "gabang", "120/400"))
    await pilot.press("space", "space", "slash")
    pilot.app.screen.query_one("#filter-words", Input).value = "간판"
    await until(pilot, lambda: "gabang" not in screen_text(pilot.app))
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(pilot.app.focused, RunsTable))


async def ask_to_delete(pilot: Pilot[str], _run: RunDir | None) -> None:
    """The question about the run below the live ones."""
    await until(pilot, shows(pilot, "gabang", "120/400"))
    await pilot.press("end", "x")
    await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))


async def open_form(pilot: Pilot[str], _run: RunDir | None, **fields: str) -> None:
    """The form, with these fields filled in and the first in focus."""
    await until(pilot, shows(pilot, BAR_END))
    await pilot.press("n")
    await until(pilot, lambda: bool(pilot.app.screen.query("#data-train")) and in_focus(pilot))
    await until(pilot, shows(pilot, words("new.plan.ready")))
    for name, text in (DATA | fields).items():
        pilot.app.screen.query_one(f"#{name.replace('_', '-')}", Input).value = text


def in_focus(pilot: Pilot[str]) -> bool:
    """Whether anything has the focus."""
    return pilot.app.focused is not None


async def press(pilot: Pilot[str], _run: RunDir | None, keys: str, first: str) -> None:
    """Presses keys once a text is on the screen."""
    await until(pilot, shows(pilot, first, BAR_END))
    await pilot.press(*keys.split())


async def ask_and_wait(pilot: Pilot[str], _run: RunDir | None) -> None:
    """A pause was asked for 42 s ago."""
    await press(pilot, _run, "p", "0.524")
    screen = pilot.app.screen
    assert isinstance(screen, RunScreen)
    await until(pilot, lambda: screen.view.asked is not None)
    assert screen.view.asked is not None
    screen.view.asked = replace(screen.view.asked, at=screen.view.asked.at - 42)
    screen.post_message(RunNews())


async def compare(pilot: Pilot[str], _run: RunDir | None) -> None:
    """The two runs of the list are compared."""
    await press(pilot, _run, "v", "signs")


async def delete(pilot: Pilot[str], run: RunDir | None) -> None:
    """The run is shown, and then its folder goes."""
    assert run is not None
    await until(pilot, shows(pilot, "교보문고"))
    shutil.rmtree(run.path)


DATA = {"data_train": "data/train.jsonl"}
OF_TRAINING = ("120/400", "0.524", "교보문고")
FORM = Scene(rows_of_signs, ("new.plan.ready", "138,149", "17,272"), open_form)
TRAINING = Scene(live, OF_TRAINING)
DIED = Scene(died, ("kernel image", "교보문고"), late=754)

SCENES: dict[str, Scene] = {
    "home": Scene(some_runs, ("120/400", "gabang")),
    "home-empty": Scene(lambda _runs: None, ("runs",)),
    "home-filtered": Scene(some_runs, ("간판-7B", "●"), filter_and_mark),
    "new-run": FORM,
    "new-run-wrong": replace(
        FORM,
        shown=("new.problem.unusable", "17,272"),
        go=partial(open_form, data_train="data/broken.jsonl", lora_rank="0", train_batch="many"),
    ),
    "planning": Scene(planning, ("tuning.planning",)),
    "probing": Scene(lambda runs: alive(tuning.probing(runs)), ("▶", "▸ bf16")),
    "chosen": Scene(tuning.proved, ("19.04", "▸ bf16")),
    "nothing-fits": Scene(nothing_fits, ("✗ bf16",)),
    "training": TRAINING,
    "compare": Scene(compared, ("80.0 % [74–85]", "lora.rank"), compare),
    "help": Scene(live, ("help.close",), partial(press, keys="question_mark", first="0.524")),
    "confirm-stop": Scene(live, ("confirm.yes",), partial(press, keys="s", first="0.524")),
    "confirm-delete": Scene(some_runs, ("confirm.yes",), ask_to_delete),
    "died": DIED,
    "slow": Scene(slow, ("4242", "교보문고")),
    "voided": Scene(voided, ("580.10", "▸ bf16")),
    "out-of-memory": Scene(recovered, ("3,104", "125/400")),
    "gpu-lost": Scene(gpu_lost, ("Xid 79", "교보문고")),
    "disk-nearly-full": Scene(nearly_full, ("3.50 GiB", "교보문고"), free=int(3.5 * GIB)),
    "save-failed-throttled": Scene(unsaved, ("43s", "banner.save_remedy_full"), free=12 << 20),
    "rolled-back": Scene(gone_back, ("banner.rolled_back_remedy", "105/400", "교보문고")),
    "newer-version": Scene(newer, ("kocr-tui", "교보문고")),
    "deleted": replace(TRAINING, shown=("banner.gone", *OF_TRAINING), go=delete),
    "asked": Scene(live, ("42",), ask_and_wait),
    "failed": Scene(failed, ("the disk is full", "교보문고")),
    "done": Scene(done, ("✓", "65.0 %", "교보문고")),
}


def words(text: str) -> str:
    """The longest part between values of that key's string, or the text itself where it's none."""
    try:
        return max(re.split(r"\{\w+\}", say(text)), key=len)
    except KeyError:
        return text
