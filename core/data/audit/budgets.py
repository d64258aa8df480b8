"""What each pixel budget means for this data set."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.data.audit.report import Budget, Worst, WorstRow
from core.data.audit.rows import AuditRow
from core.data.audit.spread import spread
from core.data.tokens import PixelGeometry

IMAGE_TOKENS = (128, 256, 512, 1024, 1280, 2048, 4096)
Numbers = NDArray[np.int64]


def budgets(sizes: Numbers, text_tokens: Numbers, geometry: PixelGeometry) -> tuple[Budget, ...]:
    """Every budget for rows whose photos have ``sizes`` (n, 2), and the photos as they are."""
    native = image_tokens(sizes, geometry, None)
    limits = [tokens * geometry.pixels_a_token for tokens in IMAGE_TOKENS]
    return tuple(
        _budget(limit, image_tokens(sizes, geometry, limit), native, text_tokens)
        for limit in (*limits, None)
    )


def image_tokens(sizes: Numbers, geometry: PixelGeometry, max_pixels: int | None) -> Numbers:
    """Image tokens of photos of ``sizes`` (n, 2) pixels, shape (n,); None is no budget."""
    distinct, places = np.unique(sizes, axis=0, return_inverse=True)
    counts = [
        geometry.image_tokens(
            width, height, max_pixels or 4 * width * height + geometry.pixels_a_token
        )
        for width, height in distinct.tolist()
    ]
    return np.array(counts, dtype=np.int64)[places.ravel()]


def worst(rows: Sequence[AuditRow], native: Numbers, text_tokens: Numbers) -> Worst:
    """The rows with the most image tokens and the most text."""
    image, text = int(native.argmax()), int(text_tokens.argmax())
    return Worst(
        most_image_tokens=_row(rows[image], int(native[image])),
        most_text_tokens=_row(rows[text], int(text_tokens[text])),
        both=int(native[image] + text_tokens[text]),
    )


def _budget(limit: int | None, tokens: Numbers, native: Numbers, text_tokens: Numbers) -> Budget:
    shrunk = int((tokens < native).sum())
    return Budget(
        max_pixels=limit,
        image_tokens=spread(tokens),
        tokens=spread(tokens + text_tokens),
        shrunk=shrunk,
        shrunk_share=round(shrunk / len(tokens), 4),
    )


def _row(row: AuditRow, tokens: int) -> WorstRow:
    return WorstRow(file=str(row.file), line=row.line, photo=row.photo, tokens=tokens)
