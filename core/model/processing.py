"""The base model's own tokenizer, chat template and image processor, as samples need them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoImageProcessor, AutoTokenizer

from core.config import ModelConfig
from core.data.samples import SampleEncoder
from core.data.tokens import PixelGeometry
from core.errors import UsageError, first_line
from core.model.families import Family


class ChatText:
    """Chat texts to token ids through the model's chat template."""

    def __init__(self, tokenizer: Any, family: Family) -> None:
        self.tokenizer = tokenizer
        self._image_token_id = int(tokenizer.convert_tokens_to_ids(family.image_token))
        self.turn_end_id = int(tokenizer.convert_tokens_to_ids(family.turn_end))
        self._prompts: dict[str, tuple[list[int], list[int]]] = {}

    def prompt_ids(self, prompt: str) -> tuple[list[int], list[int]]:
        """Token ids before and after the image; prompts repeat, so they are remembered."""
        if prompt not in self._prompts:
            content = [{"type": "image"}, {"type": "text", "text": prompt}]
            text = self.tokenizer.apply_chat_template(
                [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
            )
            ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
            place = ids.index(self._image_token_id)
            self._prompts[prompt] = ids[:place], ids[place + 1 :]
        return self._prompts[prompt]

    def token_count(self, prompt: str, answer: str) -> int:
        """Text tokens of a chat, the photo's not counted."""
        before, after = self.prompt_ids(prompt)
        return len(before) + len(after) + len(self.answer_ids(answer))

    def answer_ids(self, answer: str) -> list[int]:
        """Token ids of the answer and the token that ends the turn."""
        ids: list[int] = self.tokenizer(answer, add_special_tokens=False)["input_ids"]
        return [*ids, self.turn_end_id]


class PhotoPatches:
    """Photos to patches through the model's image processor, at a pixel budget of our choice."""

    def __init__(self, image_processor: Any) -> None:
        self._processor = image_processor
        self.geometry = PixelGeometry(
            patch=image_processor.patch_size,
            merge=image_processor.merge_size,
            min_pixels=image_processor.size["shortest_edge"],
        )

    def patches(self, image: Image.Image, max_pixels: int) -> tuple[NDArray[np.float32], int, int]:
        """Patches (n, values) and the grid in patches: rows and columns."""
        size = {"shortest_edge": self.geometry.min_pixels, "longest_edge": max_pixels}
        done = self._processor(images=[image], size=size, return_tensors="pt")
        _time, rows, columns = done["image_grid_thw"][0].tolist()
        return np.asarray(done["pixel_values"], dtype=np.float32), rows, columns


@dataclass(frozen=True)
class Processing:
    """Tokenizer and image processor of one base model."""

    text: ChatText
    photos: PhotoPatches
    image_token_id: int
    pad_token_id: int

    @property
    def geometry(self) -> PixelGeometry:
        """How photos are cut."""
        return self.photos.geometry

    @property
    def turn_end_id(self) -> int:
        """The token that ends an answer."""
        return self.text.turn_end_id

    def encoder(self, max_pixels: int) -> SampleEncoder:
        """An encoder of samples at a pixel budget (pixels an image)."""
        return SampleEncoder(self.text, self.photos, self.image_token_id, max_pixels)

    def decode(self, token_ids: list[list[int]]) -> list[str]:
        """Texts of generated token ids, special tokens left out."""
        texts: list[str] = self.text.tokenizer.batch_decode(token_ids, skip_special_tokens=True)
        return texts


def load_processing(model: ModelConfig, family: Family) -> Processing:
    """Loads tokenizer and image processor; raises UsageError if a file of theirs is missing."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(model.path, revision=model.revision)
        image_processor = AutoImageProcessor.from_pretrained(model.path, revision=model.revision)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{model.path}: no usable tokenizer or image processor: {first_line(error)}"
        ) from error
    if not tokenizer.chat_template:
        raise UsageError(f"{model.path}: no chat template; take an Instruct model")
    return Processing(
        text=ChatText(tokenizer, family),
        photos=PhotoPatches(image_processor),
        image_token_id=int(tokenizer.convert_tokens_to_ids(family.image_token)),
        pad_token_id=int(tokenizer.pad_token_id),
    )
