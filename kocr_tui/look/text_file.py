"""Text of a screen in a file, for terminals whose clipboard can't be reached."""

import time
from pathlib import Path

from core.errors import KocrError
from core.run_dir import home


def save_text(text: str, screen: str, now: float) -> Path:
    """Writes a new file ``kocr-SCREEN-TIME.txt`` here, or in the exports of $KOCR_HOME.

    Returns its path. Raises KocrError where neither folder can be written.
    """
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
    try:
        return _write(Path.cwd(), f"kocr-{screen}-{stamp}", text)
    except OSError:
        folder = home() / "exports"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _write(folder, f"kocr-{screen}-{stamp}", text)
    except OSError as error:
        raise KocrError(f"{folder}: can't be written: {error.strerror}") from error


def _write(folder: Path, stem: str, text: str) -> Path:
    """Never over a file that is there: a second one in the same second gets a number."""
    count = 1
    while True:
        path = folder / (f"{stem}.txt" if count == 1 else f"{stem}-{count}.txt")
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            count += 1
        else:
            return path
