"""What is known of photo files: read once, on all cores, and remembered by path, size and mtime."""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from PIL import Image

from core.data.images import open_file, open_photo, orientation, profile_name, upright
from core.data.parallel import each_in_processes
from core.data.photo_cache import Identity, PhotoCache
from core.data.tokens import MAX_ASPECT_RATIO
from core.data.unusable import Reason, UnusableError

Depth = Literal["header", "whole"]
Progress = Callable[[int, int], None]
# Reasons that may be gone the next time, although the file is the same.
PASSING: frozenset[Reason | None] = frozenset(
    {"no-such-file", "not-a-file", "unreadable-file", "outside-root"}
)
_HASH_EDGE = 8
_FEW = 200


class PhotoFacts(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a photo file is; ``reason`` and ``sentence`` are set where it can't be used.

    ``width`` and ``height`` are upright pixels, ``mode`` Pillow's, ``orientation`` EXIF's (1 to
    8), ``profile`` the name of its colour profile. Known only once the whole photo was decoded
    (``depth`` "whole"): ``sha256`` of the file (hex), and ``phash``, 64 bits of a perceptual hash.
    """

    depth: Depth
    file_bytes: int = 0
    width: int = 0
    height: int = 0
    format: str = ""
    mode: str = ""
    orientation: int = 1
    frames: int = 1
    profile: str = ""
    sha256: str = ""
    phash: int = 0
    reason: Reason | None = None
    sentence: str = ""


Scan = Callable[[str], PhotoFacts]


class PhotoBook:
    """Facts of photo files; what was read once is read again only if the file changed."""

    def __init__(self, cache_file: Path | None, workers: int | None = None) -> None:
        self._cache = PhotoCache(cache_file, PhotoFacts)
        self._workers = workers or os.cpu_count() or 1

    def facts(
        self,
        paths: Sequence[str],
        depth: Depth,
        tell: Progress | None = None,
        root: str | None = None,
    ) -> list[PhotoFacts]:
        """The facts of every path, in order; ``tell`` hears (done, total) now and then.

        Nothing is raised for a file that can't be used: its facts give the reason. One that leads
        out of ``root`` (a real path) by now isn't opened.
        """
        scan = partial(_scan, depth, root)
        found: dict[str, PhotoFacts] = {}
        unknown: list[tuple[str, Identity]] = []
        for path in dict.fromkeys(paths):
            identity = identify(path)
            if identity is None:
                found[path] = scan(path)
            elif (kept := self._kept(path, identity, depth)) is not None:
                found[path] = kept
            else:
                unknown.append((path, identity))
        self._read_unknown(unknown, scan, found, tell)
        return [found[path] for path in paths]

    def _kept(self, path: str, identity: Identity, depth: Depth) -> PhotoFacts | None:
        kept = self._cache.get(path, identity)
        return kept if kept and depth in ("header", kept.depth) else None

    def _read_unknown(
        self,
        unknown: list[tuple[str, Identity]],
        scan: Scan,
        found: dict[str, PhotoFacts],
        tell: Progress | None,
    ) -> None:
        total = len(found) + len(unknown)
        for (path, identity), facts in zip(
            unknown, self._scans([path for path, _ in unknown], scan), strict=True
        ):
            found[path] = facts
            if facts.reason not in PASSING:
                self._cache.put(path, identity, facts)
            if tell is not None:
                tell(len(found), total)
        self._cache.flush()
        if tell is not None:
            tell(total, total)

    def _scans(self, paths: list[str], scan: Scan) -> Iterable[PhotoFacts]:
        if len(paths) < _FEW or self._workers == 1:
            return map(scan, paths)
        return each_in_processes(scan, paths, _crashed, self._workers)


def identify(path: str) -> Identity | None:
    """Size in bytes and mtime in nanoseconds, by which a file is known; None if it isn't there."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns


def _scan(depth: Depth, root: str | None, path: str) -> PhotoFacts:
    """Reads one photo; runs in a process of its own where there are many."""
    try:
        return _read(depth, root, path)
    except UnusableError as problem:
        return PhotoFacts(depth="whole", reason=problem.reason, sentence=str(problem))


def _read(depth: Depth, root: str | None, path: str) -> PhotoFacts:
    with open_photo(path, root) as image:
        width, height = upright(image)
        if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
            raise UnusableError(
                "too-long-for-its-breadth",
                f"{width}x{height}: over {MAX_ASPECT_RATIO} times longer than broad",
            )
        header = PhotoFacts(
            depth="header",
            file_bytes=os.stat(path).st_size,
            width=width,
            height=height,
            format=image.format or "",
            mode=image.mode,
            orientation=orientation(image),
            frames=_frames(image) if depth == "whole" else 1,
            profile=profile_name(image.info.get("icc_profile") or b"") if depth == "whole" else "",
        )
        if depth == "header":
            return header
        image.seek(0)
        image.load()
        phash = perceptual_hash(image)
    with open_file(path, root) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return msgspec.structs.replace(header, depth="whole", sha256=digest, phash=phash)


def _frames(image: Image.Image) -> int:
    """Pictures in the file; the second view that phones put beside a JPEG is not counted."""
    return 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))


def perceptual_hash(image: Image.Image) -> int:
    """64 bits that stay nearly the same when a photo is scaled or compressed again.

    The lowest 8 x 8 frequencies of a 32 x 32 grey thumbnail, each above the median or not
    (Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010).
    """
    edge = 4 * _HASH_EDGE
    grey = np.asarray(image.convert("RGB").resize((edge, edge), Image.Resampling.BOX).convert("L"))
    places = np.arange(edge)
    waves = np.cos(np.pi / edge * np.outer(np.arange(_HASH_EDGE), places + 0.5))
    frequencies = waves @ grey.astype(np.float64) @ waves.T
    bits = (frequencies > np.median(frequencies)).ravel()
    # As a signed number, so that it fits numpy's and SQLite's 64 bits.
    return int.from_bytes(np.packbits(bits).tobytes(), "big", signed=True)


def _crashed(path: str) -> PhotoFacts:
    return PhotoFacts(
        depth="whole",
        reason="unreadable-file",
        sentence="can't be read: the decoder crashed or ran out of memory",
    )
