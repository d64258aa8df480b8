"""A follower takes, passes over and takes again the steps that its leader says."""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from core.train.follower import LEAVE, PASS, STEP, GoBack, _take_steps


class Crew:
    """The leader's words in order."""

    def __init__(self, words: list[Any]) -> None:
        self._words: Iterator[Any] = iter(words)
        self.gathered = 0

    def hear(self) -> Any:
        return next(self._words)

    def gather(self, item: list[Any]) -> list[Any]:
        self.gathered += 1
        return item


class Learner:
    """Four steps, each a number as long as it arrives; writes down what is done."""

    steps = 4

    def __init__(self) -> None:
        self.done: list[Any] = []

    def steps_from(self, start: int) -> Generator[list[Any]]:
        for _step in range(start, self.steps):
            yield []

    def learn(self, step: int, _micro_batches: list[Any]) -> None:
        self.done.append(step)

    def go_back(self, path: Path | None) -> None:
        self.done.append(path)


@pytest.mark.parametrize(
    ("words", "done"),
    [
        ([LEAVE], []),
        ([STEP, STEP, STEP, LEAVE], [1, 2, 3]),
        ([STEP, PASS, STEP, LEAVE], [1, 3]),
        (
            [STEP, STEP, GoBack(step=0, checkpoint=None), STEP, PASS, LEAVE],
            [1, 2, None, 0],
        ),
        (
            [STEP, STEP, STEP, GoBack(step=2, checkpoint="c"), PASS, STEP, LEAVE],
            [1, 2, 3, Path("c"), 3],
        ),
    ],
    ids=["leave", "to the end", "pass", "anew", "back from the end"],
)
def test_steps_follow_the_leaders_words(words: list[Any], done: list[Any]) -> None:
    learner = Learner()
    _take_steps(cast(Any, learner), cast(Any, Crew(words)), 1)
    assert learner.done == done
