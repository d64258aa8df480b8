"""Steps whose loss or gradient is not finite: counted, and how often until training goes back."""

import math
from collections.abc import Callable, Iterable

import msgspec

from core.errors import KocrError
from core.events import AnyEvent, NotFinite, RolledBack

# So many steps in a row are no accident of one batch: the weights themselves may be at fault.
MOST_IN_A_ROW = 5
# Halved this often, a loss scale that began at 65,536 is below one: it is not the scale.
_MOST_OVERFLOWS = 17


class Numbers(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint keeps of steps (from 1) that were not finite.

    ``total`` counts all of the run's, ``in_a_row`` those without a good one since then. ``bad`` are
    the steps since the last checkpoint of a good step. After training went back ``passed_over`` are
    not computed again, and ``back_at`` is the step that it went back to until a checkpoint is saved
    beyond them. ``overflows`` counts how often in a row a loss scale was too high.
    """

    total: int = 0
    in_a_row: int = 0
    overflows: int = 0
    bad: tuple[int, ...] = ()
    passed_over: tuple[int, ...] = ()
    back_at: int | None = None


class NumberWatch:
    """Hears the figures of every step that was computed, and knows when to go back."""

    def __init__(self, tell: Callable[[AnyEvent], None]) -> None:
        self._tell = tell
        self.state = Numbers()

    @property
    def exhausted(self) -> bool:
        """Whether training has to go back."""
        return self.state.in_a_row >= MOST_IN_A_ROW

    def hear(self, step: int, loss: float, grad_norm: float, *, scaled: bool) -> bool:
        """Takes the figures of step ``step`` (from 1); returns whether they count.

        Gradients of a ``scaled`` loss overflow until the scale has come down, which is in order.
        """
        if math.isfinite(loss) and math.isfinite(grad_norm):
            self.state = msgspec.structs.replace(self.state, in_a_row=0, overflows=0)
            return True
        state = self.state
        if scaled and math.isfinite(loss) and state.overflows < _MOST_OVERFLOWS:
            self.state = msgspec.structs.replace(state, overflows=state.overflows + 1)
            return True
        self.state = msgspec.structs.replace(
            state,
            total=state.total + 1,
            in_a_row=state.in_a_row + 1,
            bad=(*state.bad, step),
        )
        self._tell(
            NotFinite(
                step=step,
                what="gradient" if math.isfinite(loss) else "loss",
                in_a_row=self.state.in_a_row,
                total=self.state.total,
            )
        )
        return False

    def kept(self, step: int) -> Numbers:
        """What a checkpoint of step ``step`` keeps."""
        state = self.state
        if state.in_a_row:
            return state
        if state.passed_over and step <= state.passed_over[-1]:
            return msgspec.structs.replace(state, bad=())
        return Numbers(total=state.total, overflows=state.overflows)

    def saved(self, kept: Numbers) -> None:
        """A checkpoint that keeps ``kept`` is safe."""
        self.state = kept

    def go_back(self, step: int, to_step: int) -> RolledBack:
        """Training goes back from ``step`` to ``to_step``; returns what is to be told.

        The steps that were not finite will be passed over. Raises KocrError where it went back
        before and got no further.
        """
        state = self.state
        if state.back_at is not None:
            raise KocrError(
                f"step {step}: the loss or gradient was not finite in {MOST_IN_A_ROW} steps in a "
                f"row, and again after training went back to step {state.back_at}; lower "
                "train.learning_rate in the run's config.toml (or set model.dtype to fp32), then "
                "resume: it goes on from the last checkpoint"
            )
        known = sorted({*state.passed_over, *state.bad})
        passed_over = tuple(number for number in known if number > to_step)
        self.state = msgspec.structs.replace(
            state,
            in_a_row=0,
            overflows=0,
            bad=(),
            passed_over=passed_over,
            back_at=to_step,
        )
        return RolledBack(
            step=step,
            to_step=to_step,
            message=f"steps that were not finite are passed over: {_ranges(passed_over)}",
        )


def _ranges(numbers: Iterable[int]) -> str:
    """Ascending numbers in few words: 3, 7-11."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ", ".join("-".join(map(str, run)) for run in runs)
