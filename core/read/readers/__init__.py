"""Readers beside our own model, each in a file of its own; opened by what `--reader` names."""

from core.errors import UsageError
from core.read.reader import Reader

KINDS = "tesseract, donut:PATH or transformers:PATH"


def open_reader(spec: str, *, max_new_tokens: int, at_a_time: int, device: str = "cpu") -> Reader:
    """The reader that ``spec`` names: ``tesseract``, ``donut:PATH`` or ``transformers:PATH``.

    PATH is a folder or hub id; such a model writes at most ``max_new_tokens`` for each of
    ``at_a_time`` photos on ``device`` (torch's name for it). Raises UsageError for another spec,
    and for a reader that is not installed or can't be loaded, with what to do about it.
    """
    kind, _, path = spec.partition(":")
    # Each import is its reader's own: Tesseract needs no torch.
    if kind == "tesseract" and not path:
        from core.read.readers.tesseract import Tesseract

        return Tesseract()
    if kind == "donut" and path:
        from core.read.readers.donut import open_donut

        return open_donut(path, max_new_tokens, at_a_time, device)
    if kind == "transformers" and path:
        from core.read.readers.transformers_model import open_transformers_model

        return open_transformers_model(path, max_new_tokens, at_a_time, device)
    raise UsageError(f"--reader {spec}: no such reader; take {KINDS}")
