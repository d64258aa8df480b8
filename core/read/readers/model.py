"""Our own reader: a base model, perhaps with an adapter."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from core.data.samples import Sample
from core.data.schemas import Row
from core.data.unusable import UnusableError
from core.evaluate.generate import SignReader, Written
from core.hardware.device import Device, open_device, require_device
from core.hardware.out_of_memory import OutOfMemory
from core.model.load import check_weights_fit, load_model, open_config, weight_tensors
from core.model.lora import put_on
from core.model.patch_embedding import multiply_patches
from core.read.reader import Photo, Reply, Size
from core.read.recipe import Recipe
from core.train.cards.own import hold_cards
from core.train.recovery import in_one_line
from core.train.self_tests import try_fast_paths

_DECODERS = min(4, os.cpu_count() or 1)


@contextmanager
def open_model_reader(recipe: Recipe) -> Iterator["ModelReader"]:
    """Loads what the recipe names, on a card that no other program works on meanwhile.

    Raises UsageError where the card is busy, or the weights can't be had, KocrError where memory
    runs out.
    """
    with hold_cards(recipe.profile, 1):
        require_device(recipe.profile)
        device = open_device(recipe.device, recipe.profile)
        opened, _family = open_config(recipe.model)
        weights, compute = recipe.precision.weights, recipe.precision.compute
        check_weights_fit(
            recipe.model,
            opened,
            weights,
            compute,
            limit_bytes=device.limit_bytes,
            device=recipe.profile.device,
        )
        # Counting live bytes on the CPU takes a small model twice the time, and what was certified
        # for training is more than reading takes.
        with in_one_line(device):
            reader = ModelReader(recipe, device)
            try:
                yield reader
            finally:
                reader.close()


class ModelReader:
    """Reads photos by greedy generation, a batch at a time, each at its own upright size."""

    def __init__(self, recipe: Recipe, device: Device) -> None:
        self.title = recipe.title
        self.at_a_time = recipe.at_a_time
        precision = recipe.precision
        self.notes = try_fast_paths(device, nf4=precision.weights == "nf4").fallbacks
        model = load_model(recipe.model, recipe.family, precision.weights, precision.compute)
        if recipe.adapter is not None:
            adapted = put_on(model, recipe.adapter.config, recipe.adapter.folder)
            model = adapted.get_base_model()
        multiply_patches(model)
        model.to(device.torch_device)
        device.count(weight_tensors(model))
        self._max_pixels = recipe.max_pixels
        self._geometry = recipe.processing.geometry
        self._encoder = recipe.processing.encoder(recipe.max_pixels)
        self._writer = SignReader(
            model.eval(),
            recipe.processing,
            device,
            max_pixels=recipe.max_pixels,
            max_new_tokens=recipe.max_new_tokens,
        )
        self._decoders = ThreadPoolExecutor(_DECODERS, thread_name_prefix="photo")
        self._opened: dict[Photo, Future[Sample | str]] = {}

    def look_ahead(self, photos: Sequence[Photo]) -> None:
        """Begins to open what will be read next."""
        for photo in photos:
            if photo not in self._opened:
                self._opened[photo] = self._decoders.submit(self._open, photo)

    def read(self, photos: Sequence[Photo]) -> list[Reply]:
        """One reply a photo; where memory runs out the batch is read in halves."""
        self.look_ahead(photos)
        opened = {photo: self._opened.pop(photo).result() for photo in dict.fromkeys(photos)}
        samples = [found for photo in photos if isinstance(found := opened[photo], Sample)]
        written = iter(self._writer.write(samples))
        return [
            Reply(None, why=found)
            if isinstance(found := opened[photo], str)
            else self._reply(photo, next(written))
            for photo in photos
        ]

    def _reply(self, photo: Photo, written: Written | OutOfMemory) -> Reply:
        if isinstance(written, OutOfMemory):
            return Reply(None, why=f"out of memory: {written.words}")
        tokens = len(written.token_ids)
        return Reply(written.text, tokens, written.cut, read_size=self._read_size(photo))

    def _read_size(self, photo: Photo) -> Size | None:
        return photo.size and self._geometry.resized(*photo.size, self._max_pixels)

    def _open(self, photo: Photo) -> Sample | str:
        """The photo as the model takes it, or why it can't be."""
        if photo.size is None:
            return "its size isn't known"
        row = Row(image=photo.path, prompt=photo.prompt, answer="", root=photo.root)
        try:
            return self._encoder.read(row, photo.size, with_answer=False)
        except UnusableError as problem:
            return str(problem)

    def close(self) -> None:
        """Opens no more photos."""
        self._decoders.shutdown(cancel_futures=True)
