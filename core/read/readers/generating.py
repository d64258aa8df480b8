"""What readers with a transformers model share: opening photos, greedy replies, halved batches."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import GenerationConfig

from core.data.images import Size, read_photo
from core.data.unusable import UnusableError
from core.errors import first_line
from core.hardware.cuda_error import is_cuda_error
from core.hardware.device import Device
from core.hardware.out_of_memory import OutOfMemory, attempt, is_out_of_memory
from core.read.reader import Photo, Reply

_WORKERS = 4


@dataclass(frozen=True)
class Opened:
    """A photo and its upright pixels."""

    photo: Photo
    image: Image.Image


Generate = Callable[[Sequence[Opened]], list[Reply]]


def read_opened(photos: Sequence[Photo], generate: Generate, device: Device) -> list[Reply]:
    """One reply a photo, in their order, of all that can be opened as one batch.

    Where memory runs out the batch is read in halves, down to one photo; one that the model can't
    read by itself has a reply that says why.
    """
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="photo") as pool:
        found = list(pool.map(_open, photos))
    batch = [one for one in found if isinstance(one, Opened)]
    replies = iter(_in_halves(batch, generate, device))
    return [next(replies) if isinstance(one, Opened) else one for one in found]


def make_greedy(model: Any, max_new_tokens: int) -> GenerationConfig:
    """Has a model generate greedily with its own special tokens, whatever else it ships.

    Returns what it generates by from now on.
    """
    own = model.generation_config
    model.generation_config = GenerationConfig(
        do_sample=False,
        max_new_tokens=max_new_tokens,
        bos_token_id=own.bos_token_id,
        eos_token_id=own.eos_token_id,
        pad_token_id=_first(own.eos_token_id) if own.pad_token_id is None else own.pad_token_id,
        decoder_start_token_id=own.decoder_start_token_id,
    )
    return model.generation_config


def replies_of(tokens: Tensor, texts: Sequence[str], generation: GenerationConfig) -> list[Reply]:
    """Replies from generated ``tokens`` (batch, new tokens), with how many each has.

    One without a token that ends it was cut.
    """
    ends = torch.tensor(_all(generation.eos_token_id), device=tokens.device)
    ended = torch.isin(tokens, ends)
    lengths = torch.where(ended.any(1), ended.int().argmax(1) + 1, tokens.shape[1]).tolist()
    was_cut = (~ended.any(1)).tolist()
    return [
        Reply(text, tokens=length, cut=cut)
        for text, length, cut in zip(texts, lengths, was_cut, strict=True)
    ]


def with_size(replies: Sequence[Reply], pixels: Tensor | None) -> list[Reply]:
    """The replies with the size of ``pixels``, where those are (photos, channels, height, width).

    Models that cut photos into tiles give others, which tell of no one size.
    """
    if pixels is None or pixels.dim() != 4 or len(pixels) != len(replies):
        return list(replies)
    size: Size = (int(pixels.shape[3]), int(pixels.shape[2]))
    return [replace(reply, read_size=size) for reply in replies]


def _open(photo: Photo) -> Opened | Reply:
    try:
        return Opened(photo, read_photo(photo.path, root=photo.root))
    except UnusableError as problem:
        return Reply(None, why=str(problem))


def _in_halves(batch: Sequence[Opened], generate: Generate, device: Device) -> list[Reply]:
    if not batch:
        return []
    replies = attempt(partial(_generate, generate, batch))
    if not isinstance(replies, OutOfMemory | _Refusal):
        return replies
    device.free_cache()
    device.reset_peak()
    if len(batch) == 1:
        return [Reply(None, why=_words(replies))]
    half = len(batch) // 2
    return [
        *_in_halves(batch[:half], generate, device),
        *_in_halves(batch[half:], generate, device),
    ]


@dataclass(frozen=True)
class _Refusal:
    """That a model's processor takes no such photo or prompt, in its own words."""

    words: str


def _generate(generate: Generate, batch: Sequence[Opened]) -> list[Reply] | _Refusal:
    try:
        with torch.inference_mode():
            return generate(batch)
    # What processors and models raise for photos of odd sizes and prompts that they can't place.
    except (ValueError, TypeError, IndexError, KeyError, RuntimeError) as error:
        if is_out_of_memory(error) or is_cuda_error(error):
            raise
        return _Refusal(first_line(error))


def _words(failed: OutOfMemory | _Refusal) -> str:
    if isinstance(failed, OutOfMemory):
        return f"out of memory: {failed.words}"
    return f"the model can't read it: {failed.words}"


def _all(ids: int | list[int] | None) -> list[int]:
    return [] if ids is None else [ids] if isinstance(ids, int) else ids


def _first(ids: int | list[int] | None) -> int | None:
    return next(iter(_all(ids)), None)
