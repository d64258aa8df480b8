"""Parts of the page: escaped text, marked syllables, small photos and charts."""

import base64
import io
import unicodedata
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from core.evaluate.page.charts import BINS, Bar, BarGroup, bars, fitting, histogram, spread
from core.evaluate.page.html import tag
from core.evaluate.page.marking import MOST_CHARACTERS, Piece, differing
from core.evaluate.page.thumbnails import EDGE, thumbnail, thumbnails
from core.evaluate.text import Score
from core.nfc import nfc

SIGNS = st.text(st.sampled_from("마왕족발가게 AB12☆\u0301") | st.characters(), max_size=30)
KINDS = {"same", "replaced", "missing", "added"}


@pytest.mark.parametrize(
    ("truth", "reply", "of_truth", "of_reply"),
    [
        ("마왕족발", "마왕족발", [("마왕족발", "same")], [("마왕족발", "same")]),
        (
            "마왕족발",
            "미왕족발",
            [("마", "replaced"), ("왕족발", "same")],
            [("미", "replaced"), ("왕족발", "same")],
        ),
        (
            "마왕족발",
            "마족발",
            [("마", "same"), ("왕", "missing"), ("족발", "same")],
            [("마", "same"), ("", "missing"), ("족발", "same")],
        ),
        (
            "마왕족발",
            "마왕 족발",
            [("마왕", "same"), ("족발", "same")],
            [("마왕", "same"), (" ", "added"), ("족발", "same")],
        ),
        ("마왕", "", [("마왕", "missing")], [("", "missing")]),
        ("", "마왕", [], [("마왕", "added")]),
    ],
)
def test_differing_syllables(
    truth: str, reply: str, of_truth: list[Piece], of_reply: list[Piece]
) -> None:
    assert differing(truth, reply) == (of_truth, of_reply)
    decomposed = unicodedata.normalize("NFD", reply)
    assert differing(truth, decomposed) == (of_truth, of_reply)


@given(SIGNS, SIGNS)
def test_pieces_are_the_texts_and_what_is_the_same_is_in_both(truth: str, reply: str) -> None:
    of_truth, of_reply = differing(truth, reply)
    assert "".join(piece.text for piece in of_truth) == nfc(truth)
    assert "".join(piece.text for piece in of_reply) == nfc(reply)
    assert {piece.kind for piece in of_truth} <= KINDS - {"added"}
    same = [[piece.text for piece in side if piece.kind == "same"] for side in (of_truth, of_reply)]
    assert same[0] == same[1]


def test_a_reply_that_never_ends_is_marked_in_no_time() -> None:
    _, of_reply = differing("마왕족발", "가" * 1_000_000)
    shown = "".join(piece.text for piece in of_reply)
    assert len(shown) == MOST_CHARACTERS
    assert shown.endswith("…")


class Seen(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@given(
    SIGNS | st.sampled_from(["</p><script>alert(1)</script>", '"><img src=x onerror=x>', "&amp;"])
)
def test_foreign_text_is_text_wherever_it_stands(text: str) -> None:
    seen = Seen(tag("p", text, title=text))
    [(name, attributes)] = seen.tags
    assert name == "p"
    assert set(attributes) == {"title"}
    assert seen.text == attributes["title"]
    assert not any(unicodedata.category(letter) in ("Cc", "Cf") for letter in seen.text)


def test_what_would_hide_or_turn_text_round_is_seen() -> None:
    assert tag("b", "족\u202e발\x1b[0m") == "<b>족&lt;202E&gt;발␛[0m</b>"


def decoded(uri: str) -> Image.Image:
    kind, _, coded = uri.partition(",")
    assert kind == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(coded)))


