"""Photos as small JPEG data URIs."""

import base64
import io
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from core.data.images import Size, read_photo
from core.data.unusable import UnusableError
from core.evaluate.page.html import Markup

EDGE = 360
_QUALITY = 72
# Each may hold a decoded photo of 200 million pixels.
_WORKERS = 2


@dataclass(frozen=True)
class Thumbnail:
    """A photo as seen upright, its longer edge EDGE pixels at most; or why there is none."""

    uri: Markup | None
    size: Size
    why: str = ""


def thumbnails(
    paths: Iterable[str], root: str | None, tell: Callable[[int, int], None] | None = None
) -> dict[str, Thumbnail]:
    """One for every path; a photo that can't be read or leads out of ``root`` has a why.

    ``tell`` hears how many are made and how many there are.
    """
    each = list(dict.fromkeys(paths))
    made: dict[str, Thumbnail] = {}
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="thumbnail") as pool:
        for path, found in zip(each, pool.map(partial(thumbnail, root=root), each), strict=True):
            made[path] = found
            if tell is not None:
                tell(len(made), len(each))
    return made


def thumbnail(path: str, root: str | None) -> Thumbnail:
    """The thumbnail of one photo, without the metadata (place, camera, comments) of its file."""
    try:
        image = read_photo(path, fit=_fit, root=root)
    except UnusableError as problem:
        return Thumbnail(None, (0, 0), str(problem))
    # Pillow writes a comment that it has read along with the pixels.
    image.info.clear()
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    coded = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Thumbnail(Markup(f"data:image/jpeg;base64,{coded}"), image.size)


def _fit(width: int, height: int) -> Size:
    scale = min(1.0, EDGE / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))
