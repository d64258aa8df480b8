"""The console in a browser: loopback alone, behind a secret path."""

import argparse
import asyncio
import os
import re
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kocr_tui import cli

aiohttp = pytest.importorskip("aiohttp")
pytest.importorskip("textual_serve")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def served(runs: Path) -> AsyncIterator[tuple[str, int, list[str]]]:
    """A server's address and port, and the lines that it has printed."""
    port = free_port()
    command = [sys.executable, "-m", "kocr_tui.cli", "--runs", str(runs), "--lang", "en"]
    server = await asyncio.create_subprocess_exec(
        *command, "--web", "--port", str(port),
        stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2], env=dict(os.environ),
    )  # fmt: skip
    assert server.stdout is not None
    try:
        reading = [await asyncio.wait_for(server.stdout.readline(), 60) for _ in range(3)]
        lines = [line.decode() for line in reading]
        address = re.search(r"http://\S+", lines[0])
        assert address is not None, lines
        yield address[0], port, lines
        server.terminate()
        assert await asyncio.wait_for(server.wait(), 30) == 0
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()


async def hosts_named(client: "aiohttp.ClientSession", page: str) -> set[str]:
    """The hosts but the server's own that a page and its style sheets could ask for anything."""
    sheets = re.findall(r'<link rel="stylesheet" href="([^"]+)"', page)
    assert sheets
    texts = [page]
    for sheet in sheets:
        async with client.get(sheet) as answer:
            assert answer.status == 200
            texts.append(re.sub(r"/\*.*?\*/", "", await answer.text(), flags=re.DOTALL))
    named = re.findall(r"//([\w.-]+\.[\w-]+)", "\n".join(texts))
    return set(named) - {"127.0.0.1"}


async def test_the_secret_address_shows_the_console_and_no_other_does(runs: Path) -> None:
    runs.mkdir()
    async with served(runs) as (address, port, lines), aiohttp.ClientSession() as client:
        assert f"ssh -L {port}:127.0.0.1:{port}" in lines[1]
        for path in ("", "ws", "static/js/textual.js", "guess/", "guess/ws"):
            async with client.get(f"http://127.0.0.1:{port}/{path}") as answer:
                assert answer.status == 404, path
        rebound = {"Host": f"evil.example:{port}"}
        async with client.get(address, headers=rebound) as answer:
            assert answer.status == 403
        async with client.get(address) as answer:
            page = await answer.text()
        assert "The console has ended." in page
        assert await hosts_named(client, page) == set()
        socket_address = re.search(r'data-session-websocket-url="(\S+)"', page)
        assert socket_address is not None
        async with client.ws_connect(f"{socket_address[1]}?width=80&height=24") as socket_:
            drawn = b""
            while b"No runs in" not in drawn:
                message = await asyncio.wait_for(socket_.receive(), 60)
                drawn += message.data if isinstance(message.data, bytes) else b""


async def test_it_listens_on_the_loopback_address_alone(runs: Path) -> None:
    runs.mkdir()
    async with served(runs) as (_address, port, _lines):
        listening = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
        bound = re.findall(rf"([0-9A-F]+):{port:04X} \S+ 0A ", listening)
        assert bound == ["0100007F"]


def test_a_port_that_is_taken_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert cli.main(["--web", "--port", str(port), "--lang", "en"]) == 2
    written = capsys.readouterr()
    assert written.out == ""
    (line,) = written.err.splitlines()
    assert line.startswith(f"kocr-tui: port {port} can't be opened: ")


def test_options_go_on_to_the_console() -> None:
    from kocr_tui.web import console_command

    options = argparse.Namespace(runs="/a b", lang="ko", theme="light", ascii=True)
    assert console_command(options)[3:] == [
        "--runs", "/a b", "--lang", "ko", "--theme", "light", "--ascii",
    ]  # fmt: skip
