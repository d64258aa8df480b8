"""Reads the plan in a run's folder again whenever it was written anew."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from core.planning import PlannedSetup, PlanReport
from core.run_dir import RunDir
from kocr_tui.strings import say

Read = PlanReport | str | None


@dataclass(frozen=True)
class PlanNews:
    """The plan of a run, the plan that a person chose from, and what is wrong with either file."""

    report: PlanReport | None = None
    chosen_from: PlanReport | None = None
    problem: str = ""

    @property
    def setups(self) -> tuple[PlannedSetup, ...]:
        """What is planned, the best first, then what else could have been chosen."""
        now = self.report.setups if self.report else ()
        planned = {identity(setup) for setup in now}
        before = self.chosen_from.setups if self.chosen_from else ()
        rest = (setup for setup in before if identity(setup) not in planned)
        return (*now, *(msgspec.structs.replace(setup, chosen=False) for setup in rest))

    @property
    def rows(self) -> int | None:
        """Rows of an epoch."""
        known = self.report or self.chosen_from
        return known.rows if known else None


NO_PLAN = PlanNews()


def identity(setup: PlannedSetup) -> tuple[str, int, str, str]:
    """What tells one setup from another, whatever its pixel budget."""
    return setup.weights, setup.rank, setup.targets, setup.checkpointing


class PlanWatch:
    """Keeps what was read last and opens a file only where it has changed."""

    def __init__(self, run: RunDir) -> None:
        self._files = (_PlanFile(run.plan_file), _PlanFile(run.alternatives_file))
        self._news = NO_PLAN

    def read(self) -> PlanNews:
        """The plans as they are now; a file that can't be read is told in ``problem``."""
        now, before = (file.read() for file in self._files)
        problems = [one for one in (now, before) if isinstance(one, str)]
        news = PlanNews(
            now if isinstance(now, PlanReport) else None,
            before if isinstance(before, PlanReport) else None,
            "; ".join(problems),
        )
        if news != self._news:
            self._news = news
        return self._news


class _PlanFile:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._known: Read = None

    def read(self) -> Read:
        """The plan, None where there is none, or why it can't be read."""
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp != self._stamp:
                self._known = self._decode()
                self._stamp = stamp
        except FileNotFoundError:
            self._known = self._stamp = None
        except OSError as error:
            self._known = self._problem(error.strerror or str(error))
        return self._known

    def _decode(self) -> Read:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=PlanReport)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return self._problem(str(error))

    def _problem(self, reason: str) -> str:
        return say("tuning.plan_unreadable", file=self._path.name, reason=reason)
