"""Runs probes in processes of their own, and says what became of them."""

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from core.child import child_command, environment_alone
from core.errors import GpuLostError, KocrError
from core.hardware.nvml import auto_card
from core.train.control import Control
from core.tune.probe import ProbeResult, ProbeSpec

PROBE = child_command("core.tune.probe")
_POLL_SECONDS = 0.2
# One that hangs on a lost card can't even be killed.
_GONE_SECONDS = 5.0
# Others on the card that move less than this don't void a probe.
_MOVED_BYTES = 64 * 2**20
_MOST_VOID = 3


class ProbeTimeoutError(KocrError):
    """A probe took longer than it may."""


def run_probe(
    spec: ProbeSpec, control: Control, limit_seconds: float, command: Sequence[str] = PROBE
) -> ProbeResult:
    """Runs one probe; it's killed when the run has to leave or the time is over.

    A probe during which others on the card took or gave back memory is run again. Raises KocrError
    if it fails for another reason than memory, GpuLostError if that is the card's end,
    ProbeTimeoutError if the time is over.
    """
    for _ in range(_MOST_VOID):
        before = _used_by_others(spec)
        result = _run_once(spec, control, limit_seconds, command)
        after = _used_by_others(spec)
        if before is None or after is None or abs(after - before) < _MOVED_BYTES:
            return result
    raise KocrError(
        "others on the card take and give back memory all the time, so nothing can be proved; "
        "`kocr-tui doctor` lists them"
    )


def _used_by_others(spec: ProbeSpec) -> int | None:
    """Bytes in use on the card while no probe runs; None where that isn't told."""
    card = auto_card() if spec.profile.device == "cuda" else None
    return None if card is None else card.used_bytes


def _run_once(
    spec: ProbeSpec, control: Control, limit_seconds: float, command: Sequence[str]
) -> ProbeResult:
    with tempfile.TemporaryDirectory(prefix="kocr-probe-") as folder:
        spec_file, result_file = Path(folder) / "spec.json", Path(folder) / "result.json"
        spec_file.write_bytes(msgspec.json.encode(spec))
        process = subprocess.Popen(
            [*command, str(spec_file), str(result_file)],
            stdin=subprocess.DEVNULL,
            env=environment_alone(),
            process_group=0,
        )
        try:
            _wait(process, control, limit_seconds)
        finally:
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GONE_SECONDS)
        if process.returncode != 0 or not result_file.exists():
            # A signal to all of the run's processes ends the probe too, and so may its card.
            control.check()
            if control.card is not None:
                control.card.settle()
                control.card.check()
            raise KocrError(
                f"the probe of {spec.max_pixels:,} pixels died with exit status "
                f"{process.returncode}; worker.log has its last words"
            )
        result = msgspec.json.decode(result_file.read_bytes(), type=ProbeResult)
    if result.error is not None:
        raise (GpuLostError if result.lost else KocrError)(result.error)
    return result


def _wait(process: subprocess.Popen[bytes], control: Control, limit_seconds: float) -> None:
    deadline = time.monotonic() + limit_seconds
    while True:
        try:
            process.wait(timeout=_POLL_SECONDS)
            return
        except subprocess.TimeoutExpired:
            before = time.monotonic()
            control.check()
            deadline += time.monotonic() - before
        if time.monotonic() > deadline:
            raise ProbeTimeoutError(
                f"a probe took over {limit_seconds:.0f} s; raise tune.probe_seconds, "
                "or look at worker.log for what held it up"
            )
