"""Validation in the run: baseline, slices, the fixed subset that selects, and the final pass."""

import time
from collections.abc import Sequence

import msgspec

from core.data.order import validation_order
from core.evaluate.generate import SignReader
from core.evaluate.rolling import RollingScores, RollingState, TimeShare
from core.evaluate.text import RowScore, Scores, score
from core.events import Log, Predicted, Prediction, Scope, Validated
from core.train.job import Job
from core.whole_file import write_whole


class ValidationState(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint keeps of validation; times are seconds."""

    rolling: RollingState
    trained_s: float
    slices_s: float
    selections_s: float


class Validator:
    """Reads validation rows with the model as it stands.

    The validation rows are put in a fixed order: its first ``selection_rows`` choose the best
    checkpoint, and all others serve the rolling slices and, from their start, the report. No more
    than ``at_a_time`` photos are generated from as one batch.
    """

    def __init__(self, job: Job, reader: SignReader, at_a_time: int) -> None:
        self._job = job
        self._reader = reader
        self._at_a_time = at_a_time
        settings = job.config.validation
        order = validation_order(job.config.train.seed, len(job.validation_rows)).tolist()
        selecting = min(settings.selection_rows, max(1, len(order) // 4))
        self._selection: list[int] = order[:selecting]
        self._others: list[int] = order[selecting:] or order
        self.rolling = RollingScores(len(self._others), settings.window)
        self.slices = TimeShare(settings.share / 2)
        self.selections = TimeShare(settings.share / 2)
        self._seconds_a_row = 0.0

    def state(self) -> ValidationState:
        """What a checkpoint has to keep."""
        return ValidationState(
            rolling=self.rolling.state(),
            trained_s=self.slices.trained_s,
            slices_s=self.slices.spent_s,
            selections_s=self.selections.spent_s,
        )

    def restore(self, state: ValidationState) -> None:
        """Goes on from what a checkpoint kept."""
        window = self._job.config.validation.window
        self.rolling = RollingScores(len(self._others), window, state.rolling)
        self.slices = TimeShare(self.slices.share, state.trained_s, state.slices_s)
        self.selections = TimeShare(self.selections.share, state.trained_s, state.selections_s)

    def trained(self, seconds: float) -> None:
        """Training took ``seconds``, of which validation may take its share."""
        self.slices.trained_s += seconds
        self.selections.trained_s += seconds

    def report(self, step: int, scope: Scope) -> Scores:
        """Scores on the report rows, the same before and after training."""
        rows = self._others[: self._job.config.validation.report_rows]
        predictions = self._read(rows, step, scope)
        self._write_predictions(predictions, scope, step)
        scores = _scores(predictions)
        self._job.events.write(Validated(step=step, scope=scope, scores=scores))
        return scores

    def slice_due(self) -> bool:
        """Whether the time share allows another slice."""
        return self.slices.allows(self._seconds_a_row * self._job.config.validation.slice_rows)

    def read_slice(self, step: int) -> None:
        """Reads the next slice and tells the rolling scores."""
        started = time.perf_counter()
        places = self.rolling.next_rows(self._job.config.validation.slice_rows)
        predictions = self._read([self._others[place] for place in places], step, "rolling")
        self.rolling.add([_row_score(prediction) for prediction in predictions])
        self.slices.spent_s += time.perf_counter() - started
        self._job.events.write(
            Validated(
                step=step,
                scope="rolling",
                scores=self.rolling.scores(),
                window=self._job.config.validation.window,
                share=self.slices.taken + self.selections.taken,
                share_limit=self._job.config.validation.share,
            )
        )

    def selection_due(self) -> bool:
        """Whether the time share allows a pass over the fixed subset."""
        return self.selections.allows(self._seconds_a_row * len(self._selection))

    def select(self, step: int, best: Scores | None) -> tuple[Scores, bool]:
        """Scores on the fixed subset, and whether they are at least as good as the best."""
        started = time.perf_counter()
        scores = _scores(self._read(self._selection, step, "selection"))
        self.selections.spent_s += time.perf_counter() - started
        is_best = best is None or rank(scores) >= rank(best)
        self._job.events.write(Validated(step=step, scope="selection", scores=scores, best=is_best))
        return scores, is_best

    def _read(self, rows: Sequence[int], step: int, scope: Scope) -> list[Prediction]:
        """Reads rows slice by slice; the run may be left between slices."""
        read: list[Prediction] = []
        size = self._at_a_time
        for first in range(0, len(rows), size):
            self._job.control.check()
            chunk = rows[first : first + size]
            started = time.perf_counter()
            predictions = self._reader.read_rows(self._job.validation_rows, chunk)
            self._seconds_a_row = (time.perf_counter() - started) / len(chunk)
            read.extend(predictions)
            self._job.events.write(
                Predicted(
                    step=step,
                    scope=scope,
                    done=len(read),
                    total=len(rows),
                    predictions=tuple(predictions),
                )
            )
        return read

    def _write_predictions(
        self, predictions: Sequence[Prediction], scope: Scope, step: int
    ) -> None:
        lines = b"".join(msgspec.json.encode(prediction) + b"\n" for prediction in predictions)
        path = self._job.run.predictions / f"{scope}-{step:08d}.jsonl"
        try:
            write_whole(path, lines)
        except OSError as error:
            message = f"{path}: can't write the predictions: {error.strerror or error}"
            self._job.events.write(Log(level="warning", message=message))


def rank(scores: Scores) -> tuple[float, float, float]:
    """What is compared to call one adapter better: normalised, then exact, then similarity."""
    values = (scores.normalized.value, scores.exact.value, scores.similarity80.value)
    normalized, exact, similar = (value or 0.0 for value in values)
    return normalized, exact, similar


def _row_score(prediction: Prediction) -> RowScore:
    return score(prediction.truth, prediction.reply)


def _scores(predictions: Sequence[Prediction]) -> Scores:
    return Scores.of(_row_score(prediction) for prediction in predictions)
