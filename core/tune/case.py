"""What a data set asks of memory and time, in numbers: photo sizes and text lengths."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from core.config import RunConfig
from core.data.dataset import SignRows
from core.data.samples import Sample
from core.data.tokens import PixelGeometry
from core.model.processing import ChatText
from core.tune.blank import BlankSamples, TextTokens
from core.tune.search import Bounds
from core.tune.worst_case import Extremes, find_extremes, worst_group

# A photo with so many times the image tokens of the next, and so rare, stands alone.
_GIANT, _GIANT_SHARE = 1.5, 0.001
# A row this long keeps a card busy; a processor gains nothing by longer ones.
_ROW_TOKENS = {"cuda": 4096, "cpu": 1}


@dataclass(frozen=True)
class Case:
    """Photos of ``sizes`` (width and height in pixels), ``counts`` training photos of each.

    ``row_tokens`` is what a micro-batch may hold, ``fixed_row`` whether that was asked for;
    ``batch`` the samples of a step, ``slice_rows`` and ``new_tokens`` what generation has at most.
    """

    geometry: PixelGeometry
    text: TextTokens
    sizes: tuple[tuple[int, int], ...]
    counts: tuple[int, ...]
    row_tokens: int
    fixed_row: bool
    batch: int
    slice_rows: int
    new_tokens: int

    @property
    def rows(self) -> int:
        """Training photos."""
        return sum(self.counts)

    def pixels(self, tokens: int) -> int:
        """A budget of image tokens as a pixel budget."""
        return tokens * self.geometry.pixels_a_token

    def image_tokens(self, tokens: int) -> list[int]:
        """Image tokens of each of ``sizes`` at a budget."""
        limit = self.pixels(tokens)
        return [self.geometry.image_tokens(width, height, limit) for width, height in self.sizes]

    def worst(self, tokens: int) -> tuple[int, int]:
        """The size that becomes the most image tokens at a budget."""
        found = self.image_tokens(tokens)
        return self.sizes[found.index(max(found))]

    def native(self) -> list[int]:
        """Image tokens of each of ``sizes`` with no budget: nothing is ever scaled up."""
        return [
            self.geometry.image_tokens(w, h, 4 * w * h + self.geometry.pixels_a_token)
            for w, h in self.sizes
        ]

    def bounds(self, max_pixels: int | None) -> Bounds:
        """Budgets that make sense, in image tokens; one alone where it's fixed."""
        fill = cache(lambda tokens: max(self.image_tokens(tokens)))
        if max_pixels is not None:
            tokens = max(1, max_pixels // self.geometry.pixels_a_token)
            return Bounds(tokens, tokens, fill)
        ceiling = max(self.native())
        floor = -(-self.geometry.min_pixels // self.geometry.pixels_a_token)
        return Bounds(min(floor, ceiling), ceiling, fill)

    def giant(self, tokens: int) -> tuple[int, int] | None:
        """Image tokens of a photo that stands alone at a budget, and of the next one, if any does.

        It stands alone if it's rare and has half as many again as any other.
        """
        found = np.array(self.image_tokens(tokens))
        if len(found) < 2:
            return None
        largest, following = np.argsort(-found, kind="stable")[:2]
        rare = self.counts[largest] <= max(1, _GIANT_SHARE * self.rows)
        if not rare or found[largest] < _GIANT * found[following]:
            return None
        return int(found[largest]), int(found[following])

    def mean_tokens(self, tokens: int) -> tuple[float, float]:
        """Mean image tokens of a photo at a budget, and mean tokens of a sample."""
        images = float(np.average(self.image_tokens(tokens), weights=self.counts))
        return images, images + self.text.total

    def shrunk_share(self, tokens: int) -> float:
        """The share of photos that a budget makes smaller."""
        smaller = np.array(self.image_tokens(tokens)) < np.array(self.native())
        return float(np.average(smaller, weights=self.counts))

    def micro_batch(self, tokens: int, row_tokens: int) -> list[Sample]:
        """The worst micro-batch at a budget, in blank samples."""
        blank = self._blank(tokens)
        return worst_group(
            lambda size: blank.sample(*size),
            self.geometry,
            self.worst(tokens),
            budget=row_tokens,
            batch=self.batch,
        )

    def most_prompts(self, tokens: int, row_tokens: int) -> int:
        """Prompts to generate from at a time: no more tokens than a row has, at least one."""
        longest = max(self.image_tokens(tokens)) + self.text.before + self.text.after
        return max(1, min(self.slice_rows, row_tokens // longest))

    def prompts(self, tokens: int, count: int) -> list[Sample]:
        """The worst prompts to generate from, one shorter than the others."""
        blank, worst = self._blank(tokens), self.worst(tokens)
        longest = blank.sample(*worst, with_answer=False)
        shorter = BlankSamples(
            self.geometry,
            TextTokens(self.text.before, max(1, self.text.after - 1), self.text.answer),
            self.pixels(tokens),
        )
        if count == 1:
            return [longest]
        return [longest] * (count - 1) + [shorter.sample(*worst, with_answer=False)]

    def _blank(self, tokens: int) -> BlankSamples:
        return BlankSamples(self.geometry, self.text, self.pixels(tokens))


def row_tokens_of(device: str) -> int:
    """Tokens of a packed row that a kind of device is busy with."""
    return _ROW_TOKENS[device]


def text_tokens(rows: Sequence[SignRows], text: ChatText) -> TextTokens:
    """Tokens of the longest texts of a data set."""
    extremes = find_extremes(rows[0], rows[-1], text.token_count)
    return text_of(extremes, text)


def text_of(extremes: Extremes, text: ChatText) -> TextTokens:
    """Tokens of the longest prompt and answer."""
    before, after = text.prompt_ids(extremes.prompt)
    return TextTokens(len(before), len(after), len(text.answer_ids(extremes.answer)))


def case_of_run(
    config: RunConfig,
    train: SignRows,
    extremes: Extremes,
    text: ChatText,
    geometry: PixelGeometry,
    device: str,
) -> Case:
    """The case of a run's data; ``train`` are its training rows."""
    found, counts = np.unique(train.sizes, axis=0, return_counts=True)
    known = {(int(w), int(h)): int(n) for (w, h), n in zip(found, counts, strict=True)}
    asked = config.train.micro_batch_tokens
    return Case(
        geometry=geometry,
        text=text_of(extremes, text),
        sizes=extremes.sizes,
        counts=tuple(known.get(size, 0) for size in extremes.sizes),
        row_tokens=asked or row_tokens_of(device),
        fixed_row=asked is not None,
        batch=config.train.batch,
        slice_rows=config.validation.slice_rows,
        new_tokens=config.validation.max_new_tokens,
    )
