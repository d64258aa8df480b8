"""A headless Chromium, told what to do by its DevTools protocol."""

import asyncio
import base64
import io
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from PIL import Image

CHROMIUM = "/usr/bin/chromium"
WIDTH, HEIGHT = 1280, 800
PATIENCE_SECONDS = 60.0
_TICK_SECONDS = 0.1
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)


class Browser:
    """One page; ``received`` is what its websockets brought, ``asked`` the addresses it asked.

    ``complaints`` are what the browser says of it: what can't be had, and what its policy forbids.
    """

    def __init__(self, devtools: aiohttp.ClientWebSocketResponse) -> None:
        self._devtools = devtools
        self._calls = 0
        self.received = b""
        self.asked: list[str] = []
        self.complaints: list[str] = []

    async def open(self, address: str) -> None:
        """Goes to a page, with a window of a known size."""
        await self._call("Network.enable")
        await self._call("Log.enable")
        size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        await self._call("Emulation.setDeviceMetricsOverride", **size)
        await self._call("Emulation.setFocusEmulationEnabled", enabled=True)
        await self._call("Page.navigate", url=address)

    async def until_loaded(self) -> None:
        """Waits until the page and all that is in it is there."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while await self._value("document.readyState") != "complete":
            assert time.monotonic() < deadline, "the page does not load"
            await asyncio.sleep(_TICK_SECONDS)

    async def scroll_to(self, selector: str) -> None:
        """Brings the first element that a CSS selector finds to the top of the window."""
        await self._value(f"document.querySelector({selector!r}).scrollIntoView()")

    async def press_enter(self) -> None:
        """Presses the enter key."""
        key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
        await self._call("Input.dispatchKeyEvent", type="keyDown", text="\r", **key)
        await self._call("Input.dispatchKeyEvent", type="keyUp", **key)

    async def until_received(self, *texts: str) -> None:
        """Waits until the websockets have brought all texts."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not all(text.encode() in self.received for text in texts):
            assert time.monotonic() < deadline, self.received[-3000:].decode(errors="replace")
            await asyncio.sleep(_TICK_SECONDS)
            await self._call("Page.getFrameTree")

    async def screenshot(self) -> Image.Image:
        """What the window shows now."""
        taken = await self._call("Page.captureScreenshot", format="png")
        return Image.open(io.BytesIO(base64.b64decode(taken["data"])))

    async def _value(self, expression: str) -> object:
        found = await self._call("Runtime.evaluate", expression=expression)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def _call(self, method: str, **parameters: object) -> dict[str, Any]:
        self._calls += 1
        await self._devtools.send_json({"id": self._calls, "method": method, "params": parameters})
        while True:
            message = await self._devtools.receive_json(timeout=PATIENCE_SECONDS)
            if message.get("method") == "Network.webSocketFrameReceived":
                self._take(message["params"]["response"])
            if message.get("method") == "Network.requestWillBeSent":
                self.asked.append(message["params"]["request"]["url"])
            if message.get("method") == "Log.entryAdded":
                self.complaints.append(message["params"]["entry"]["text"])
            if message.get("id") == self._calls:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result

    def _take(self, frame: dict[str, Any]) -> None:
        """Chromium hands binary frames over in base 64."""
        data = frame["payloadData"]
        self.received += base64.b64decode(data) if frame["opcode"] == 2 else data.encode()


@asynccontextmanager
async def open_browser(profile: Path) -> AsyncIterator[Browser]:
    """A browser with an empty profile in a new folder, ended with the block."""
    command = [CHROMIUM, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet) as process:
        try:
            port = await _devtools_port(profile / "DevToolsActivePort")
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json") as answer:
                    targets = await answer.json(content_type=None)
                [address] = [
                    target["webSocketDebuggerUrl"]
                    for target in targets
                    if target["url"] == "about:blank"
                ]
                async with session.ws_connect(address, max_msg_size=0) as devtools:
                    yield Browser(devtools)
        finally:
            process.terminate()


async def _devtools_port(file: Path) -> int:
    """Chromium writes the port it has chosen, and a path below it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not file.exists() or "\n" not in file.read_text():
        assert time.monotonic() < deadline, "chromium does not start"
        await asyncio.sleep(_TICK_SECONDS)
    return int(file.read_text().splitlines()[0])
