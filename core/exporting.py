"""What an export is asked and what it answers; the work is done by core/export, elsewhere."""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from core.errors import KocrError
from core.file_record import FileRecord
from core.launch import run_told

EXPORTER = (sys.executable, "-P", "-m", "core.export")
EXPORT_FILE = "export.json"
Checkpoint = Literal["best", "last"] | int
Kind = Literal["adapter", "merged"]


class ExportRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which checkpoint of a run to export, and how.

    ``run`` and ``out`` are absolute paths of folders. With ``merge`` the adapter is merged into the
    base. ``force`` replaces an earlier export; without ``verify`` nothing is read with the export.
    """

    run: str
    out: str
    merge: bool = False
    checkpoint: Checkpoint = "best"
    force: bool = False
    verify: bool = True


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What was read with the export by plain transformers, once it was written.

    All ``rows`` replies were those of the model in memory that was written. ``changed`` of them
    are not those of the model as it was trained: its base in ``weights``, the adapter beside it.
    """

    rows: int
    changed: int
    weights: str


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """What an exported folder is, as its export.json tells.

    ``revision`` is the base's commit on the hub. ``weights`` is how the base was held in training,
    ``dtype`` the number format to compute in, and of merged weights. ``min_pixels`` and
    ``max_pixels`` bound a photo's pixels. ``files`` are all others in the folder.
    """

    export: Literal[1] = 1
    kind: Kind
    run: str
    step: int
    best: bool
    base: str
    revision: str | None
    weights: str
    dtype: str
    rank: int
    targets: str
    min_pixels: int
    max_pixels: int
    max_new_tokens: int
    adapter_sha256: str
    verified: Verified | None
    versions: dict[str, str]
    files: dict[str, FileRecord] = {}


class ExportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was exported to the folder ``out``, and what a person should know of it."""

    out: str
    export: Export
    warnings: tuple[str, ...] = ()


def export(request: ExportRequest, tell: Callable[[int, int, str], None]) -> ExportReport:
    """Has the exporter do it in a process of its own; takes seconds to minutes.

    ``tell`` hears how much is done, how much there is, and what is done next. Raises UsageError or
    KocrError with the exporter's last line; Ctrl-C ends it, and nothing of it stays.
    """
    with tempfile.TemporaryDirectory(prefix="kocr-export-") as folder:
        asked, answer = (Path(folder) / name for name in ("request", "report"))
        asked.write_bytes(msgspec.json.encode(request))
        run_told([*EXPORTER, str(asked), str(answer)], tell, None, called="the exporter")
        if not answer.exists():
            raise KocrError("the exporter ended with code 0 and no word")
        return msgspec.json.decode(answer.read_bytes(), type=ExportReport)
