"""Reading signs: greedy generation for a batch of validation rows."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from transformers import GenerationConfig

from core.data.collate import collate
from core.data.dataset import SignRows
from core.data.images import BadImageError, open_upright
from core.data.samples import Sample, SampleEncoder
from core.data.schemas import Row
from core.evaluate.text import score
from core.events import Prediction
from core.hardware.device import Device
from core.model.processing import Processing
from core.model.step import TensorBatch


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
        self._generation = GenerationConfig(
            do_sample=False,
            max_new_tokens=max_new_tokens,
            eos_token_id=[processing.turn_end_id, processing.pad_token_id],
            pad_token_id=processing.pad_token_id,
        )
        self._decoders = ThreadPoolExecutor(max_workers=4, thread_name_prefix="photo")

    def read_rows(self, rows: SignRows, indices: Sequence[int]) -> list[Prediction]:
        """Predictions for the rows at ``indices``, in that order, generated as one batch.

        A photo that can't be decoded has no reply and counts as wrong.
        """
        wanted = [rows[index] for index in indices]
        samples = list(self._decoders.map(self._encode, wanted))
        readable = [sample for sample in samples if sample is not None]
        replies = iter(self.generate(readable) if readable else [])
        return [
            predict(int(rows.lines[index]), row, next(replies) if sample is not None else None)
            for index, row, sample in zip(indices, wanted, samples, strict=True)
        ]

    def _encode(self, row: Row) -> Sample | None:
        try:
            return self._encoder.encode(open_upright(row.image), row.prompt, None)
        except BadImageError:
            return None

    @torch.inference_mode()
    def generate(self, samples: list[Sample], *, full_length: bool = False) -> list[str]:
        """Replies to prompts; ``full_length`` writes max_new_tokens for each (the worst case)."""
        arrays = collate(samples, self._processing.pad_token_id, pad_left=True)
        batch = TensorBatch.of(arrays).to(self._device.torch_device)
        self._device.count(batch.tensors())
        token_types = torch.zeros_like(batch.input_ids)
        token_types.view(-1)[batch.image_index] = 1
        was_training = self._model.training
        self._model.eval()
        tokens = self._model.generate(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            pixel_values=batch.patches.to(self._model.dtype),
            image_grid_thw=batch.grids,
            mm_token_type_ids=token_types,
            generation_config=self._generation,
            min_new_tokens=self._generation.max_new_tokens if full_length else None,
        )
        self._model.train(was_training)
        return self._processing.decode(tokens[:, batch.input_ids.shape[1] :].tolist())


def predict(line: int, row: Row, reply: str | None) -> Prediction:
    """A row's prediction with its scores; ``line`` counts from 1."""
    scores = score(row.answer, reply)
    return Prediction(
        row=line,
        image=str(row.image),
        truth=row.answer,
        reply=reply,
        exact=scores.exact,
        normalized=scores.normalized,
        similarity=scores.similarity,
    )
