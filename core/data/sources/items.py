"""What every reader of label files gives: rows, and elements that can't become rows."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from core.data.lines import numbered_lines
from core.data.schemas import decoding_problem, refuse_duplicate_keys
from core.data.unusable import Reason, UnusableError
from core.errors import UsageError

BOM = b"\xef\xbb\xbf"
Element = TypeVar("Element")


@dataclass(frozen=True)
class Box:
    """A text on a photo: left, top, width and height in pixels of the label's own frame.

    ``frame`` is the width and height of the photo that the label was made on.
    """

    left: float
    top: float
    width: float
    height: float
    frame: tuple[int, int]


@dataclass(frozen=True)
class Labelled:
    """One row to be; ``place`` is where it stands in the source, ``image`` its photo's name there.

    ``prompt`` is None where the source has none of its own, ``box`` None for the whole photo.
    """

    place: str
    image: str
    answer: str
    prompt: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    box: Box | None = None


@dataclass(frozen=True)
class Rejected:
    """An element of a source that can't become a row."""

    place: str
    reason: Reason
    sentence: str

    @classmethod
    def of(cls, place: str, problem: UnusableError) -> "Rejected":
        """The element at ``place`` for the reason that was raised."""
        return cls(place, problem.reason, str(problem))


Item = Labelled | Rejected


def read_json(path: Path) -> bytes:
    """The bytes of a JSON file without a BOM; raises UsageError if it can't be read."""
    try:
        return path.read_bytes().removeprefix(BOM)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file; give a label file or a folder of them") from None
    except OSError as error:
        raise UsageError(f"{path}: can't be read: {error.strerror}") from error


def decode_file(content: bytes, path: Path, kind: Any) -> Any:
    """A whole JSON file as ``kind``; raises UsageError that names the file and the fault."""
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path}: {decoding_problem(content, error)}") from error


def decode_element(content: bytes | msgspec.Raw, kind: Any) -> Any:
    """One element of a file as ``kind``; raises UnusableError."""
    element = bytes(content)
    try:
        decoded = msgspec.json.decode(element, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise decoding_problem(element, error) from error
    refuse_duplicate_keys(element)
    return decoded


def each_decoded(
    name: str, raw: list[msgspec.Raw], kind: type[Element]
) -> Iterator[tuple[str, Element | Rejected]]:
    """Place and value of every element of the list called ``name``, one that is bad as rejected."""
    for index, element in enumerate(raw):
        place = f"{name}[{index}]"
        try:
            yield place, decode_element(element, kind)
        except UnusableError as problem:
            yield place, Rejected.of(place, problem)


def elements(path: Path) -> Iterator[tuple[str, bytes]]:
    """Place and bytes of every element of a JSON list, or of every line of a JSONL file."""
    if is_list(path):
        found = decode_file(read_json(path), path, list[msgspec.Raw])
        for index, element in enumerate(found):
            yield f"{path.name}[{index}]", bytes(element)
    else:
        for number, _offset, line in numbered_lines(path):
            yield f"{path.name} line {number}", line


def is_list(path: Path) -> bool:
    """Whether the file is one JSON list."""
    try:
        with path.open("rb") as file:
            return file.read(4096).removeprefix(BOM).lstrip().startswith(b"[")
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file; give a label file or a folder of them") from None
    except OSError as error:
        raise UsageError(f"{path}: can't be read: {error.strerror}") from error
