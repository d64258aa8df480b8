"""What goes wrong with runs, for tests: events, a checkpoint's size, room on the disk."""

from core.events import (
    CardTrouble,
    CertificateVoided,
    Change,
    RanOutOfMemory,
    Remedy,
    RolledBack,
    SaveFailed,
)
from core.run_dir import RunDir

GIB = 2**30


def out_of_memory(step: int, remedy: Remedy = "halve") -> RanOutOfMemory:
    return RanOutOfMemory(
        step=step,
        remedy=remedy,
        budget_before=6208,
        budget_after=3104,
        peak_bytes=20 * GIB,
        limit_bytes=21 * GIB,
        message="CUDA out of memory",
    )


VOIDED = CertificateVoided(
    changes=(
        Change(name="driver", before="570.86", now="580.10"),
        Change(name="versions.torch", before="2.12.0", now="2.13.0"),
    )
)


def checkpoint_of(run: RunDir, size: int) -> None:
    folder = run.checkpoints / "step-00000100"
    folder.mkdir()
    (folder / "weights").touch()
    with (folder / "weights").open("r+b") as file:
        file.truncate(size)


def newer_event(run: RunDir) -> None:
    """An event that only a version to come writes."""
    with run.events_file.open("ab") as file:
        file.write(b'{"kind":"teleported","v":9,"seq":999,"time":1.0}\n')


def save_failed(run: RunDir, step: int, free_bytes: int | None = 12 << 20) -> SaveFailed:
    return SaveFailed(
        step=step,
        message=f"{run.checkpoints}: can't save the checkpoint of step {step}: No space left",
        free_bytes=free_bytes,
        retry_s=60.0,
    )


THROTTLED = CardTrouble(
    what="throttled", message="NVIDIA L4 (GPU 0): its clocks are held down at 92 °C: too hot"
)
RECOVERED = CardTrouble(
    what="recovered", message="NVIDIA L4 (GPU 0): its clocks are no longer held down"
)


def rolled_back(step: int, to_step: int) -> RolledBack:
    return RolledBack(step=step, to_step=to_step, message="8 steps in a row were not finite")
