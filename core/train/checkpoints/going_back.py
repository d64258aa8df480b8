"""Which checkpoint training can go back to when its numbers are no longer finite."""

from pathlib import Path

from core.errors import KocrError
from core.train.checkpoints import checkpoint


def last_good(folder: Path) -> Path | None:
    """The newest checkpoint that verifies and was saved after a good step.

    None, to begin anew, if no step was good yet. Raises KocrError if there are other checkpoints,
    since to begin anew would leave what they hold behind.
    """
    found = checkpoint.in_order(folder)
    learnt = bool(found)
    for path in reversed(found):
        if checkpoint.verify(path) is None:
            state = checkpoint.read_state(path)
            if not state.numbers.in_a_row:
                return path
            learnt = learnt and state.numbers.in_a_row < state.step
    if learnt:
        raise KocrError(
            f"{folder}: the loss or gradient is not finite, and no checkpoint is left that was "
            "saved before; lower train.learning_rate in a new run"
        )
    return None
