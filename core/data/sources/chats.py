"""Rows that are chats already: turns by role, ShareGPT and LLaVA turns, Qwen2-VL messages."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from core.data.schemas import clean, parse_row
from core.data.sources.items import Item, Labelled, Rejected, decode_element, elements
from core.data.unusable import UnusableError

_PLACEHOLDER = "<image>"
_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}


class Turn(msgspec.Struct, frozen=True):
    """A turn; ``role`` and ``content``, or ShareGPT's ``from`` and ``value``."""

    role: str | None = None
    content: str | None = None
    source: str | None = msgspec.field(default=None, name="from")
    value: str | None = None

    @property
    def speaker(self) -> str:
        """user, assistant, or the role as it is."""
        role = self.role or self.source or ""
        return _ROLES.get(role, role)

    @property
    def text(self) -> str:
        return clean((self.content or self.value or "").replace(_PLACEHOLDER, ""))


class Chat(msgspec.Struct, frozen=True):
    """A photo and the turns about it."""

    image: str | list[str] | None = None
    images: str | list[str] | None = None
    conversations: list[Turn] | None = None
    messages: list[Turn] | None = None
    metadata: dict[str, Any] | None = None


def read_chats(path: Path) -> Iterator[Item]:
    """Chats with the photo beside the turns, in a JSON list or JSONL."""
    for place, element in elements(path):
        try:
            yield _labelled(place, decode_element(element, Chat))
        except UnusableError as problem:
            yield Rejected.of(place, problem)


def read_messages(path: Path) -> Iterator[Item]:
    """Qwen2-VL messages, in a JSON list or JSONL."""
    for place, element in elements(path):
        try:
            row = parse_row(element)
        except UnusableError as problem:
            yield Rejected.of(place, problem)
        else:
            yield Labelled(place, row.image, row.answer, row.prompt, row.metadata or {})


def _labelled(place: str, chat: Chat) -> Labelled:
    given = chat.image if chat.image is not None else chat.images
    images = [given] if isinstance(given, str) else given or []
    if len(images) != 1 or not images[0]:
        raise UnusableError(
            "wrong-image-count", f"expected one image with a path, found {len(images)}"
        )
    turns = [turn for turn in chat.conversations or chat.messages or [] if turn.speaker != "system"]
    speakers = [turn.speaker for turn in turns]
    if speakers != ["user", "assistant"]:
        found = ", ".join(speakers[:6]) or "none"
        raise UnusableError("wrong-turns", f"expected the turns user, assistant; found {found}")
    user, assistant = turns
    return Labelled(
        place, images[0], assistant.text, user.text or None, metadata=chat.metadata or {}
    )
