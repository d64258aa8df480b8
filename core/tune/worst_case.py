"""The hardest micro-batch that a data set can ask for at a pixel budget."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np
from PIL import Image

from core.data.dataset import SignRows
from core.data.samples import Sample, SampleEncoder
from core.data.schemas import Row
from core.data.tokens import PixelGeometry


class Extremes(msgspec.Struct, frozen=True, kw_only=True):
    """What of a data set decides its memory: the photo sizes in it, and its longest texts.

    ``sizes`` are the distinct upright (width, height) in pixels.
    """

    sizes: tuple[tuple[int, int], ...]
    prompt: str
    answer: str


@dataclass(frozen=True)
class WorstPhoto:
    """The photo size (pixels) that becomes the most image tokens at a budget."""

    width: int
    height: int
    image_tokens: int


def find_extremes(
    train: SignRows, validation: SignRows, text_tokens: Callable[[str, str], int]
) -> Extremes:
    """Sizes of both files, the prompt and the answer with the most tokens, of whichever rows.

    ``text_tokens`` counts the tokens of a prompt and an answer.
    """
    sizes = np.unique(np.concatenate([train.sizes, validation.sizes]), axis=0)
    both = (train, validation)
    template = text_tokens("", "")

    def prompt_tokens(row: Row) -> int:
        return text_tokens(row.prompt, "") - template

    def answer_tokens(row: Row) -> int:
        return text_tokens("", row.answer) - template

    return Extremes(
        sizes=tuple((int(width), int(height)) for width, height in sizes),
        prompt=max((_longest(rows, prompt_tokens) for rows in both), key=prompt_tokens).prompt,
        answer=max((_longest(rows, answer_tokens) for rows in both), key=answer_tokens).answer,
    )


def _longest(rows: SignRows, tokens: Callable[[Row], int]) -> Row:
    """The row with the most ``tokens`` of text.

    Rows are tried by falling size: a byte-level tokenizer makes no more tokens of a text than it
    has bytes, so the rest can be left untried once the next row is no larger than the best.
    """
    order = np.argsort(-rows.text_bytes, kind="stable")
    best = rows[int(order[0])]
    most = tokens(best)
    for index in order[1:]:
        if rows.text_bytes[index] <= most:
            break
        row = rows[int(index)]
        count = tokens(row)
        if count > most:
            best, most = row, count
    return best


def worst_photo(extremes: Extremes, geometry: PixelGeometry, max_pixels: int) -> WorstPhoto:
    """The size with the most image tokens at a budget."""
    counted = (
        WorstPhoto(width, height, geometry.image_tokens(width, height, max_pixels))
        for width, height in extremes.sizes
    )
    return max(counted, key=lambda photo: photo.image_tokens)


def ceiling_tokens(extremes: Extremes, geometry: PixelGeometry) -> int:
    """Image tokens of the largest photo with no budget at all: nothing is ever scaled up."""
    return max(
        geometry.image_tokens(width, height, 4 * width * height + geometry.pixels_a_token)
        for width, height in extremes.sizes
    )


def noise_photo(width: int, height: int) -> Image.Image:
    """A photo of noise, ``width`` x ``height`` pixels: memory doesn't ask what is on it."""
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def worst_samples(
    encoder: SampleEncoder,
    photo: tuple[int, int],
    prompt: str,
    answer: str,
    *,
    budget: int,
    batch: int,
) -> list[Sample]:
    """The worst micro-batch (see ``worst_group``) in real samples, of photos of noise.

    ``photo`` is the largest one's width and height in pixels; ``prompt`` and ``answer`` are the
    longest texts.
    """
    return worst_group(
        lambda size: encoder.encode(noise_photo(*size), prompt, answer),
        encoder.geometry,
        photo,
        budget=budget,
        batch=batch,
    )


def worst_group(
    make: Callable[[tuple[int, int]], Sample],
    geometry: PixelGeometry,
    photo: tuple[int, int],
    *,
    budget: int,
    batch: int,
) -> list[Sample]:
    """Samples of a micro-batch that asks for the most memory at a budget of tokens.

    ``make`` makes a sample of a photo of a size (width and height in pixels). The largest photo
    is taken as often as it fits into ``budget`` tokens and ``batch`` samples, at least once, and a
    smaller one in what is left over.
    """
    worst = make(photo)
    count = min(batch, max(1, budget // len(worst)))
    samples = [worst] * count
    tokens = budget - count * len(worst) - (len(worst) - worst.image_tokens)
    if count < batch and tokens * geometry.pixels_a_token >= geometry.min_pixels:
        columns = math.ceil(math.sqrt(tokens))
        rest = make((columns * geometry.factor, tokens // columns * geometry.factor))
        if count * len(worst) + len(rest) <= budget:
            samples.append(rest)
    return samples
