"""The console in a browser: `kocr-tui --web`, seen by a real one."""

import asyncio
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from PIL import Image
from tui_story import training_story

from kocr_tui.look.palette import DARK

pytest.importorskip("textual_serve", reason="textual-serve is not installed")
from browser_box import CHROMIUM, HEIGHT, WIDTH, open_browser

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason=f"not installed: {CHROMIUM}"),
]
PATIENCE_SECONDS = 60.0
NEAR = 6


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextmanager
def served(runs: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """`kocr-tui --web` on a folder of runs; what it prints goes to server.log beside that."""
    command = (sys.executable, "-m", "kocr_tui.cli", "--runs", str(runs), "--lang", "en")
    with (
        log_of(runs).open("wb") as log,
        subprocess.Popen(
            [*command, "--web", "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "KOCR_HOME": str(runs.parent), "KOCR_CONFIG": str(runs.parent)},
        ) as server,
    ):
        try:
            yield server
        finally:
            server.terminate()


def log_of(runs: Path) -> Path:
    return runs.with_name("server.log")


async def address_in(log: Path, server: subprocess.Popen[bytes]) -> str:
    """The address that the server prints once it can be visited."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := re.search(r"http://\S+", log.read_text())) is None:
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        await asyncio.sleep(0.1)
    return found[0]


def pixels_like(image: Image.Image, colour: str) -> int:
    """How many pixels have a theme's colour, give or take what rounding does."""
    wanted = tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return sum(
        count
        for count, seen in image.convert("RGB").getcolors(image.width * image.height) or []
        if all(abs(one - other) <= NEAR for one, other in zip(seen, wanted, strict=True))
    )


def shows_charts(image: Image.Image) -> bool:
    """Whether both charts' lines are in the middle of the picture, left and right."""
    top, bottom, middle = image.height // 4, image.height * 3 // 5, image.width // 2
    left = image.crop((0, top, middle, bottom))
    right = image.crop((middle, top, image.width, bottom))
    return pixels_like(left, DARK.primary) > 100 and pixels_like(right, DARK.success or "") > 100


async def test_a_browser_shows_the_charts_of_a_run(tmp_path: Path) -> None:
    runs, port = tmp_path / "runs", free_port()
    training_story(runs)
    with served(runs, port) as server:
        address = await address_in(log_of(runs), server)
        async with open_browser(tmp_path / "profile") as browser:
            await browser.open(address)
            await browser.until_received("signs", "11-24 16:00")
            await browser.press_enter()
            await browser.until_received("Loss", "Accuracy", "마왕족발")
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not shows_charts(image := await browser.screenshot()):
                assert time.monotonic() < deadline, "no charts in the screenshot"
            own = f"http://127.0.0.1:{port}/"
            assert [url for url in browser.asked if not url.startswith((own, "data:"))] == []
            assert f"{address}static/js/textual.js" in browser.asked
        image.save(tmp_path / "charts.png")
        consoles = psutil.Process(server.pid).children(recursive=True)
    assert image.size == (WIDTH, HEIGHT)
    assert pixels_like(image, DARK.background or "") > WIDTH * HEIGHT // 3
    assert len(image.convert("RGB").getcolors(WIDTH * HEIGHT) or []) > 50
    _gone, left = psutil.wait_procs(consoles, timeout=PATIENCE_SECONDS)
    assert left == [], "a console has outlived its browser"
