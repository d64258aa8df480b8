"""An audit as data: what ``kocr-tui check --json`` prints."""

from typing import Literal

import msgspec

from core.data.unusable import Reason

Level = Literal["failure", "warning", "info"]
FindingKind = Literal[
    "rows-set-aside",
    "photo-leak",
    "near-photo-leak",
    "place-leak",
    "conflicting-answers",
    "repeated-photo",
    "near-photo",
    "stored-in-nfd",
    "invisible-character",
    "line-break",
    "phone-number",
    "long-answer",
    "other-script",
    "answer-is-prompt",
    "several-prompts",
    "animated",
    "long-photo",
    "name-on-both-sides",
]


class BadRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row that can't be used; ``line`` counts from 1."""

    file: str
    line: int
    reason: Reason
    sentence: str


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that deserves a look; ``examples`` are the first few of ``count``."""

    level: Level
    kind: FindingKind
    count: int
    examples: tuple[str, ...]


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """A distribution by its mean, percentiles and maximum."""

    mean: float
    p5: float
    p50: float
    p95: float
    max: float


class Photos(msgspec.Struct, frozen=True, kw_only=True):
    """The distinct photos: counts by kind, and their native pixels.

    ``megapixels`` counts photos by upper bound in megapixels (10^6 pixels).
    """

    distinct: int
    file_bytes: int
    formats: dict[str, int]
    modes: dict[str, int]
    turned_by_exif: int
    profiles: dict[str, int]
    pixels: Spread
    aspect: Spread
    megapixels: dict[str, int]


class Labels(msgspec.Struct, frozen=True, kw_only=True):
    """The answers: lengths in characters, and rows by the scripts in them."""

    distinct: int
    characters: Spread
    scripts: dict[str, int]
    prompts: int


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What a pixel budget does: image tokens and tokens a row, and photos that it shrinks.

    ``max_pixels`` is None for photos as they are; ``shrunk`` counts rows.
    """

    max_pixels: int | None
    image_tokens: Spread
    tokens: Spread
    shrunk: int
    shrunk_share: float


class WorstRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row at an extreme; ``tokens`` of image or text."""

    file: str
    line: int
    photo: str
    tokens: int


class Worst(msgspec.Struct, frozen=True, kw_only=True):
    """The rows that decide the memory; ``both`` is most image tokens and most text at once."""

    most_image_tokens: WorstRow
    most_text_tokens: WorstRow
    both: int


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """A whole audit; ``inputs`` rows are ``kept`` or set aside.

    ``text_tokens`` tells whether they were counted by a tokenizer or bounded by bytes.
    """

    inputs: int
    kept: int
    set_aside: dict[str, int]
    files: dict[str, int]
    photos: Photos | None
    labels: Labels | None
    budgets: tuple[Budget, ...]
    worst: Worst | None
    text_tokens: Literal["exact", "upper bound"]
    findings: tuple[Finding, ...]
    rows_set_aside: tuple[BadRow, ...]

    def failed(self, *, strict: bool) -> bool:
        """Whether something is wrong; with ``strict`` a warning is enough."""
        levels = {"failure", "warning"} if strict else {"failure"}
        return any(finding.level in levels for finding in self.findings)
