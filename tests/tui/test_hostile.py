"""A run of extreme figures and hostile text on the real screens: nothing breaks or gets through."""

from pathlib import Path

import pytest
from tui_pilot import screen_text, shows, until
from tui_story import EPOCH, Story, training_story, worker_of

from core import events
from core.event_bounds import MOST_COUNT, MOST_FIGURE, MOST_TIME
from core.visible_text import is_without_form
from kocr_tui.app import ConsoleApp
from kocr_tui.screens.run import RunScreen
from kocr_tui.screens.training import TrainingView

HOSTILE = "끝간\x1b]52;c;eA==\x07\x9b2J\u202e\u2066\u200b\0[red]x[/][@click=app.quit]\n"
LONG = HOSTILE * 5000
EXTREMES = [(0, 0.0), (0, -MOST_FIGURE), (MOST_COUNT, MOST_FIGURE), (1, 1e-320)]
COUNTS = ("step", "samples", "label_tokens", "tokens", "used_bytes", "peak_bytes", "limit_bytes")
FIGURES = (
    "epoch", "loss", "learning_rate", "grad_norm", "samples_per_s", "eta_s", "data_ms", "vision_ms",
    "forward_ms", "backward_ms", "optimizer_ms", "validation_ms", "checkpoint_ms", "tokens_per_s",
    "utilisation",
)  # fmt: skip


def step_of(count: int, figure: float) -> events.Step:
    counts, figures = dict.fromkeys(COUNTS, count), dict.fromkeys(FIGURES, figure)
    return events.Step(**counts | {"limit_bytes": max(1, count)}, **figures, skipped=False)


def tell_extremes(story: Story, count: int, figure: float) -> None:
    """The events that every pane shows, with one count and one figure throughout."""
    started = events.TrainingStarted(
        step=count, steps=0, epochs=count, samples=count, trainable_parameters=count
    )
    saved = events.CheckpointSaved(step=count, path=HOSTILE, seconds=figure, best=True)
    reading = events.Prediction(
        row=count, image=LONG, truth=LONG, reply=LONG, exact=False, normalized=False,
        similarity=figure,
    )  # fmt: skip
    read = events.Predicted(
        step=count, scope="rolling", done=count, total=0, predictions=(reading,) * 3
    )
    log = events.Log(level="error", message=LONG)
    aside = events.RowSetAside(file=LONG, row=count, reason=LONG)
    story.put(started, step_of(count, figure), saved, read, log, aside, step_of(count, figure))


@pytest.mark.parametrize("at", [EPOCH, 0.0, MOST_TIME - 100])
async def test_extreme_figures_and_hostile_text_break_no_screen(runs: Path, at: float) -> None:
    story = training_story(runs)
    story.now = at
    for count, figure in EXTREMES:
        tell_extremes(story, count, figure)
    with worker_of(story.run):
        app = ConsoleApp(runs, story.run.id, "en", clock=lambda: EPOCH + 1000)
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, shows(pilot, "끝간"))
            assert isinstance(app.screen, RunScreen)
            assert app.screen.query(TrainingView)
            for key in ("1", "2", "3", "4", "5", "6", "7", "escape"):
                await pilot.press(key)
                await pilot.pause()
                drawn = screen_text(app).replace("\n", "")
                assert not any(map(is_without_form, drawn)), ascii(drawn)
            await until(pilot, shows(pilot, "signs", "Qwen2-VL-2B"))
            assert not isinstance(app.screen, RunScreen)
            assert not any(map(is_without_form, screen_text(app).replace("\n", "")))
            assert app.is_running
