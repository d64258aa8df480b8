"""Reading signs with what is exported: before it is written, and after by a process of its own."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch

from core.data.images import read_photo
from core.data.order import validation_order
from core.data.survey import open_rows
from core.data.unusable import UnusableError
from core.errors import KocrError, UsageError
from core.export import plain_reader
from core.export.plain_reader import PlainAnswer, PlainRequest, PlainRow, answer
from core.export.source import Source
from core.launch import run_told
from core.model.step import compute_dtype, mixed
from core.run_dir import home

ROWS = 20
_READER = (sys.executable, "-P", str(Path(plain_reader.__file__)))
Tell = Callable[[int, int], None]


def choose_rows(source: Source, folder: Path, tell: Tell) -> tuple[PlainRow, ...]:
    """The first validation rows in the run's order, their photos upright in ``folder``.

    Raises UsageError if there are none any more.
    """
    data = source.config.data
    try:
        rows = open_rows(Path(data.validation), "set-aside", home() / "cache", tell, root=data.root)
    except UsageError as error:
        raise UsageError(f"{error}; --no-verify exports without reading any") from error
    chosen: list[PlainRow] = []
    for index in validation_order(source.config.train.seed, len(rows)).tolist():
        photo = folder / f"{len(chosen)}.png"
        try:
            row = rows[index]
            upright = read_photo(row.image, root=row.root)
        except UnusableError:
            continue
        # Compressing them well takes longer than reading them.
        upright.save(photo, compress_level=1)
        chosen.append(PlainRow(str(photo), row.prompt))
        if len(chosen) == ROWS:
            break
    if not chosen:
        raise UsageError(
            f"{data.validation}: no photo can be read any more; --no-verify exports without"
        )
    return tuple(chosen)


@dataclass(frozen=True)
class Reading:
    """Rows to read in the ways of a source, on a device."""

    source: Source
    rows: tuple[PlainRow, ...]
    device: str

    def as_trained(self, model: Any, tell: Tell) -> PlainAnswer:
        """With a model whose adapter is beside its base, computing as training does."""
        with mixed(torch.device(self.device), compute_dtype(model.get_base_model())):
            request = msgspec.structs.replace(self._of_base(), digests=False)
            return answer(request, tell, model)

    def merged(self, model: Any, tell: Tell) -> PlainAnswer:
        """With a merged model in memory."""
        return answer(self._of_base(), tell, model)

    def beside(self, adapter: Path, tell: Tell) -> PlainAnswer:
        """With the base and an adapter's folder, by plain transformers and peft."""
        return answer(self.of_adapter(adapter), tell)

    def of_adapter(self, adapter: Path) -> PlainRequest:
        """The base as it was trained on, with an adapter's folder."""
        nf4 = self.source.precision.weights == "nf4"
        return msgspec.structs.replace(self._of_base(), adapter=str(adapter), nf4=nf4)

    def of_merged(self, folder: Path) -> PlainRequest:
        """A merged folder with nothing but what is in it."""
        return msgspec.structs.replace(
            self._of_base(), model=str(folder), revision=None, bounds={}, generation={}
        )

    def _of_base(self) -> PlainRequest:
        fewest, most = self.source.bounds
        return PlainRequest(
            model=self.source.model.path,
            revision=self.source.model.revision,
            dtype=self.source.dtype,
            device=self.device,
            threads=torch.get_num_threads(),
            bounds={"min_pixels": fewest, "max_pixels": most},
            generation=self.source.generation,
            rows=self.rows,
        )


def read_elsewhere(request: PlainRequest, folder: Path, tell: Tell) -> PlainAnswer:
    """The answer of a process that has nothing of ours; ``folder`` is for what passes between.

    Raises KocrError with its last line where it fails.
    """
    asked, given = folder / "request", folder / "answer"
    asked.write_bytes(msgspec.json.encode(request))
    try:
        run_told(
            [*_READER, str(asked), str(given)],
            lambda done, total, _words: tell(done, total),
            None,
            called="the reader",
        )
    except KocrError as error:
        raise KocrError(
            f"plain transformers can't read with the export: {error}; nothing was kept"
        ) from error
    return msgspec.json.decode(given.read_bytes(), type=PlainAnswer)


def compare(written: PlainAnswer, read: PlainAnswer) -> None:
    """Raises KocrError that names the first thing that isn't in the files as it was in memory."""
    for name in sorted(written.tensors.keys() | read.tensors.keys()):
        if written.tensors.get(name) != read.tensors.get(name):
            raise _differs(f"the tensor {name}")
    for number, (before, after) in enumerate(zip(written.inputs, read.inputs, strict=True), 1):
        if before != after:
            raise _differs(f"what the model takes of validation photo {number}")
    for before, after in zip(written.replies, read.replies, strict=True):
        if before != after:
            raise _differs(f"the reply {after[:60]!r} instead of {before[:60]!r}")


def _differs(what: str) -> KocrError:
    return KocrError(
        f"read again, the export is not what was in memory: {what}; nothing was kept. Look at the "
        "disk, and at which transformers and peft are installed"
    )


def changed(trained: PlainAnswer, exported: PlainAnswer) -> int:
    """How many replies aren't those of the model as it was trained."""
    pairs = zip(trained.replies, exported.replies, strict=True)
    return sum(before != after for before, after in pairs)
