"""What a request names to read with: described at once, opened only when there is work for it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

from core.read.reader import Photo, Reader
from core.reading import ReadRequest

_OTHERS = {"tesseract": "tesseract", "donut": "donut", "transformers": "transformers_model"}


@dataclass(frozen=True)
class Described:
    """A reader before it's opened; ``open`` loads what it needs, which may take minutes.

    ``name`` is what its files are named after, ``tokens`` how long a photo is to it, ``settings``
    have what else decides its replies, and ``notes`` are lines for people.
    """

    title: str
    name: str
    at_a_time: int
    open: Callable[[], AbstractContextManager[Reader]]
    tokens: Callable[[Photo], int]
    model: str | None = None
    adapter: str | None = None
    max_pixels: int | None = None
    settings: dict[str, Any] | None = None
    versions: dict[str, str] | None = None
    notes: tuple[str, ...] = ()


def describe(request: ReadRequest) -> Described:
    """What the request names to read with.

    Another reader is a module in core.read.readers whose ``describe(path, request)`` answers;
    ``path`` is what stands after the colon. Raises UsageError for what isn't there, can't be used
    or isn't installed.
    """
    if request.source.reader is not None:
        kind, _colon, path = request.source.reader.partition(":")
        module = import_module(f"core.read.readers.{_OTHERS[kind]}")
        other: Described = module.describe(path, request)
        return other
    from core.read.readers.model import open_model_reader
    from core.read.recipe import recipe_of

    recipe = recipe_of(request)
    return Described(
        title=recipe.title,
        name=recipe.name,
        at_a_time=recipe.at_a_time,
        open=partial(open_model_reader, recipe),
        tokens=recipe.tokens,
        model=recipe.model_name(),
        adapter=recipe.adapter.title if recipe.adapter is not None else None,
        max_pixels=recipe.max_pixels,
        settings=recipe.settings(),
        versions=recipe.versions(),
        notes=recipe.notes,
    )
