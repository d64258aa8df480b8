"""The requests that wait for a worker in its run's control folder."""

from collections.abc import Callable, Iterator
from pathlib import Path

from core.control_file import ControlFileError, ControlRequest, read_request, waiting

MOST_AT_ONCE = 64


class Inbox:
    """Hands out requests in the order they were asked in; the worker removes each once it's told.

    What is no request stays where it is and isn't looked at again. ``tell`` hears a line on
    everything that is passed over, each once, and on MOST_AT_ONCE of them at most.
    """

    def __init__(self, folder: Path, tell: Callable[[str], None]) -> None:
        self._folder = folder
        self._tell = tell
        self._passed_over: set[str] = set()
        self._told: set[str] = set()

    def make(self) -> None:
        """Makes the folder where a run has none; without one, only signals are heard."""
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            self._tell_once(f"{self._folder}: no request can be heard here: {error.strerror}")

    def names(self) -> list[str]:
        """The files that may be requests; none is opened, since this is done many times a step."""
        try:
            found = waiting(self._folder)
        except FileNotFoundError:
            return []
        except OSError as error:
            self._tell_once(f"{self._folder}: no request can be heard here: {error.strerror}")
            return []
        self._passed_over.intersection_update(found)
        return [name for name in found if name not in self._passed_over]

    def requests(self) -> Iterator[tuple[str, ControlRequest]]:
        """The oldest MOST_AT_ONCE that wait, with the names of their files."""
        names = self.names()
        if len(names) > MOST_AT_ONCE:
            said = f"more than {MOST_AT_ONCE} requests wait; the oldest {MOST_AT_ONCE} come first"
            self._tell_once(f"{self._folder}: {said}")
        for name in names[:MOST_AT_ONCE]:
            if (asked := self._read(name)) is not None:
                yield name, asked

    def remove(self, name: str) -> None:
        """Unlinks a request, or sees to it that it isn't handed out again."""
        path = self._folder / name
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            self._passed_over.add(name)
            self._tell_once(f"{path}: heard, but can't be removed: {error.strerror}")

    def _read(self, name: str) -> ControlRequest | None:
        path = self._folder / name
        try:
            return read_request(path)
        except ControlFileError as error:
            self._passed_over.add(name)
            self._tell_once(str(error))
        except OSError as error:
            self._tell_once(f"{path}: can't be read now: {error.strerror}")
        return None

    def _tell_once(self, line: str) -> None:
        if line in self._told or len(self._told) > MOST_AT_ONCE:
            return
        if len(self._told) == MOST_AT_ONCE:
            line = f"{self._folder}: no more is told of what is passed over there"
        self._told.add(line)
        self._tell(line)