def test_a_thumbnail_is_upright_small_and_without_metadata(tmp_path: Path) -> None:
    photo = Image.new("RGB", (1200, 600), (20, 60, 200))
    photo.paste((240, 240, 10), (0, 0, 600, 600))
    exif = photo.getexif()
    exif[0x0112] = 6
    exif[0x010F] = "maker of the camera"
    photo.save(tmp_path / "a.jpg", exif=exif, comment=b"a note", quality=95)
    made = thumbnail(str(tmp_path / "a.jpg"), None)
    assert made.uri is not None
    image = decoded(made.uri)
    assert image.size == made.size == (EDGE // 2, EDGE)
    assert not image.getexif()
    assert "comment" not in image.info
    top, bottom = image.getpixel((90, 60)), image.getpixel((90, 300))
    assert isinstance(top, tuple)
    assert isinstance(bottom, tuple)
    assert top[0] > 200 > bottom[0]


def test_photos_that_cannot_be_shown_say_why(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    Image.new("RGB", (20, 10)).save(root / "small.png")
    Image.new("RGB", (20, 10)).save(tmp_path / "outside.png")
    (root / "bad.jpg").write_bytes(b"no photo")
    names = ["small.png", "bad.jpg", "none.jpg", "../outside.png"]
    told: list[tuple[int, int]] = []
    paths = [str(root / name) for name in names]
    made = thumbnails([*paths, paths[0]], str(root.resolve()), lambda *tally: told.append(tally))
    assert list(made) == paths
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    small, *others = made.values()
    assert small.size == (20, 10)
    assert all(one.uri is None for one in others)
    whys = [one.why for one in others]
    assert [whys[0].split(" (")[0], whys[1]] == ["not an image in a known format", "no such file"]
    assert "leads out of the data root" in whys[2]


@given(st.lists(st.floats(0, 100)))
def test_every_value_is_in_one_bin(values: list[float]) -> None:
    counts = spread(values)
    assert len(counts) == BINS
    assert sum(counts) == len(values)


def test_bins_hold_their_lower_bound_and_the_last_one_100() -> None:
    counts = spread([0, 4.99, 5, 79.9, 80, 99, 100])
    assert {place: count for place, count in enumerate(counts) if count} == {
        0: 2,
        1: 1,
        15: 1,
        16: 1,
        19: 2,
    }


def test_bars_are_as_long_as_their_shares_and_whiskers_span_the_interval() -> None:
    half, none = Score.of(50, 100), Score.of(0, 0)
    chart = bars("점수", [BarGroup("한글 & <영문>", [Bar(half, 100), Bar(none, 0)])])
    svg = ElementTree.fromstring(chart)
    [bar] = svg.iter("rect")
    lines = [line for line in svg.iter("line") if line.get("class") == "interval"]
    grid = [float(line.get("x1", "")) for line in svg.iter("line") if line.get("class") == "grid"]
    assert float(bar.get("width", "")) == pytest.approx((grid[-1] - grid[0]) / 2, abs=0.02)
    whisker = [
        (float(lines[0].get(end, "")) - grid[0]) / (grid[-1] - grid[0]) for end in ("x1", "x2")
    ]
    assert whisker == pytest.approx([half.low, half.high], abs=0.001)
    words = "".join(svg.itertext())
    assert "50.0 % [40–60]  n=100" in words
    assert "한글 & <영문>" in words
    assert "–" in words


def test_columns_of_a_histogram_share_a_scale() -> None:
    svg = ElementTree.fromstring(histogram("h", [0.0] * 5 + [90.0] * 10, 1, 20))
    heights = sorted(float(column.get("height", "")) for column in svg.iter("rect"))
    assert heights[-2:] == [heights[-1] / 2, heights[-1]]
    assert [c.get("class") for c in svg.iter("rect")] == ["s1 pale"] * 16 + ["s1"] * 4


@pytest.mark.parametrize(
    ("text", "shown"),
    [("한글", "한글"), ("열두 글자나 되는 긴 이름", "열두 …"), ("abcdefghijkl", "abcdef…")],
)
def test_labels_are_cut_to_their_room(text: str, shown: str) -> None:
    assert fitting(text, 50) == shown
