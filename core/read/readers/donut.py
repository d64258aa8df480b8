"""Donut: a Swin encoder and a BART decoder that writes what it reads between tags."""

import re
from collections.abc import Sequence
from typing import Any

from transformers import DonutProcessor, VisionEncoderDecoderModel

from core.errors import UsageError
from core.hardware.device import Device
from core.read.opening import Described
from core.read.reader import Photo, Reply
from core.read.readers.checkpoints import Checkpoint, describe_checkpoint, load_weights
from core.read.readers.generating import Opened, make_greedy, read_opened, replies_of, with_size
from core.reading import ReadRequest

_TAG = re.compile(r"</?s_[^<>]*>|<sep/>")
_TASK = re.compile(r"<s_(.+)>")
# What the published base model was trained with: the second reads all text of a made-up document.
_PRETRAINING = ("<s_iitcdip>", "<s_synthdog>")
# A task's and its fields' tags are special tokens as well, so that those can't all be left out.
_NO_TEXT = tuple(f"{kind}_token" for kind in ("bos", "eos", "sep", "cls", "pad", "unk", "mask"))


class Donut:
    """Reads the text of photos, each field that the model tells apart on a line of its own."""

    def __init__(
        self, title: str, model: Any, processor: Any, device: Device, at_a_time: int
    ) -> None:
        self.title = title
        self.at_a_time = at_a_time
        self._model = model
        self._processor = processor
        self._device = device

    def read(self, photos: Sequence[Photo]) -> list[Reply]:
        """One reply a photo, in their order; prompts are nothing that Donut can be asked."""
        return read_opened(photos, self._generate, self._device)

    def _generate(self, batch: Sequence[Opened]) -> list[Reply]:
        images = [opened.image for opened in batch]
        pixels = self._processor(images=images, return_tensors="pt").pixel_values
        pixels = pixels.to(self._model.device, self._model.dtype)
        tokens = self._model.generate(pixel_values=pixels)
        # The first is the task's, which was given.
        tokens = tokens[:, 1:]
        texts = [self.text_of(text) for text in self._processor.batch_decode(tokens)]
        return with_size(replies_of(tokens, texts, self._model.generation_config), pixels)

    def text_of(self, written: str) -> str:
        """The text of all fields, without tokens that are no text."""
        tokenizer = self._processor.tokenizer
        for name in _NO_TEXT:
            if token := getattr(tokenizer, name):
                written = written.replace(token, "")
        lines = (line.strip() for line in _TAG.sub("\n", written).splitlines())
        return "\n".join(line for line in lines if line)


def describe(path: str, request: ReadRequest) -> Described:
    """A Donut in a folder or at a hub id; raises UsageError if it can't be had or used."""
    return describe_checkpoint(path, request, DonutProcessor, _open)


def _open(checkpoint: Checkpoint, processor: Any, device: Device) -> Donut:
    model = load_weights(checkpoint, VisionEncoderDecoderModel, device)
    generation = make_greedy(model, checkpoint.max_new_tokens)
    path = checkpoint.model.path
    generation.decoder_start_token_id = task_token_id(
        path, processor.tokenizer, generation.decoder_start_token_id
    )
    return Donut(path, model, processor, device, checkpoint.at_a_time)


def task_token_id(path: str, tokenizer: Any, own: int | None) -> int:
    """The token that a reply begins with, which tells Donut its task.

    It is ``own``, the model's decoder_start_token_id, where that is such a token; else the only
    one of a task that it was fine-tuned for, or the one that reads text. A task's token is a tag
    that is never closed. Raises UsageError where there are several.
    """
    added: dict[str, int] = tokenizer.get_added_vocab()
    tasks = [
        token
        for token in added
        if (tag := _TASK.fullmatch(token)) is not None and f"</s_{tag[1]}>" not in added
    ]
    named = None if own is None else tokenizer.convert_ids_to_tokens(own)
    tuned = [token for token in tasks if token not in _PRETRAINING]
    if named in tasks:
        return added[named]
    if len(tuned) > 1:
        raise UsageError(
            f"{path}: knows the tasks {', '.join(sorted(tuned))}; name one as "
            "decoder_start_token_id (its number) in generation_config.json"
        )
    token = tuned[0] if tuned else _PRETRAINING[1]
    if token in added:
        return added[token]
    if own is None:
        raise UsageError(f"{path}: no token of a task (<s_…>) to begin with; is it a Donut?")
    return own
