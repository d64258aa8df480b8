"""A short kill campaign; benchmarks/kill.py does hundreds."""

import random

import msgspec
import pytest
from e2e_box import Box
from kill import Campaign
from kill_runs import Reference, losses_of

from core.event_log import EventReader
from core.run_dir import RunDir

pytestmark = pytest.mark.e2e
replace = msgspec.structs.replace
KILLS = 3


def test_workers_that_are_killed_at_random_end_as_if_nothing_had_happened(
    box: Box, finished: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOCR_HOME", str(box.home))
    often = replace(box.config, train=replace(box.config.train, checkpoint_steps=1))
    told = EventReader(finished.events_file).poll()
    lived = told[-1].time - told[0].time
    reference = Reference(finished, lived, losses=losses_of(finished))
    reference.note()
    seed = random.randrange(2**31)
    new_run = Box(box.home, often, box.certificate).new_run
    found = Campaign({1: reference}, lambda _processes: new_run(), KILLS, seed).run(1)
    assert found.faults == [], f"seed {seed}"
    assert found.kills == KILLS
    assert found.completed >= 1
    assert found.checkpoints_compared >= 1
    assert found.passed_over == 0, f"seed {seed}"
