"""What the console costs: first paint, bytes over the line, processor, memory, long runs.

``python benchmarks/console.py [--out FILE] [--seconds 60]`` runs the real command in a pty.

- First paint: seconds from the start of the process until its first screen is written, against a
  Textual app with one label, in turns; the medians' ratio.
- Traffic: bytes in every second on the training screen while two steps a second, predictions and
  scores arrive; the median and the mean of the seconds; processor time and most memory meanwhile.
- Long runs: seconds from enter on the list of runs until the run's last step is on the screen,
  for 138,149 steps and for ten times that, and the process's most memory.

Expected before it was written: ratio 1.3, 5 and 2.5 KiB/s, 3 % of a core, 90 MiB, 0.6 s and 2 s.
"""

import argparse
import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import statistics
import struct
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from console_run import beginning, new_run, predicted, scores, step, worker_of, write_long
from machine import machine

from core.event_log import EventWriter
from core.run_dir import RunDir

SIZES = ((80, 24), (120, 40))
STEPS_A_SECOND = 2
EMPTY_APP = """
from textual.app import App
from textual.widgets import Label

class Empty(App):
    def compose(self):
        yield Label("painted")

Empty().run()
"""
QUIET_SECONDS = 0.4


class Terminal:
    """A process in a pty of its own, and what it has written."""

    def __init__(self, command: Sequence[str], size: tuple[int, int], home: Path) -> None:
        self.started = time.monotonic()
        self.pid, self._file = pty.fork()
        if self.pid == 0:
            environment = {
                **os.environ, "TERM": "xterm-256color", "KOCR_HOME": str(home),
                "KOCR_CONFIG": str(home / "config"), "LANG": "C.UTF-8",
            }  # fmt: skip
            os.execvpe(command[0], command, environment)
        columns, rows = size
        fcntl.ioctl(self._file, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.text = b""

    def read(self, seconds: float) -> int:
        """Reads for so long; returns the number of bytes."""
        end, count = time.monotonic() + seconds, 0
        while (left := end - time.monotonic()) > 0:
            if select.select([self._file], [], [], left)[0]:
                count += len(self._take())
        return count

    def until(self, wanted: bytes, limit: float = 60.0) -> float:
        """Seconds from now until ``wanted`` was written."""
        begun = time.monotonic()
        while wanted not in self.text:
            if not select.select([self._file], [], [], limit)[0]:
                raise TimeoutError(f"{wanted!r} not seen; the end: {self.text[-400:]!r}")
            self._take()
        return time.monotonic() - begun

    def until_quiet(self) -> float:
        """The moment, in seconds since the start, of the last bytes before a pause."""
        last = time.monotonic()
        while select.select([self._file], [], [], QUIET_SECONDS)[0]:
            self._take()
            last = time.monotonic()
        return last - self.started

    def press(self, keys: str) -> None:
        self.text = b""
        os.write(self._file, keys.encode())

    def processor_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def most_memory_mib(self) -> float:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        [line] = [line for line in lines if line.startswith("VmHWM")]
        return int(line.split()[1]) / 1024

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.let_go()

    def let_go(self) -> None:
        """Closes this end of the pty of a process that has left."""
        os.close(self._file)

    def _take(self) -> bytes:
        data = os.read(self._file, 1 << 16)
        self.text = (self.text + data)[-(1 << 20) :]
        return data


@contextlib.contextmanager
def terminal(command: Sequence[str], size: tuple[int, int], home: Path) -> Iterator[Terminal]:
    """A Terminal that is gone after the block."""
    opened = Terminal(command, size, home)
    try:
        yield opened
    finally:
        opened.close()


def kocr(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "kocr_tui.cli", *arguments]


def first_paint(home: Path, rounds: int) -> dict[str, Any]:
    """Medians of the first paint of the console without runs, and of an empty Textual app."""
    taken: dict[str, list[float]] = {"console": [], "empty_app": []}
    commands = {"console": kocr(), "empty_app": [sys.executable, "-P", "-c", EMPTY_APP]}
    words = {"console": b"kocr-tui", "empty_app": b"painted"}
    settled = []
    for _round in range(rounds):
        for name, command in commands.items():
            with terminal(command, (120, 40), home) as opened:
                opened.until(words[name])
                taken[name].append(time.monotonic() - opened.started)
                if name == "console":
                    settled.append(opened.until_quiet())
    console, empty = (statistics.median(taken[name]) for name in ("console", "empty_app"))
    return {
        "console_s": console,
        "empty_app_s": empty,
        "ratio": console / empty,
        "console_settled_s": statistics.median(settled),
    }


def feed(run: RunDir, writer: EventWriter, stop: threading.Event) -> None:
    """Two steps a second, predictions every other second, scores every five, until ``stop``."""
    number = 0
    while not stop.wait(1 / STEPS_A_SECOND):
        number += 1
        writer.write(step(number, 8635))
        if number % (2 * STEPS_A_SECOND) == 0:
            writer.write(predicted(number))
        if number % (5 * STEPS_A_SECOND) == 0:
            writer.write(scores(number, "rolling", 60 + number % 90))


def traffic(home: Path, size: tuple[int, int], seconds: int) -> dict[str, Any]:
    """Bytes a second, processor and memory of the training screen of a run that goes on."""
    run = new_run(home / "runs", "live")
    writer = EventWriter(run.events_file)
    for event in beginning(8635, time.time()):
        writer.write(event)
    stop = threading.Event()
    feeding = threading.Thread(target=feed, args=(run, writer, stop), daemon=True)
    with worker_of(run), terminal(kocr("attach", run.id), size, home) as opened:
        feeding.start()
        opened.until(b"samples/s")
        opened.read(5)
        busy = opened.processor_seconds()
        counts = [opened.read(1.0) / 1024 for _second in range(seconds)]
        busy = opened.processor_seconds() - busy
        memory = opened.most_memory_mib()
        stop.set()
        feeding.join()
    return {
        "size": f"{size[0]}x{size[1]}",
        "median_kib_s": statistics.median(counts),
        "mean_kib_s": statistics.mean(counts),
        "most_kib_s": max(counts),
        "processor_share": busy / seconds,
        "most_memory_mib": memory,
    }


def long_run(home: Path, steps: int) -> dict[str, Any]:
    """Seconds from enter until the last step is shown, and the most memory."""
    run = new_run(home / "runs", "long")
    write_long(run, steps)
    with terminal(kocr(), (120, 40), home) as opened:
        opened.until(b"long")
        opened.until_quiet()
        opened.press("\r")
        # The step stands in the header; the list of runs writes it without the commas.
        seconds = opened.until(f"{steps:,}".encode())
        opened.read(3)
        memory = opened.most_memory_mib()
    size = run.events_file.stat().st_size
    return {
        "steps": steps, "events_mib": size / 2**20, "open_s": seconds, "most_memory_mib": memory,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    result: dict[str, Any] = {"machine": machine("textual", "rich")}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        result["first_paint"] = first_paint(root / "empty", options.rounds)
        print(json.dumps(result["first_paint"]))
        result["traffic"] = []
        for size in SIZES:
            result["traffic"].append(traffic(root / f"{size[0]}", size, options.seconds))
            print(json.dumps(result["traffic"][-1]))
        result["long"] = []
        for steps in (138_149, 1_381_490):
            result["long"].append(long_run(root / f"{steps}", steps))
            print(json.dumps(result["long"][-1]))
    if options.out is not None:
        options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
