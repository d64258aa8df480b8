"""What options may hold; a wrong value is one line that names the option."""

import argparse
import math
import re
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")
_PHOTO = re.compile(r"(\d{1,6})\s*[xX×]\s*(\d{1,6})")
_READER = re.compile(r"tesseract|(donut|transformers):.+")


def count(text: str) -> int:
    """A whole number of 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"needs a whole number of 1 or more, not {text!r}")
    return int(text)


def port(text: str) -> int:
    """A TCP port that a user may open: 1024 to 65535."""
    if not text.isdecimal() or not 1024 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"needs a number from 1024 to 65535, not {text!r}")
    return int(text)


def positive(text: str) -> float:
    """A finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"needs a number above 0, not {text!r}")
    return value


def checkpointing(text: str) -> str | int:
    """All, none or every n-th layer; whether it can be is for the engine's rules to say."""
    return int(text) if text.isdecimal() else text


def layers(text: str) -> str | int:
    """``none``, ``all``, or a number of 2 or more for every n-th layer."""
    value = checkpointing(text)
    if value in ("none", "all") or (isinstance(value, int) and value >= 2):
        return value
    raise argparse.ArgumentTypeError(f"needs none, all or a number of 2 or more, not {text!r}")


def checkpoint(text: str) -> str | int:
    """``best``, ``last``, or the step of one."""
    if text in ("best", "last"):
        return text
    if text.isdecimal() and len(text) <= 18:
        return int(text)
    raise argparse.ArgumentTypeError(f"needs best, last or a step, not {text!r}")


def reader(text: str) -> str:
    """A reader beside our own: ``tesseract``, ``donut:PATH`` or ``transformers:PATH``."""
    if not _READER.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"needs tesseract, donut:PATH or transformers:PATH, not {text!r}"
        )
    return text


def photo_size(text: str) -> tuple[int, int]:
    """Width and height of a photo in pixels: ``4032x3024``."""
    match = _PHOTO.fullmatch(text.strip())
    sides = (int(match[1]), int(match[2])) if match else (0, 0)
    if 0 in sides:
        raise argparse.ArgumentTypeError(f"needs width and height like 4032x3024, not {text!r}")
    return sides


def one_of(*choices: str) -> Callable[[str], str]:
    """One of these words."""

    def read(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(f"needs one of {', '.join(choices)}, not {text!r}")
        return text

    return read


def listed(read: Callable[[str], Value]) -> Callable[[str], tuple[Value, ...]]:
    """One or more of what ``read`` takes, between commas; what is named twice is taken once."""

    def read_all(text: str) -> tuple[Value, ...]:
        return tuple(dict.fromkeys(read(part.strip()) for part in text.split(",")))

    return read_all
