"""Why a row or a photo can't be used: a short reason to count by, and a sentence for people."""

from typing import Literal

Reason = Literal[
    "line-too-long",
    "bad-encoding",
    "bad-json",
    "duplicate-key",
    "wrong-structure",
    "wrong-turns",
    "wrong-image-count",
    "path-refused",
    "outside-root",
    "empty-answer",
    "answer-too-long",
    "prompt-too-long",
    "control-character",
    "control-token",
    "illegible",
    "bad-box",
    "size-mismatch",
    "unknown-image",
    "ambiguous-file",
    "no-such-file",
    "not-a-file",
    "unreadable-file",
    "empty-file",
    "not-an-image",
    "too-many-pixels",
    "too-long-for-its-breadth",
    "cannot-be-decoded",
    "photo-changed",
    "row-changed",
    "tokenizer-cannot-write",
]


class UnusableError(Exception):
    """A row or photo that can't be used; ``str()`` is the sentence, ``reason`` its kind."""

    def __init__(self, reason: Reason, sentence: str) -> None:
        # Both go to the base class, which pickles what it was given between processes.
        super().__init__(reason, sentence)
        self.reason: Reason = reason
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence
