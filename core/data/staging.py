"""Files written to the side and renamed, so that a folder never holds half of them."""

import os
import shutil
from collections.abc import Collection
from pathlib import Path

import msgspec

from core.data.receipt import Receipt
from core.durable import flush
from core.errors import UsageError

RECEIPT = "receipt.json"


class Staging:
    """New files for ``folder``, gathered in a folder of their own inside it until `publish`.

    Raises UsageError at once if one of ``names`` is there already, unless ``force`` is given and
    the folder's receipt says that an earlier conversion wrote it.
    """

    def __init__(self, folder: Path, names: Collection[str], *, force: bool) -> None:
        self._folder = folder
        _refuse_foreign(folder, names, force=force)
        self._made = not folder.exists()
        self.path = folder / f".convert-{os.getpid()}"
        try:
            self.path.mkdir(parents=True)
        except OSError as error:
            raise UsageError(f"{folder}: can't be written to: {error.strerror}") from error

    def __enter__(self) -> "Staging":
        return self

    def __exit__(self, *_error: object) -> None:
        """Takes away what was not published."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._made and not any(self._folder.iterdir()):
            self._folder.rmdir()

    def publish(self) -> None:
        """Renames everything into place, the receipt last."""
        names = sorted(path.name for path in self.path.iterdir())
        old = self.path / "old"
        old.mkdir()
        for name in sorted(names, key=lambda name: name == RECEIPT):
            _keep(self.path / name)
            target = self._folder / name
            if target.exists():
                target.rename(old / name)
            (self.path / name).rename(target)
        flush(self._folder)


def _refuse_foreign(folder: Path, names: Collection[str], *, force: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file; OUT is a folder for the data set")
    there = [name for name in names if (folder / name).exists()]
    if not there:
        return
    if not force:
        raise UsageError(
            f"{folder / there[0]}: is there already; choose another folder, or --force to replace "
            "what an earlier conversion wrote"
        )
    foreign = [name for name in there if name not in _written(folder)]
    if foreign:
        raise UsageError(
            f"{folder / foreign[0]}: was not written by a conversion, so --force leaves it alone; "
            "move it away or choose another folder"
        )


def _written(folder: Path) -> set[str]:
    """Names that the folder's own receipt tells of."""
    try:
        receipt = msgspec.json.decode((folder / RECEIPT).read_bytes(), type=Receipt)
    except (OSError, msgspec.DecodeError):
        return set()
    return {RECEIPT, *(output.name for output in receipt.outputs)}


def _keep(path: Path) -> None:
    """One call for a folder of many crops, since one each would take longer than making them."""
    if path.is_dir():
        os.sync()
    else:
        flush(path)
