"""The page as a whole: complete in itself, bounded, and safe whatever labels and replies hold."""

import base64
import hashlib
import re
from pathlib import Path

import pytest
from PIL import Image
from scored_rows import scored_row
from test_page_parts import Seen

from core.errors import UsageError
from core.evaluate.measures import RowMeasures
from core.evaluate.page.sets import NamedSet
from core.evaluate.page.words import Language, words_in
from core.evaluate.page.write import fair_shares, write_page
from core.evaluate.predictions import Header, ReadRow
from core.evaluate.strata import strata

HOSTILE = '</style></p><script src="https://evil.example/x.js">alert(1)</script>\x1b[2J\u202e{size}'
LANGUAGES: tuple[Language, ...] = ("ko", "en")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "sign.jpg"
    Image.new("RGB", (800, 600), (40, 90, 160)).save(path)
    return path


def rows_of(photo: Path, replies: list[str | None]) -> list[ReadRow]:
    return [
        scored_row(line, "마왕족발", reply, image=photo, why=None if reply else "timed out")
        for line, reply in enumerate(replies, start=1)
    ]


def cards_in(page: str) -> list[str]:
    return re.findall(r'<article class="card">.*?</article>', page, re.DOTALL)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_asks_nobody_for_anything(tmp_path: Path, photo: Path, language: Language) -> None:
    rows = rows_of(photo, ["마왕족발", "미왕족발", HOSTILE, None])
    rows.append(scored_row(5, HOSTILE, HOSTILE + "!", image=HOSTILE, category=HOSTILE))
    header = Header(reader=HOSTILE, model=HOSTILE, data=HOSTILE, max_pixels=100_352)
    path = tmp_path / "page.html"
    written = write_page(path, [NamedSet(HOSTILE, rows, header)], language)
    page = path.read_text(encoding="utf-8")
    seen = Seen(page)
    assert page.startswith("<!DOCTYPE html>\n<html")
    assert f'lang="{language}"' in page[:60]
    names = {name for name, _attributes in seen.tags}
    assert not names & {"script", "link", "iframe", "object", "embed", "base", "form", "a"}
    addresses = [
        value or ""
        for _name, attributes in seen.tags
        for key, value in attributes.items()
        if key in ("src", "href", "srcset", "action", "style") or key.startswith("on")
    ]
    assert addresses
    assert all(value.startswith("data:image/jpeg;base64,") for value in addresses)
    assert "url(" not in page
    assert "@import" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert written.size_bytes == path.stat().st_size
    assert (written.shown, written.worth_showing) == (4, 4)


def test_the_policy_lets_in_this_style_alone(tmp_path: Path, photo: Path) -> None:
    path = tmp_path / "page.html"
    write_page(path, [NamedSet("a", rows_of(photo, ["마왕"]))])
    page = path.read_text(encoding="utf-8")
    policy = next(
        attributes["content"]
        for name, attributes in Seen(page).tags
        if name == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    [style] = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy is not None
    assert "default-src 'none'; img-src data:;" in policy
    assert f"style-src 'sha256-{digest}';" in policy
    assert "unsafe" not in policy


def test_misses_come_worst_first_with_their_differences_marked(tmp_path: Path, photo: Path) -> None:
    rows = rows_of(photo, ["마왕족발", "마왕 족발", "미왕족발", None])
    path = tmp_path / "page.html"
    write_page(path, [NamedSet("a", rows)])
    cards = cards_in(path.read_text(encoding="utf-8"))
    assert [re.findall(r"row (\d)", card) for card in cards] == [["4"], ["3"], ["2"]]
    assert "no reply: timed out" in cards[0]
    assert '<dd class="truth"><mark>마</mark>왕족발</dd>' in cards[1]
    assert '<dd class="reply"><mark>미</mark>왕족발</dd>' in cards[1]
    assert "마왕<ins> </ins>족발" in cards[2]
    assert "800×600 → 392×308" in cards[1]


def test_a_page_holds_no_more_cards_than_it_may(tmp_path: Path, photo: Path) -> None:
    path = tmp_path / "page.html"
    written = write_page(path, [NamedSet("a", rows_of(photo, ["미왕"] * 30))], most_cards=7)
    page = path.read_text(encoding="utf-8")
    assert len(cards_in(page)) == written.shown == 7
    assert written.worth_showing == 30
    assert "7 of 30 shown" in page
    assert written.size_bytes < 7 * 30_000 + 60_000


def test_photos_outside_the_root_are_not_shown(tmp_path: Path, photo: Path) -> None:
    (tmp_path / "root").mkdir()
    path = tmp_path / "page.html"
    root = str((tmp_path / "root").resolve())
    write_page(path, [NamedSet("a", rows_of(photo, ["미왕"]))], root=root)
    page = path.read_text(encoding="utf-8")
    assert "data:image" not in page
    assert "leads out of the data root" in page


def test_several_sets_stand_beside_each_other(tmp_path: Path, photo: Path) -> None:
    base = rows_of(photo, ["마왕족발", "미왕", "미왕", "곰탕"])
    tuned = rows_of(photo, ["마왕", "마왕족발", "마왕 족발", "설렁탕"])
    path = tmp_path / "page.html"
    write_page(path, [NamedSet("base", base), NamedSet("tuned", tuned)])
    page = path.read_text(encoding="utf-8")
    broken, fixed, missed = page.split('<section class="cards several">')[1:]
    assert "Broken: right in “base”, wrong in “tuned”" in broken
    for part, lines in ((broken, ["1"]), (fixed, ["2", "3"]), (missed, ["4"])):
        assert re.findall(r"row (\d)", part) == lines
    assert "+25.0" in page
    assert "설렁탕" in missed
    assert "곰탕" in missed


def test_other_rows_are_refused_and_leave_no_page(tmp_path: Path, photo: Path) -> None:
    sets = [NamedSet("a", rows_of(photo, ["마왕"])), NamedSet("b", rows_of(photo, ["마왕"] * 2))]
    with pytest.raises(UsageError, match="b: 1 row not in a"):
        write_page(tmp_path / "page.html", sets)
    assert list(tmp_path.glob("page*")) == []


def test_a_page_of_no_rows_says_so(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    assert write_page(path, [NamedSet("a", [])]).shown == 0
    assert "None." in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("lengths", "most", "shares"),
    [([3], 200, [3]), ([300], 200, [200]), ([500, 10, 500], 200, [95, 10, 95]), ([], 5, [])],
)
def test_lists_share_what_there_is_room_for(
    lengths: list[int], most: int, shares: list[int]
) -> None:
    assert fair_shares(lengths, most) == shares


def test_both_languages_have_words_for_all_measures_and_strata() -> None:
    korean, english = words_in("ko"), words_in("en")
    for table in ("facts", "marks", "measure", "meaning", "dimension"):
        assert getattr(korean, table).keys() == getattr(english, table).keys()
    assert {way: names.keys() for way, names in korean.stratum.items()} == {
        way: names.keys() for way, names in english.stratum.items()
    }
    assert set(RowMeasures.__struct_fields__) == english.measure.keys()
    row = scored_row(1, "마왕족발", "마왕", category="음식점")
    assert strata([row]).keys() <= english.dimension.keys()


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_words_are_left_with_braces(tmp_path: Path, photo: Path, language: Language) -> None:
    sets = [NamedSet(name, rows_of(photo, ["마왕", "마왕족발"])) for name in "ab"]
    path = tmp_path / "page.html"
    write_page(path, sets, language)
    shown = Seen(path.read_text(encoding="utf-8").split("</style>")[1]).text
    assert "{" not in shown
    assert "None" not in shown.replace("None.", "")
