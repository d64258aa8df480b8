"""The plan beside the form: asked anew when choices change, and remembered by what was asked."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from core import launch, toml_file
from core.errors import KocrError, StoppedError, UsageError
from core.planning import PlanReport, PlanRequest
from core.profile import load_profile
from kocr_tui.reading.completion import is_folder, user_path
from kocr_tui.strings import say
from kocr_tui.views.form import FIELDS, GOAL, applies, problem, value_of

# How long choices must stand still before a planner is started for them.
SETTLE_SECONDS = 0.8
_TELL_SECONDS = 0.5
_PLANNED = (
    *("model.path", "device.profile", GOAL, "tune.max_pixels", "tune.hours"),
    *("lora.rank", "lora.targets", "data.root"),
)

# What to plan; else why nothing can be planned, or None while rows are being read.
Asked = PlanRequest | str | None


@dataclass(frozen=True)
class PlanState:
    """What is known of the plan at a moment.

    ``report`` may answer older choices: it is ``current`` only once it answers those of now.
    ``first`` means that it has one setup of several. ``done`` and ``total`` count ``words``, which
    are setups or photos; ``problem`` is why there is no plan. ``waiting`` means that the rows
    are still being read.
    """

    report: PlanReport | None = None
    current: bool = False
    first: bool = False
    planning: bool = False
    waiting: bool = False
    done: int = 0
    total: int = 0
    words: str = ""
    problem: str | None = None


class LivePlan:
    """Answers the newest request through ``tell``, which is called from the thread that works."""

    def __init__(self, tell: Callable[[PlanState], None]) -> None:
        self._tell = tell
        self._known: dict[PlanRequest, PlanReport] = {}
        self._state = PlanState()

    def work(self, asked: Asked, stop: threading.Event) -> None:
        """Plans one setup first, then all; what was planned before is told at once."""
        old = PlanState(report=self._state.report)
        if not isinstance(asked, PlanRequest):
            self._say(old, waiting=asked is None, problem=asked)
        elif (known := self._known.get(asked)) is not None:
            self._say(old, report=known, current=True)
        else:
            self._say(old, planning=True)
            self._plan(asked, stop)

    def _plan(self, request: PlanRequest, stop: threading.Event) -> None:
        if stop.wait(SETTLE_SECONDS):
            return
        try:
            for step in _stages(request):
                self._answer(step, stop, first=step != request)
        except StoppedError:
            return
        except (KocrError, OSError) as error:
            old = PlanState(report=self._state.report)
            self._say(old, problem=str(error))

    def _answer(self, step: PlanRequest, stop: threading.Event, *, first: bool) -> None:
        if step not in self._known:
            self._known[step] = launch.plan(step, self._progress(stop), stop=stop)
        if not stop.is_set():
            report = self._known[step]
            self._say(PlanState(), report=report, current=True, first=first, planning=first)

    def _progress(self, stop: threading.Event) -> Callable[[int, int, str], None]:
        """Tells of steps, seldom enough for a slow line."""
        told = 0.0

        def tell(done: int, total: int, words: str) -> None:
            nonlocal told
            now = time.monotonic()
            if not stop.is_set() and now - told >= _TELL_SECONDS:
                told = now
                self._say(self._state, done=done, total=total, words=words)

        return tell

    def _say(self, state: PlanState, **changes: Any) -> None:
        self._state = replace(state, **changes)
        self._tell(self._state)


def _stages(request: PlanRequest) -> Iterator[PlanRequest]:
    """One setup that is likely to be the answer, where there is such a one, then all of them."""
    if request.hours is None and not request.weights:
        small = request.fastest or request.max_pixels is not None
        yield msgspec.structs.replace(
            request,
            weights=(load_profile(request.profile).dtypes[0],),
            checkpointing=("none" if small else "all",),
        )
    yield request


def root_of(values: Mapping[str, str]) -> str | None:
    """The folder that no photo may lead out of, absolute; None where no folder is named."""
    root = values["data.root"].strip()
    return str(user_path(root).resolve()) if root and is_folder(root) else None


def request_of(values: Mapping[str, str], train: str | None, validation: str | None) -> PlanRequest:
    """What the form's choices ask of the planner; rows are those of files that were looked at.

    Raises UsageError with the name of the field for a choice that can't be planned.
    """
    for field in FIELDS:
        reason = problem(field, values) if field.key in _PLANNED else None
        if reason is not None and applies(field, values):
            raise UsageError(f"{say(f'new.field.{field.label_name}')}: {reason}")
    goal = values[GOAL]
    if goal == "hours" and train is None:
        raise UsageError(say("new.plan.hours_need_rows"))
    model = values["model.path"].strip()
    document: dict[str, object] = {
        "model": str(user_path(model).resolve()) if is_folder(model) else model,
        "profile": values["device.profile"],
        "ranks": [value_of("lora.rank", values["lora.rank"])],
        "targets": [values["lora.targets"]],
        "train": train,
        "validation": validation if train is not None else None,
        "root": root_of(values) if train is not None else None,
        "fastest": goal == "fastest",
    }
    for key, wanted in (("max_pixels", "fixed"), ("hours", "hours")):
        if goal == wanted:
            document[key] = value_of(f"tune.{key}", values[f"tune.{key}"])
    return toml_file.convert(document, PlanRequest, say("new.title"))
