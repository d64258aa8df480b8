"""A worker that is hit at an exact moment: ``python -m moments MOMENT SIGNAL STEP RUN``.

It is the real worker in all else. At the moment, which comes when step STEP (from 1) is under way
or has just been done, it sends itself the signal. After SIGNAL+SIGNAL, the second once the first
was delivered, its main thread is stuck, as it is where a disk never answers.
"""

import importlib
import os
import runpy
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

# Where each moment is, and how often that must be passed in the step before it's the moment.
MOMENTS = {
    "inside an accumulation": ("core.train.step", "_learn", 2),
    "during validation": ("core.evaluate.generate", "SignReader.read_rows", 1),
    "during a save": ("core.train.learner", "save_optimizer", 1),
    "between steps": ("core.train.loop", "Trainer.obey", 1),
}


def arm(moment: str, numbers: list[int], step: int) -> None:
    """Has the signals sent at the moment, once, in step ``step``."""
    module_name, place, passes = MOMENTS[moment]
    owner: Any = importlib.import_module(module_name)
    *holders, name = place.split(".")
    for holder in holders:
        owner = getattr(owner, holder)
    learner = importlib.import_module("core.train.learner").Learner
    reached = {"step": 0, "passed": 0}
    learn: Callable[..., Any] = learner.learn
    passed: Callable[..., Any] = getattr(owner, name)

    def learning(self: Any, at: int, micro_batches: Any) -> Any:
        reached.update(step=at + 1, passed=0)
        return learn(self, at, micro_batches)

    def passing(*arguments: Any, **named: Any) -> Any:
        reached["passed"] += 1
        if (reached["step"], reached["passed"]) == (step, passes):
            for number in numbers:
                os.kill(os.getpid(), number)
            if len(numbers) > 1:
                threading.Event().wait()
        return passed(*arguments, **named)

    learner.learn = learning
    setattr(owner, name, passing)


def main(arguments: list[str]) -> None:
    moment, names, step, run = arguments
    arm(moment, [signal.Signals[name] for name in names.split("+")], int(step))
    sys.argv = ["core.train.worker", run]
    runpy.run_module("core.train.worker", run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
