"""Run folders that differ in what a test compares."""

from pathlib import Path
from typing import Any

from tui_story import EPOCH, Story

from core import toml_file
from core.config import RunConfig

DAY = 86_400.0


def story_with(runs: Path, name: str, day: int = 0, **sections: dict[str, Any]) -> Story:
    """A run that is a day younger a ``day``, with these keys in its config."""
    story = Story(runs, name, at=EPOCH + day * DAY)
    document = toml_file.plain(story.run.config())
    for section, keys in sections.items():
        document.setdefault(section, {}).update(keys)
    config = toml_file.convert(document, RunConfig, "test")
    story.run.config_file.write_text(toml_file.encode(config), encoding="utf-8")
    return story


def trained(story: Story, right: int | None = 160, steps: int = 120) -> Story:
    """Tunes and trains; with ``right``, ends with so many of 200 photos read right."""
    story.start()
    story.tune()
    story.train(steps)
    if right is not None:
        story.validated(steps, "selection", 44, 64, best=True)
        story.validated(steps, "final", right, 200)
        story.finish("done", f"trained {steps} steps", steps)
    return story


def two(runs: Path) -> tuple[Story, Story]:
    """A run of rank 16 and a worse one of rank 32 that took half the steps."""
    better = trained(story_with(runs, "signs", 0))
    worse = trained(story_with(runs, "간판", 1, lora={"rank": 32}), right=100, steps=60)
    return better, worse
