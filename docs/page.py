"""Pictures of the page of predictions for the README, taken by headless Chromium.

``python docs/page.py`` writes page.png and misses.png beside this file: the recorded demo run's
base and adapter on the same signs, and Tesseract where it's installed.
"""

import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from screens import RECORDED

from core.data.images import upright_size
from core.demo.prepare import SEED, VALIDATION_PHOTOS
from core.demo.signboards import PROMPT, write_dataset
from core.errors import UsageError
from core.evaluate.labels import photo_hash
from core.evaluate.page.sets import NamedSet
from core.evaluate.page.write import write_page
from core.evaluate.predictions import ReadRow, row_id
from core.evaluate.summary import scored
from core.events import Predicted, Prediction
from core.read.reader import Photo, Reply
from core.read.readers.tesseract import Tesseract
from core.run_dir import RunDir

DOCS = Path(__file__).parent
RUN = RECORDED / "runs" / "20261125-041632-demo"
CHROMIUM = "/usr/bin/chromium"
WIDTH, TALL = 1240, 8000
HEIGHTS = {"page": 1180, "misses": 760}
# The colour that marks a wrong syllable; the highest one is in the legend of the misses.
MARK = (255, 225, 168)


def recorded(scope: str) -> list[Prediction]:
    """What was read before the first step (``baseline``) or at the end (``final``), by row."""
    events = RunDir(RUN).events().read()
    found = (one for one in events if isinstance(one, Predicted) and one.scope == scope)
    return sorted((one for event in found for one in event.predictions), key=lambda one: one.row)


def rows_of(
    predictions: Iterable[Prediction], photos: Path, replies: Iterable[Reply]
) -> Iterator[ReadRow]:
    """Scored rows of these signs, with other replies to them."""
    for one, reply in zip(predictions, replies, strict=True):
        image = str(photos / Path(one.image).name)
        digest = photo_hash(image)
        yield scored(
            ReadRow(
                row=one.row,
                id=row_id(digest, image, PROMPT, one.truth),
                image=image,
                image_hash=digest,
                prompt=PROMPT,
                truth=one.truth,
                reply=reply.text,
                why=reply.why,
                size=upright_size(image),
            )
        )


def sets_of(photos: Path) -> list[NamedSet]:
    """Base, adapter and Tesseract on the signs of the run's baseline."""
    signs = recorded("baseline")
    named = {
        name: [Reply(one.reply, why=one.problem) for one in recorded(scope)]
        for name, scope in (("base", "baseline"), ("adapter", "final"))
    }
    try:
        reader = Tesseract()
    except UsageError as error:
        print(f"without Tesseract: {error}")
    else:
        paths = (str(photos / Path(one.image).name) for one in signs)
        named[reader.title] = reader.read([Photo(path, PROMPT, None, None) for path in paths])
    return [
        NamedSet(name, list(rows_of(signs, photos, replies))) for name, replies in named.items()
    ]


def take(page: Path) -> Image.Image:
    """The whole page, or as much of it as there is room for in a very high window."""
    picture = page.with_suffix(".png")
    subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--hide-scrollbars",
            f"--user-data-dir={page.with_name('profile')}",
            f"--window-size={WIDTH},{TALL}",
            f"--screenshot={picture}",
            page.as_uri(),
        ],
        check=True,
    )
    return Image.open(picture).convert("RGB")


def top_of_misses(whole: Image.Image) -> int:
    """Where the legend of the misses is, in pixels from the top."""
    rows, _columns = np.nonzero((np.asarray(whole) == MARK).all(axis=2))
    return int(rows.min()) - 12


def main() -> None:
    """Makes the signs anew, which are the same bytes, the page, and its pictures."""
    if not Path(CHROMIUM).exists():
        print(f"no pictures of the page: {CHROMIUM} is not installed")
        return
    with tempfile.TemporaryDirectory() as folder:
        made = write_dataset(Path(folder), train=0, validation=VALIDATION_PHOTOS, seed=SEED)
        page = Path(folder) / "page.html"
        print(write_page(page, sets_of(made.validation.parent / "images" / "validation")))
        whole = take(page)
    for name, top in (("page", 0), ("misses", top_of_misses(whole))):
        part = whole.crop((0, top, WIDTH, top + HEIGHTS[name]))
        part.quantize(256).save(DOCS / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
