"""Kills workers at random moments, resumes them, and compares what they leave with no kill at all.

``python benchmarks/kill.py [--kills 300] [--parallel 2] [--seed N] [--out FILE]``: real workers on
the demo's base, with LoRA and dropout, that save a checkpoint at every step. A worker is killed
(SIGKILL) at a moment that is uniform from when it holds its run to a tenth beyond the life of an
undisturbed worker: itself alone, with its loader and all of its process group, or, of two that
train together (every fifth run), the one that follows. Then it's resumed, and killed again, until
the run ends.

Expected before it was written: every run resumes and ends with the bytes of the undisturbed run;
no checkpoint that verifies differs from the undisturbed run's of that step; the newest checkpoint
that verified before a resume is never lost by it; sequence numbers of events never come twice.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import kill_runs
import psutil
from kill_runs import Findings, Reference
from machine import machine

from core.demo.signboards import write_dataset
from core.errors import KocrError
from core.event_log import EventReader
from core.events import Finished
from core.launch import launch
from core.run_dir import RunDir

MOST_KILLS_A_RUN = 8
BEYOND = 1.1
EVERY_CREW = 5
TARGETS = ("worker", "group")
CREW_TARGETS = ("worker", "group", "follower")
_PATIENCE_SECONDS = 300.0


class Campaign:
    """Kills that are left to do, and what they showed.

    ``references`` are the undisturbed runs by processes; ``new_run`` makes another with so many;
    ``keep`` hears of what is known after every run.
    """

    def __init__(
        self,
        references: dict[int, Reference],
        new_run: Callable[[int], RunDir],
        kills: int,
        seed: int,
        keep: Callable[[Findings], object] = print,
    ) -> None:
        self.found = Findings()
        self._keep = keep
        self._references = references
        self._new_run = new_run
        self._kills = kills
        self._seed = seed
        self._lock = threading.Lock()
        self._begun = 0
        self._promised = 0

    def run(self, parallel: int) -> Findings:
        """Kills until none is left, in ``parallel`` runs at a time."""
        with ThreadPoolExecutor(parallel) as pool:
            for done in [pool.submit(self.work) for _ in range(parallel)]:
                done.result()
        return self.found

    def work(self) -> None:
        """Takes one run after another until no kill is left."""
        while (number := self._next_run()) is not None:
            chance = random.Random(f"{self._seed}-{number}")
            processes = 2 if 2 in self._references and number % EVERY_CREW == 2 else 1
            self._one_run(processes, chance)

    def _next_run(self) -> int | None:
        with self._lock:
            if self._promised >= self._kills:
                return None
            self._begun += 1
            return self._begun

    def _may_kill(self) -> bool:
        """Promises a kill, so that there are never more than were asked for."""
        with self._lock:
            if self._promised >= self._kills:
                return False
            self._promised += 1
            return True

    def _one_run(self, processes: int, chance: random.Random) -> None:
        with self._lock:
            run, reference = self._new_run(processes), self._references[processes]
        targets = CREW_TARGETS if processes > 1 else TARGETS
        mine, sessions, kills, newest = Findings(), set[int](), 0, 0
        while not mine.did_not_resume:
            killing = kills < MOST_KILLS_A_RUN and self._may_kill()
            seconds = chance.uniform(0, BEYOND * reference.seconds)
            target = chance.choice(targets)
            try:
                pid = launch(run)
            except KocrError as error:
                mine.did_not_resume.append(f"{run.id}: {error}")
                break
            sessions.add(pid)
            if kill_runs.wait_for_exit(pid, seconds if killing else _PATIENCE_SECONDS):
                self._give_back(killing)
                self._ended(run, reference, mine)
                break
            kills += 1
            self._kill(run, pid, target, mine)
            kept = kill_runs.compare_checkpoints(run, reference, mine)
            if kept < newest:
                mine.lost_checkpoints.append(f"{run.id}: step {newest} was there, now {kept}")
            newest = kept
        kill_runs.read_events(run, reference, mine)
        mine.orphans = kill_runs.orphans_of(sessions)
        self._add(mine)

    def _give_back(self, promised: bool) -> None:
        with self._lock:
            self._promised -= promised

    def _kill(self, run: RunDir, pid: int, target: str, mine: Findings) -> None:
        mine.by_phase[kill_runs.phase(run, pid)] += 1
        with contextlib.suppress(ProcessLookupError, psutil.Error):
            if target == "group":
                os.killpg(pid, signal.SIGKILL)
            else:
                os.kill(_follower(pid) if target == "follower" else pid, signal.SIGKILL)
        mine.by_target[target] += 1
        mine.kills += 1
        # A leader ends by itself when it sees that the other one died.
        if not kill_runs.wait_for_exit(pid, _PATIENCE_SECONDS):
            mine.did_not_resume.append(f"{run.id}: still there after a kill of the {target}")
            os.killpg(pid, signal.SIGKILL)

    def _ended(self, run: RunDir, reference: Reference, mine: Findings) -> None:
        told = EventReader(run.events_file).poll()
        if not told or not isinstance(told[-1], Finished) or told[-1].state != "done":
            word = told[-1] if told else None
            mine.did_not_resume.append(f"{run.id}: the last word is {word}")
            return
        last = f"step-{reference.last:08d}"
        mine.completed += 1
        mine.different_bytes_at_the_end += kill_runs.different_bytes(
            run.checkpoints / last, reference.run.checkpoints / last
        )
        kill_runs.compare_checkpoints(run, reference, mine)

    def _add(self, mine: Findings) -> None:
        with self._lock:
            for name, value in vars(mine).items():
                setattr(self.found, name, getattr(self.found, name) + value)
            self._keep(self.found)


def _follower(leader: int) -> int:
    """The process that trains with the leader; the leader while there is none."""
    for child in psutil.Process(leader).children():
        if "core.train.follower" in child.cmdline():
            return child.pid
    return leader


class Undisturbed:
    """The runs that all others are compared with, in a home of their own."""

    def __init__(self, home: Path) -> None:
        write_dataset(home / "signs", train=48, validation=12, seed=5)
        os.environ["KOCR_HOME"] = str(home)
        self._home = home
        self._certificate: Path | None = None
        tuned = kill_runs.undisturbed(self.new_run(1))
        self._certificate = tuned.run.certificate_file
        # Side by side, as the others will be, so that their lives are as long.
        with ThreadPoolExecutor(2) as pool:
            runs = [self.new_run(processes) for processes in (1, 2)]
            self.references = dict(zip((1, 2), pool.map(kill_runs.undisturbed, runs), strict=True))
        if self.references[1].losses != tuned.losses:
            raise RuntimeError("two undisturbed runs differ, so nothing can be compared")

    def new_run(self, processes: int) -> RunDir:
        """Another run of so many processes that needs no tuning."""
        config = kill_runs.often_saved(self._home, processes)
        return kill_runs.new_run(self._home / "runs", config, self._certificate)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    print(f"seed {options.seed}")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kill-") as folder:
        undisturbed = Undisturbed(Path(folder))
        references = undisturbed.references

        def keep(found: Findings) -> None:
            """A campaign of hours that is cut off has figures all the same."""
            print(f"{found.kills} kills, {found.completed} runs ended", file=sys.stderr, flush=True)
            result = {
                "machine": machine("torch", "transformers", "peft"),
                "seed": options.seed,
                "parallel": options.parallel,
                "seconds": time.monotonic() - begun,
                "undisturbed_seconds": {str(n): one.seconds for n, one in references.items()},
                "steps_known": {str(n): len(one.contents) for n, one in references.items()},
                **found.plain(),
            }
            text = json.dumps(result, indent=2, ensure_ascii=False)
            if options.out is not None:
                options.out.write_text(text + "\n")

        work = Campaign(references, undisturbed.new_run, options.kills, options.seed, keep)
        found = work.run(options.parallel)
    print(json.dumps(found.plain(), indent=2, ensure_ascii=False))
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main())
