"""Any image-text-to-text model that transformers knows, with its own processor."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from transformers import AutoModelForImageTextToText, AutoProcessor

from core.errors import UsageError
from core.hardware.device import Device
from core.read.opening import Described
from core.read.reader import Photo, Reply
from core.read.readers.checkpoints import Checkpoint, describe_checkpoint, load_weights
from core.read.readers.generating import Opened, make_greedy, read_opened, replies_of, with_size
from core.reading import ReadRequest


class TransformersModel:
    """Asks each photo's prompt as one chat turn, or as plain text where there is no template."""

    def __init__(
        self, title: str, model: Any, processor: Any, device: Device, at_a_time: int
    ) -> None:
        self.title = title
        self.at_a_time = at_a_time
        self._model = model
        self._processor = processor
        self._device = device

    def read(self, photos: Sequence[Photo]) -> list[Reply]:
        """One reply a photo, in their order; what can't be read says why."""
        return read_opened(photos, self._generate, self._device)

    def _generate(self, batch: Sequence[Opened]) -> list[Reply]:
        inputs = self._inputs(batch).to(self._model.device)
        # Of the inputs only pixels are fractions, and those have to be in the weights' format.
        inputs = {name: self._in_format(value) for name, value in inputs.items()}
        tokens = self._model.generate(**inputs)
        if not self._model.config.is_encoder_decoder:
            tokens = tokens[:, inputs["input_ids"].shape[1] :]
        else:
            tokens = tokens[:, 1:]
        texts = self._processor.batch_decode(tokens, skip_special_tokens=True)
        return with_size(
            replies_of(tokens, texts, self._model.generation_config), inputs.get("pixel_values")
        )

    def _in_format(self, value: Any) -> Any:
        fractions = isinstance(value, Tensor) and value.is_floating_point()
        return value.to(self._model.dtype) if fractions else value

    def _inputs(self, batch: Sequence[Opened]) -> Any:
        given = {"padding": True, "return_tensors": "pt"}
        if not getattr(self._processor, "chat_template", None):
            return self._processor(
                images=[[opened.image] for opened in batch],
                text=[self._plain(opened.photo.prompt) for opened in batch],
                **given,
            )
        return self._processor.apply_chat_template(
            [[{"role": "user", "content": _content(opened)}] for opened in batch],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            processor_kwargs=given,
        )

    def _plain(self, prompt: str) -> str:
        image_token = getattr(self._processor, "image_token", None)
        return f"{image_token}\n{prompt}" if image_token else prompt


def _content(opened: Opened) -> list[dict[str, Any]]:
    return [
        {"type": "image", "image": opened.image},
        {"type": "text", "text": opened.photo.prompt},
    ]


def describe(path: str, request: ReadRequest) -> Described:
    """A model in a folder or at a hub id; raises UsageError if it can't be had or used."""
    return describe_checkpoint(path, request, AutoProcessor, _open)


def _open(checkpoint: Checkpoint, processor: Any, device: Device) -> TransformersModel:
    path = checkpoint.model.path
    tokenizer = getattr(processor, "tokenizer", None)
    if tokenizer is None or not hasattr(processor, "image_processor"):
        raise UsageError(f"{path}: no processor of photos and text; take a model that reads both")
    # Replies begin where prompts end, so that all have to end together.
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model = load_weights(checkpoint, AutoModelForImageTextToText, device)
    make_greedy(model, checkpoint.max_new_tokens)
    return TransformersModel(path, model, processor, device, checkpoint.at_a_time)
