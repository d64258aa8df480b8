"""Files that readers see whole: written beside their place and renamed into it."""

import contextlib
import os
import re
from pathlib import Path

# Of a file `name` that process 4711 writes: `.name.4711.0a1b2c3d`.
_UNFINISHED = re.compile(r"\..+\.(?P<pid>[1-9]\d{0,6})\.[0-9a-f]{8}")


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file (mode 0600) so that readers see the old or the new content, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def sweep_unfinished(folder: Path) -> None:
    """Deletes what ``write_whole`` left in a folder where its process was killed meanwhile.

    Links, folders, and files of a process that lives are left alone, and so is what can't be
    deleted.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = _UNFINISHED.fullmatch(entry.name)
            if found is None or not entry.is_file(follow_symlinks=False):
                continue
            if not _lives(int(found["pid"])):
                with contextlib.suppress(OSError):
                    Path(entry.path).unlink()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        # It's there, and somebody else's.
        return True
    return True
