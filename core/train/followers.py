"""The processes that a leader starts, and what becomes of the run when one of them dies."""

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from core.child import child_command, child_environment
from core.errors import GpuLostError, KocrError
from core.hardware.cuda_error import context_is_lost, is_cuda_error

FOLLOWER = child_command("core.train.follower")
_LAST_WORD = "KOCR_LAST_WORD_FD"
_MOST_BYTES = 4096
# What a process held goes before the word of its end comes.
_WORD_OF_END_SECONDS = 1.0
# A main thread that waits for the dead one never leaves by itself.
PATIENCE_SECONDS = 2.0
# One that hangs on a lost card can't even be killed.
_GONE_SECONDS = 5.0


def leave_word(sentence: str) -> None:
    """Called by a process that a leader started: why it ends."""
    if (given := os.environ.get(_LAST_WORD)) is not None:
        os.write(int(given), sentence.encode())


class Followers:
    """A block that needs all processes of a run but this one, the leader; at its end they are gone.

    Where one of them has died, an error that the block ends with becomes what that one said:
    GpuLostError if its card was lost, which may have been the others' end, too, else KocrError. A
    block that hasn't ended ``patience`` seconds later waits for the dead one: ``on_death`` hears
    the same from another thread, and must end the process.
    """

    def __init__(
        self,
        run: Path,
        processes: int,
        on_death: Callable[[KocrError], object],
        command: Sequence[str] = FOLLOWER,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._command = [*command, str(run)]
        self._processes = processes
        self._on_death = on_death
        self._patience = patience
        self._started: list[subprocess.Popen[bytes]] = []
        self._why: KocrError | None = None
        self._died = threading.Event()
        self._over = threading.Event()

    def __enter__(self) -> Self:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            port = listening.getsockname()[1]
        os.environ.update(
            WORLD_SIZE=str(self._processes),
            LOCAL_WORLD_SIZE=str(self._processes),
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=str(port),
            RANK="0",
            LOCAL_RANK="0",
        )
        for rank in range(1, self._processes):
            self._start(rank)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        follows = isinstance(error, Exception) and not _tells_by_itself(error)
        if follows:
            self._died.wait(_WORD_OF_END_SECONDS)
        self._over.set()
        for process in self._started:
            process.kill()
        for process in self._started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GONE_SECONDS)
        if follows and self._why is not None:
            raise self._why from error

    def _start(self, rank: int) -> None:
        words = os.memfd_create("last-word")
        own = {"RANK": str(rank), "LOCAL_RANK": str(rank), _LAST_WORD: str(words)}
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            process_group=0,
            pass_fds=[words],
            env=child_environment() | own,
        )
        self._started.append(process)
        threading.Thread(target=self._watch, args=(process, rank, words), daemon=True).start()

    def _watch(self, process: subprocess.Popen[bytes], rank: int, words: int) -> None:
        code = process.wait()
        said = os.pread(words, _MOST_BYTES, 0).decode("utf-8", errors="replace")
        os.close(words)
        if code == 0 or self._over.is_set():
            return
        why = self._reason(rank, code, said)
        if self._why is None or isinstance(why, GpuLostError):
            self._why = why
        self._died.set()
        if not self._over.wait(self._patience):
            self._on_death(self._why)

    def _reason(self, rank: int, code: int, said: str) -> KocrError:
        who = f"process {rank + 1} of {self._processes}"
        if code == GpuLostError.exit_code and said:
            return GpuLostError(f"{who}: {said}")
        silent = f" ended with exit status {code}; worker.log has its last words"
        what = f": {said}" if said else silent
        return KocrError(f"{who}{what}; resume goes on from the last checkpoint")


def _tells_by_itself(error: Exception) -> bool:
    """Whether the error is the leader's own, and not what the end of another process led to."""
    return isinstance(error, KocrError) or (is_cuda_error(error) and context_is_lost())
