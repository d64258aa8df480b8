"""Reading signs: greedy generation for a batch of validation rows."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from transformers import GenerationConfig

from core.data.collate import collate_prompts
from core.data.dataset import SignRows
from core.data.samples import Sample, SampleEncoder
from core.data.schemas import Row
from core.data.unusable import UnusableError
from core.evaluate.text import score
from core.events import Prediction
from core.hardware.device import Device
from core.hardware.out_of_memory import OutOfMemory, attempt
from core.model.processing import Processing
from core.model.step import compute_dtype, mixed


@dataclass(frozen=True)
class Written:
    """A generated reply; ``token_ids`` with the token that ended it, unless it was ``cut``.

    ``cut`` says that only the most that may be generated ended it.
    """

    text: str
    token_ids: tuple[int, ...]
    cut: bool


@dataclass(frozen=True)
class _Prompt:
    """A row to read; ``line`` counts from 1, ``problem`` says why there is no sample."""

    line: int
    row: Row
    sample: Sample | None
    problem: str | None


class SignReader:
    """Reads photos with a model as it stands (base, or with its adapter)."""

    def __init__(
        self,
        model: Any,
        processing: Processing,
        device: Device,
        *,
        max_pixels: int,
        max_new_tokens: int,
    ) -> None:
        self._model = model
        self._processing = processing
        self._device = device
        self._encoder: SampleEncoder = processing.encoder(max_pixels)
        self._ends = (processing.turn_end_id, processing.pad_token_id)
        # What isn't set here is taken from the model's generation_config.json, and Qwen2.5-VL's has
        # a repetition penalty, which changes names such as 김밥김밥.
        self._generation = GenerationConfig(
            do_sample=False,
            num_beams=1,
            repetition_penalty=1.0,
            no_repeat_ngram_size=0,
            max_new_tokens=max_new_tokens,
            eos_token_id=list(self._ends),
            pad_token_id=processing.pad_token_id,
        )
        self._decoders = ThreadPoolExecutor(max_workers=4, thread_name_prefix="photo")

    def read_rows(self, rows: SignRows, indices: Sequence[int]) -> list[Prediction]:
        """Predictions for the rows at ``indices``, in that order, generated as one batch.

        A row or photo that can't be read has no reply, counts as wrong, and says why.
        """
        prompts = list(self._decoders.map(partial(self._prompt, rows), indices))
        replies = iter(
            self.write([prompt.sample for prompt in prompts if prompt.sample is not None])
        )
        return [
            predict(prompt, next(replies) if prompt.sample is not None else None)
            for prompt in prompts
        ]

    def write(self, samples: list[Sample]) -> list[Written | OutOfMemory]:
        """Replies to prompts, generated as one batch.

        Where memory runs out the batch is read in halves, down to one photo; one that doesn't fit
        by itself has no reply.
        """
        if not samples:
            return []
        replies = attempt(partial(self.generate, samples))
        if not isinstance(replies, OutOfMemory):
            return [*replies]
        self._device.free_cache()
        self._device.reset_peak()
        if len(samples) == 1:
            return [replies]
        half = len(samples) // 2
        return self.write(samples[:half]) + self.write(samples[half:])

    def _prompt(self, rows: SignRows, index: int) -> _Prompt:
        line = int(rows.lines[index])
        row = Row(image=rows.photos[index], prompt="", answer="")
        try:
            row = rows[index]
            sample = self._encoder.read(row, rows.size(index), with_answer=False)
        except UnusableError as problem:
            return _Prompt(line, row, None, str(problem))
        return _Prompt(line, row, sample, None)

    @torch.inference_mode()
    def generate(self, samples: list[Sample], *, full_length: bool = False) -> list[Written]:
        """Replies to prompts; ``full_length`` writes max_new_tokens for each (the worst case)."""
        arrays = collate_prompts(samples, self._processing.pad_token_id)
        batch = {
            name: torch.from_numpy(array).to(self._device.torch_device)
            for name, array in vars(arrays).items()
        }
        self._device.count(batch.values())
        was_training = self._model.training
        self._model.eval()
        try:
            with mixed(self._device.torch_device, compute_dtype(self._model)):
                tokens = self._model.generate(
                    input_ids=batch["input_ids"],
                    attention_mask=batch["attention_mask"],
                    pixel_values=self._processing.pixels(
                        batch["patches"], self._model.model.visual.dtype
                    ),
                    image_grid_thw=batch["grids"],
                    mm_token_type_ids=batch["token_types"],
                    generation_config=self._generation,
                    min_new_tokens=self._generation.max_new_tokens if full_length else None,
                )
        finally:
            self._model.train(was_training)
        written = [
            self._until_end(ids) for ids in tokens[:, batch["input_ids"].shape[1] :].tolist()
        ]
        texts = self._processing.decode(written)
        return [
            Written(text, tuple(ids), cut=ids[-1] not in self._ends)
            for text, ids in zip(texts, written, strict=True)
        ]

    def _until_end(self, ids: list[int]) -> list[int]:
        """Without what pads a reply that ended before others of its batch."""
        ends = (place for place, token in enumerate(ids) if token in self._ends)
        last = next(ends, None)
        return ids if last is None else ids[: last + 1]


def predict(prompt: _Prompt, reply: Written | OutOfMemory | None) -> Prediction:
    """A row's prediction with its scores."""
    text = reply.text if isinstance(reply, Written) else None
    problem = f"out of memory: {reply.words}" if isinstance(reply, OutOfMemory) else prompt.problem
    scores = score(prompt.row.answer, text)
    return Prediction(
        row=prompt.line,
        image=prompt.row.image,
        truth=prompt.row.answer,
        reply=text,
        exact=scores.exact,
        normalized=scores.normalized,
        similarity=scores.similarity,
        problem=problem,
    )
