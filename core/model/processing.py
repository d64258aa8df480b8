"""The base model's own tokenizer, chat template and image processor, as samples need them."""

from dataclasses import dataclass
from typing import Any

from transformers import AutoImageProcessor, AutoTokenizer

from core.config import ModelConfig
from core.data.feature_store import FeatureStore
from core.data.samples import SampleEncoder
from core.data.tokens import PixelGeometry
from core.data.unusable import UnusableError
from core.errors import UsageError, first_line
from core.model.families.family import Family
from core.model.pixels import PixelValues
from core.model.resample import bicubic


class ChatText:
    """Chat texts to token ids through the model's chat template."""

    def __init__(self, tokenizer: Any, family: Family) -> None:
        self.tokenizer = tokenizer
        self._image_token_id = int(tokenizer.convert_tokens_to_ids(family.image_token))
        self._turn_end = family.turn_end
        self.turn_end_id = int(tokenizer.convert_tokens_to_ids(family.turn_end))
        self._prompts: dict[str, tuple[list[int], list[int]]] = {}

    def prompt_ids(self, prompt: str) -> tuple[list[int], list[int]]:
        """Token ids before and after the image; prompts repeat, so they are remembered.

        Raises UsageError for a chat template that can't be used.
        """
        if prompt not in self._prompts:
            ids = self.tokenizer(self._chat(prompt), add_special_tokens=False)["input_ids"]
            if ids.count(self._image_token_id) != 1:
                raise self._no_template("it makes no place for one photo")
            place = ids.index(self._image_token_id)
            self._prompts[prompt] = ids[:place], ids[place + 1 :]
        return self._prompts[prompt]

    def _chat(self, prompt: str) -> str:
        content = [{"type": "image"}, {"type": "text", "text": prompt}]
        try:
            text: str = self.tokenizer.apply_chat_template(
                [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
            )
        # A template is a program of the model's own, run in a sandbox: it can raise anything.
        except Exception as error:
            raise self._no_template(first_line(error)) from error
        return text

    def _no_template(self, why: str) -> UsageError:
        return UsageError(
            f"{self.tokenizer.name_or_path}: the chat template can't be used: {why}; "
            "take an Instruct model as it was published"
        )

    def token_count(self, prompt: str, answer: str) -> int:
        """Text tokens of a chat, the photo's not counted."""
        before, after = self.prompt_ids(prompt)
        return len(before) + len(after) + len(self.answer_ids(answer))

    def answer_ids(self, answer: str) -> list[int]:
        """Token ids that decode to exactly the answer and the token that ends the turn.

        Raises UnusableError for an answer that the tokenizer can't write.
        """
        ids: list[int] = self.tokenizer(answer, add_special_tokens=False)["input_ids"]
        labels = [*ids, self.turn_end_id]
        written = self.tokenizer.decode(labels, clean_up_tokenization_spaces=False)
        if written != answer + self._turn_end:
            raise UnusableError(
                "tokenizer-cannot-write",
                f"the tokenizer writes the answer {answer[:60]!r} as {written[:60]!r}",
            )
        return labels


@dataclass(frozen=True)
class Processing:
    """What one base model's tokenizer and image processor do to a row."""

    text: ChatText
    geometry: PixelGeometry
    pixels: PixelValues
    image_token_id: int
    pad_token_id: int

    @property
    def turn_end_id(self) -> int:
        """The token that ends an answer."""
        return self.text.turn_end_id

    def encoder(self, max_pixels: int, features: FeatureStore | None = None) -> SampleEncoder:
        """An encoder of samples at a pixel budget (pixels an image), with cached features."""
        return SampleEncoder(
            self.text, self.geometry, self.image_token_id, max_pixels, bicubic, features
        )

    def decode(self, token_ids: list[list[int]]) -> list[str]:
        """Texts of generated token ids, special tokens left out."""
        texts: list[str] = self.text.tokenizer.batch_decode(token_ids, skip_special_tokens=True)
        return texts


def load_processing(model: ModelConfig, family: Family) -> Processing:
    """Loads tokenizer and image processor; raises UsageError if they are missing or of no use."""
    try:
        tokenizer, image_processor = (
            kind.from_pretrained(model.path, revision=model.revision, trust_remote_code=False)
            for kind in (AutoTokenizer, AutoImageProcessor)
        )
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{model.path}: no usable tokenizer or image processor: {first_line(error)}"
        ) from error
    if not tokenizer.chat_template:
        raise UsageError(f"{model.path}: no chat template; take an Instruct model")
    text = ChatText(tokenizer, family)
    text.prompt_ids("")
    return Processing(
        text=text,
        geometry=PixelGeometry(
            patch=image_processor.patch_size,
            merge=image_processor.merge_size,
            min_pixels=image_processor.size["shortest_edge"],
        ),
        pixels=PixelValues.of(image_processor),
        image_token_id=int(tokenizer.convert_tokens_to_ids(family.image_token)),
        pad_token_id=int(tokenizer.pad_token_id),
    )
