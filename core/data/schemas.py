"""The rows a run takes: Qwen2-VL chat messages, one JSON object a line."""

import json
import re
from typing import Any, Literal

import msgspec

from core.data.unusable import UnusableError
from core.nfc import nfc

MAX_LINE_BYTES = 1_000_000
MAX_ANSWER = 2_000
MAX_PROMPT = 8_000
_CONTROL_TOKEN = re.compile(r"<\|[^|<>\s]+\|>")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


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
    """A line of the JSONL file; ``metadata`` is kept for scores by category."""

    messages: tuple[Message, ...]
    metadata: dict[str, Any] | None = None


class Row(msgspec.Struct, frozen=True):
    """One photo by the name in its row, what is asked of it, and the store's name on it (NFC).

    ``root`` is the real path of the folder that the photo may not lead out of, if there is one.
    """

    image: str
    prompt: str
    answer: str
    metadata: dict[str, Any] | None = None
    root: str | None = None


_DECODER = msgspec.json.Decoder(ChatRow)


def parse_row(line: bytes) -> Row:
    """Reads one line.

    Raises UnusableError for anything but one user turn with one image and some text, followed
    by one assistant turn with text.
    """
    if len(line) > MAX_LINE_BYTES:
        raise UnusableError("line-too-long", f"the line has over {MAX_LINE_BYTES:,} bytes")
    chat = _decode(line)
    roles = [message.role for message in chat.messages]
    if roles != ["user", "assistant"]:
        found = ", ".join(roles[:6]) or "none"
        raise UnusableError("wrong-turns", f"expected the turns user, assistant; found {found}")
    user, assistant = (_parts(message) for message in chat.messages)
    images = [part.image for part in user if part.type == "image"]
    if len(images) != 1:
        raise UnusableError("wrong-image-count", f"expected one image, found {len(images)}")
    if not images[0]:
        raise UnusableError("wrong-image-count", "the image has no path")
    if any(part.type == "image" for part in assistant):
        raise UnusableError("wrong-image-count", "the answer holds an image")
    prompt, answer = _text(user), _text(assistant)
    check_text(prompt, answer)
    return Row(image=images[0], prompt=prompt, answer=answer, metadata=chat.metadata)


def format_row(row: Row) -> bytes:
    """The line that `parse_row` reads, without an end of line; Hangul stays as it is."""
    question = [{"type": "image", "image": row.image}, {"type": "text", "text": row.prompt}]
    answer = [{"type": "text", "text": row.answer}]
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    metadata = {"metadata": row.metadata} if row.metadata else {}
    return msgspec.json.encode({"messages": messages, **metadata})


def check_text(prompt: str, answer: str) -> None:
    """Raises UnusableError for texts that a sample can't be made of."""
    if not answer:
        raise UnusableError("empty-answer", "the answer is empty")
    if len(answer) > MAX_ANSWER:
        raise UnusableError(
            "answer-too-long", f"the answer has {len(answer):,} characters, over {MAX_ANSWER:,}"
        )
    if len(prompt) > MAX_PROMPT:
        raise UnusableError(
            "prompt-too-long", f"the prompt has {len(prompt):,} characters, over {MAX_PROMPT:,}"
        )
    for name, text in (("prompt", prompt), ("answer", answer)):
        if control := _CONTROL.search(text):
            raise UnusableError(
                "control-character", f"the {name} holds the control character {ord(control[0]):#x}"
            )
        if token := _CONTROL_TOKEN.search(text):
            raise UnusableError(
                "control-token", f"the {name} holds {token[0]}, which models take as a command"
            )


def clean(text: str) -> str:
    """``text`` in NFC without outer white space."""
    return nfc(text).strip()


def decoding_problem(content: bytes, error: Exception) -> UnusableError:
    """What is wrong with bytes that a JSON decoder refused."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as bad:
        return UnusableError("bad-encoding", f"not UTF-8 at byte {bad.start + 1}: {bad.reason}")
    if isinstance(error, msgspec.ValidationError):
        return UnusableError("wrong-structure", f"not a row of this kind: {error}")
    return UnusableError("bad-json", f"not JSON: {error}")


def _decode(line: bytes) -> ChatRow:
    try:
        chat = _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise decoding_problem(line, error) from error
    refuse_duplicate_keys(line)
    return chat


def refuse_duplicate_keys(content: bytes) -> None:
    """Raises UnusableError where an object in ``content`` has a key twice, or isn't JSON."""
    try:
        json.loads(content, object_pairs_hook=_without_duplicates)
    # What msgspec skips it doesn't look into, so that only here bad bytes and numbers are found.
    except (ValueError, RecursionError) as error:
        raise decoding_problem(content, error) from error


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    kept = dict(pairs)
    if len(kept) != len(pairs):
        keys = [key for key, _value in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise UnusableError("duplicate-key", f"the key {twice[:60]!r} is given twice")
    return kept


def _parts(message: Message) -> tuple[ContentPart, ...]:
    if isinstance(message.content, str):
        return (ContentPart(type="text", text=message.content),)
    return message.content


def _text(parts: tuple[ContentPart, ...]) -> str:
    return clean("".join(part.text or "" for part in parts if part.type == "text"))
