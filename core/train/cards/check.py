"""A run whose card failed goes on only once the card has passed a check."""

import subprocess
import tempfile
import time
from collections.abc import Sequence
from typing import IO

from core.child import child_command, environment_alone
from core.config import RunConfig
from core.errors import GpuLostError
from core.event_log import EventWriter
from core.events import Finished, Log, TrainingStarted, WorkerStarted
from core.hardware.nvml import Card, Monitor
from core.profile import Profile
from core.run_dir import RunDir
from core.train.cards.health import name_of, repair_words
from core.train.control import Control

TRIAL = child_command("core.train.cards.trial")
TRIAL_SECONDS = 120.0
_POLL_SECONDS = 0.2


def failed_before(run: RunDir) -> bool:
    """Whether the run's last word was that its card failed, and it hasn't trained since."""
    failed = False
    for event in run.events().read():
        if isinstance(event, Finished):
            failed = failed or event.exit_code == GpuLostError.exit_code
        elif isinstance(event, TrainingStarted):
            failed = False
    return failed


def check_cards(
    run: RunDir,
    config: RunConfig,
    profile: Profile,
    cards: Sequence[Card],
    control: Control,
    events: EventWriter,
    command: Sequence[str] = TRIAL,
) -> None:
    """Asks NVML whether the cards need a reset, and has each of them compute something.

    The latter happens in a process of its own (``command``, the device, how many cards), which may
    hang or crash. Raises GpuLostError with the reason if a card doesn't pass, and StoppedError or
    AbortedError if that is asked meanwhile.
    """
    if config.device.profile == "auto" and profile.device == "cpu" and _was_on_card(run):
        raise GpuLostError(
            "the run was on a card, and none can be seen now; `kocr-tui doctor` says why, then "
            "resume, or choose --profile cpu"
        )
    _refuse_repair(cards)
    _try_out([*command, profile.device, str(len(cards) or 1)], cards, control)
    names = " and ".join(map(name_of, cards)) or profile.title
    message = f"{names}: passed a check after it had failed: training goes on"
    events.write(Log(level="info", message=message))


def _was_on_card(run: RunDir) -> bool:
    return any(
        isinstance(event, WorkerStarted) and event.device == "cuda" for event in run.events().read()
    )


def _refuse_repair(cards: Sequence[Card]) -> None:
    with Monitor() as monitor:
        for card in cards:
            if card.uuid is not None and (repair := monitor.repair(card.uuid)) is not None:
                raise GpuLostError(repair_words(card, repair))


def _try_out(command: Sequence[str], cards: Sequence[Card], control: Control) -> None:
    names = " and ".join(map(name_of, cards)) or "the device"
    with tempfile.TemporaryFile() as errors:
        # No block waits for its end: one that hangs on a lost card can't even be killed.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stderr=errors,
            env=environment_alone(),
            process_group=0,
        )
        try:
            code = _wait(process, control)
        finally:
            process.kill()
        if code != 0:
            raise GpuLostError(
                f"{names}: didn't pass its check: {_reason(code, errors)}; see `kocr-tui doctor`, "
                "reset it (`sudo nvidia-smi -r`) or restart the box, then resume"
            )


def _wait(process: subprocess.Popen[bytes], control: Control) -> int | None:
    """The exit code; None if it took too long."""
    deadline = time.monotonic() + TRIAL_SECONDS
    while process.poll() is None:
        if time.monotonic() > deadline:
            return None
        control.wait(_POLL_SECONDS)
    return process.returncode


def _reason(code: int | None, errors: IO[bytes]) -> str:
    if code is None:
        return f"it has computed nothing within {TRIAL_SECONDS:.0f} s"
    errors.seek(0)
    lines = errors.read().decode("utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else f"it ended with exit status {code} and no word"
