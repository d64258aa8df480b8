"""Readers of the label files that users have, one module a kind."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from core.data.sources import aihub_81, aihub_105, chats, store_names
from core.data.sources.items import Item, decode_file, elements, is_list, read_json
from core.errors import UsageError

Kind = Literal["store-names", "aihub-105", "aihub-81", "chat", "sharegpt", "messages"]
KINDS: tuple[Kind, ...] = get_args(Kind)


def read(path: Path, kind: Kind, *, template: str, crops: bool) -> Iterator[Item]:
    """The rows of a source, in its order; what can't become a row is given as rejected."""
    if kind == "store-names":
        return store_names.read(path, template)
    if kind == "aihub-105":
        return aihub_105.read(path, crops=crops)
    if kind == "aihub-81":
        return aihub_81.read(path, crops=crops)
    return chats.read_messages(path) if kind == "messages" else chats.read_chats(path)


def recognise(path: Path) -> Kind:
    """The kind of a source by what is in it; raises UsageError if it is none that is known."""
    if path.is_dir():
        return "aihub-105"
    kind = _of_rows(path) if is_list(path) or path.suffix == ".jsonl" else _of_object(path)
    if kind is None:
        raise UsageError(
            f"{path}: not a known kind of label file; name it with --from ({', '.join(KINDS)})"
        )
    return kind


def _of_object(path: Path) -> Kind | None:
    try:
        document = decode_file(read_json(path), path, dict[str, msgspec.Raw])
    except UsageError:
        return _of_rows(path)
    if "images" in document and "annotations" in document:
        return "aihub-81"
    if "images" in document and b'"fileName"' in bytes(document["images"])[:100_000]:
        return "store-names"
    return _of_rows(path)


def _of_rows(path: Path) -> Kind | None:
    """By the first element that can be read."""
    for _place, element in elements(path):
        try:
            row: Any = msgspec.json.decode(element)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        kind = _of_row(row)
        if kind is not None:
            return kind
    return None


def _of_row(row: Any) -> Kind | None:
    if not isinstance(row, dict):
        return None
    turns = row.get("conversations") or row.get("messages")
    first = turns[0] if isinstance(turns, list) and turns and isinstance(turns[0], dict) else {}
    if "conversations" in row:
        return "sharegpt" if "from" in first else "chat"
    if "messages" in row:
        return "sharegpt" if "images" in row or "image" in row else "messages"
    return None
