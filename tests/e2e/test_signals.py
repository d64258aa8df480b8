"""Signals end a real worker in time, with what there is to keep; the table is printed."""

import os
import signal
from collections.abc import Iterator

import pytest
from e2e_box import Box, wait_for_end, wait_until
from signal_cases import DEADLINE_SECONDS, PHASES, REQUESTS, Outcome, Phase, hit, name_of, table

from core.errors import UsageError
from core.launch import launch
from core.run_watch import RunWatch
from core.train.checkpoints import checkpoint

pytestmark = pytest.mark.e2e
# All of them in all phases are what benchmarks/signals.py is for: each start costs seconds.
CASES = [(phase, REQUESTS[place % len(REQUESTS)]) for place, phase in enumerate(PHASES)]


@pytest.fixture(scope="module")
def outcomes(pytestconfig: pytest.Config) -> Iterator[list[Outcome]]:
    found: list[Outcome] = []
    yield found
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\n{table(found)}")


@pytest.mark.parametrize(
    ("phase", "numbers"),
    CASES,
    ids=[f"{phase.name}-{name_of(numbers)}" for phase, numbers in CASES],
)
def test_a_signal_stops_the_worker_in_time(
    box: Box,
    phase: Phase,
    numbers: tuple[signal.Signals, ...],
    outcomes: list[Outcome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KOCR_HOME", str(box.home))
    outcome = hit(box, phase, numbers)
    outcomes.append(outcome)
    assert (outcome.state, outcome.exit_code) == ("stopped", 3)
    assert outcome.seconds <= DEADLINE_SECONDS
    assert (outcome.kept > 0) == phase.keeps
    kept = f"checkpoint {outcome.kept} is kept" if phase.keeps else "nothing to keep yet"
    assert kept in outcome.said


def test_a_second_signal_leaves_at_once_and_a_second_worker_is_refused(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOCR_HOME", str(box.home))
    run = box.new_run()
    pid = launch(run)
    running = RunWatch(run)
    with pytest.raises(UsageError, match=f"process {pid}"):
        launch(run)
    wait_until(running, lambda seen: seen.state.step >= 1)
    # Held still so that it hears both at once, before it can leave on the first.
    for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGCONT):
        os.kill(pid, number)
    wait_for_end(running)
    assert running.state.finished is not None
    assert (running.state.finished.state, running.state.finished.exit_code) == ("aborted", 3)
    _path, passed_over = checkpoint.newest(run.checkpoints)
    assert passed_over == []
