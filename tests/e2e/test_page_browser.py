"""The page of predictions in a real browser: it renders, and asks for nothing but itself."""

from pathlib import Path

import pytest
from browser_box import CHROMIUM, HEIGHT, WIDTH, open_browser
from PIL import Image
from scored_rows import scored_row

from core.evaluate.page.sets import NamedSet
from core.evaluate.page.write import write_page

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason=f"not installed: {CHROMIUM}"),
]
PHOTO = (250, 20, 200)
REPLIES = ("<script>alert(1)</script>", "미왕족발", "마왕족발")


async def test_a_browser_shows_figures_charts_and_photos(tmp_path: Path) -> None:
    Image.new("RGB", (400, 300), PHOTO).save(tmp_path / "sign.png")
    rows = [
        scored_row(line, "마왕족발", reply, image=tmp_path / "sign.png")
        for line, reply in enumerate(REPLIES, start=1)
    ]
    page = tmp_path / "page.html"
    write_page(page, [NamedSet("tuned", rows)], "ko")
    async with open_browser(tmp_path / "profile") as browser:
        await browser.open(page.as_uri())
        await browser.until_loaded()
        top = await browser.screenshot()
        await browser.scroll_to("article")
        cards = await browser.screenshot()
        assert browser.complaints == []
        assert [address for address in browser.asked if not address.startswith("data:")] == [
            page.as_uri()
        ]
    assert top.size == (WIDTH, HEIGHT)
    assert len(top.convert("RGB").getcolors(WIDTH * HEIGHT) or []) > 50
    near = [
        count
        for count, seen in cards.convert("RGB").getcolors(WIDTH * HEIGHT) or []
        if all(abs(one - other) < 8 for one, other in zip(seen, PHOTO, strict=True))
    ]
    assert sum(near) > 20_000
