"""An export from its request to its report; read `export` from top to bottom."""

import gc
import importlib.metadata
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError

from core.errors import KocrError, UsageError, first_line
from core.export import verify
from core.export.adapter import WEIGHTS, write_adapter
from core.export.base_files import published
from core.export.merge import merged_model, with_adapter, write_merged
from core.export.model_card import write_card
from core.export.plain_reader import PlainAnswer
from core.export.source import Source, open_source
from core.export.staging import Staging, staged
from core.export.verify import Reading
from core.exporting import Export, ExportReport, ExportRequest, Verified
from core.file_record import record_of
from core.model.load import weight_bytes
from core.profile import load_profile
from core.train.cards.own import hold_cards

_LIBRARIES = ("kocr-tui", "torch", "transformers", "peft", "safetensors")
# Beside weights lie a tokenizer and small files; work has the photos.
_ROOM_BESIDE = 256 << 20
_READINGS = 3

Tell = Callable[[int, int, str], None]


def export(request: ExportRequest, tell: Tell) -> ExportReport:
    """Makes the export; raises UsageError or KocrError, and then nothing of it stays.

    ``tell`` hears how much is done, how much there is, and what is done next.
    """
    out = Path(request.out)
    source = open_source(request)
    with _in_one_line(out), staged(out, force=request.force) as staging:
        staging.require(_room(source, merge=request.merge))
        making = _Making(source, staging, tell, merge=request.merge)
        prompt, verified = None, None
        if request.verify:
            rows = verify.choose_rows(source, staging.work, making.survey)
            prompt = rows[0].prompt
            with _reading_device(source) as device:
                verified = making.write_and_read(Reading(source, rows, device))
        else:
            making.write()
        made = _told(source, request, verified)
        write_card(staging.files, source, made, prompt)
        return ExportReport(out=request.out, export=staging.publish(made), warnings=source.warnings)


class _Making:
    """The steps of an export, told as they are done."""

    def __init__(self, source: Source, staging: Staging, tell: Tell, *, merge: bool) -> None:
        self._source = source
        self._staging = staging
        self._tell = tell
        self._merge = merge
        self._readings = 0

    def survey(self, done: int, total: int) -> None:
        """Hears how many photos' headers are looked at."""
        self._tell(done, total, "photos")

    def write(self) -> None:
        """Writes the files without reading any."""
        self._tell(0, 1, "writing")
        if self._merge:
            write_merged(merged_model(self._source), self._source, self._staging.files)
        else:
            write_adapter(self._source, self._staging.files)

    def write_and_read(self, reading: Reading) -> Verified:
        """Reads as trained, as exported in memory, and as written; the last two must agree."""
        source, files = self._source, self._staging.files
        trained = reading.as_trained(
            with_adapter(source, source.precision.weights), self._reading("as trained")
        )
        _free()
        written = self._write_merged(reading) if self._merge else self._write_adapter(reading)
        _free()
        request = reading.of_merged(files) if self._merge else reading.of_adapter(files)
        read = verify.read_elsewhere(request, self._staging.work, self._reading("as written"))
        verify.compare(written, read)
        return Verified(
            rows=len(reading.rows),
            changed=verify.changed(trained, read),
            weights=source.precision.weights,
        )

    def _write_merged(self, reading: Reading) -> PlainAnswer:
        model = merged_model(self._source)
        write_merged(model, self._source, self._staging.files)
        return reading.merged(model, self._reading("as merged"))

    def _write_adapter(self, reading: Reading) -> PlainAnswer:
        write_adapter(self._source, self._staging.files)
        return reading.beside(self._source.adapter, self._reading("as plain peft does"))

    def _reading(self, how: str) -> Callable[[int, int], None]:
        before, self._readings = self._readings, self._readings + 1

        def tell(done: int, total: int) -> None:
            self._tell(before * total + done, _READINGS * total, f"signs read {how}")

        return tell


def _told(source: Source, request: ExportRequest, verified: Verified | None) -> Export:
    base, revision = published(source.model)
    fewest, most = source.bounds
    return Export(
        kind="merged" if request.merge else "adapter",
        run=source.run.id,
        step=source.step,
        best=source.best,
        base=base,
        revision=revision,
        weights=source.precision.weights,
        dtype=source.dtype,
        rank=source.config.lora.rank,
        targets=source.config.lora.targets,
        min_pixels=fewest,
        max_pixels=most,
        max_new_tokens=source.config.validation.max_new_tokens,
        adapter_sha256=record_of(source.adapter / WEIGHTS).sha256,
        verified=verified,
        versions={name: importlib.metadata.version(name) for name in _LIBRARIES},
    )


def _room(source: Source, *, merge: bool) -> int:
    """Bytes of the disk that the export takes while it is made."""
    if not merge:
        return (source.adapter / WEIGHTS).stat().st_size + _ROOM_BESIDE
    compute = source.precision.compute
    return weight_bytes(source.architecture, compute, compute) + _ROOM_BESIDE


@contextmanager
def _reading_device(source: Source) -> Iterator[str]:
    """torch's name of the device to read on; a card is held, so that no worker loses memory."""
    profile = load_profile(source.config.device.profile)
    if profile.device != "cuda" or not torch.cuda.is_available():
        yield "cpu"
        return
    with ExitStack() as held:
        try:
            held.enter_context(hold_cards(profile, 1))
        except UsageError as error:
            raise UsageError(f"{error}; --no-verify exports without reading") from error
        yield f"cuda:{torch.cuda.current_device()}"


def _free() -> None:
    """Gives back what a model took that nothing holds any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextmanager
def _in_one_line(out: Path) -> Iterator[None]:
    """What the disk or the memory refuses, told of the folder that is written."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise KocrError(
            f"{out}: out of memory while reading with it: {first_line(error)}; free the card, or "
            "--no-verify exports without reading"
        ) from error
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise KocrError(f"{out}: can't be written: {reason or first_line(error)}") from error
