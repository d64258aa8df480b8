"""The rows a user has: Qwen2-VL chat messages, one JSON object a line."""

import unicodedata
from pathlib import Path
from typing import Literal

import msgspec


class ContentPart(msgspec.Struct, frozen=True):
    """A piece of a message: an image's path, or text."""

    type: Literal["image", "text"]
    image: str | None = None
    text: str | None = None


class Message(msgspec.Struct, frozen=True):
    """One turn of the chat."""

    role: Literal["system", "user", "assistant"]
    content: tuple[ContentPart, ...] | str


class ChatRow(msgspec.Struct, frozen=True):
    """A line of the JSONL file."""

    messages: tuple[Message, ...]


class Row(msgspec.Struct, frozen=True):
    """One photo, what is asked of it, and the store's name on it (NFC)."""

    image: Path
    prompt: str
    answer: str


class BadRowError(Exception):
    """A row that can't be used; the message is the reason."""


_DECODER = msgspec.json.Decoder(ChatRow)


def parse_row(line: bytes, folder: Path) -> Row:
    """Reads one line; a relative image path is taken from ``folder``.

    Raises BadRowError with the reason for anything but one user turn with one image and some
    text, followed by one assistant turn with text.
    """
    try:
        chat = _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRowError(f"not a Qwen2-VL row: {error}") from error
    roles = [message.role for message in chat.messages]
    if roles != ["user", "assistant"]:
        raise BadRowError(f"expected the turns user, assistant; found {', '.join(roles) or 'none'}")
    user, assistant = (_parts(message) for message in chat.messages)
    images = [part.image for part in user if part.type == "image"]
    if len(images) != 1 or not images[0]:
        raise BadRowError(f"expected one image with a path, found {len(images)}")
    answer = _text(assistant)
    if not answer:
        raise BadRowError("the answer is empty")
    return Row(image=folder / images[0], prompt=_text(user), answer=answer)


def _parts(message: Message) -> tuple[ContentPart, ...]:
    if isinstance(message.content, str):
        return (ContentPart(type="text", text=message.content),)
    return message.content


def _text(parts: tuple[ContentPart, ...]) -> str:
    joined = "".join(part.text or "" for part in parts if part.type == "text")
    return unicodedata.normalize("NFC", joined).strip()
