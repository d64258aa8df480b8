"""The console in a browser: a server on the loopback address, a console for every visit."""

import argparse
import platform
import secrets
import shlex
import sys
from pathlib import Path

import aiohttp_jinja2
from aiohttp import web
from aiohttp.typedefs import Handler
from textual_serve.server import Server

from core.errors import UsageError
from kocr_tui.look.palette import DARK
from kocr_tui.strings import say

HOST = "127.0.0.1"
DEFAULT_PORT = 8765
_HOSTS = frozenset({HOST, "localhost", "::1"})


async def _refuse_other_hosts(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A page whose name was made to lead here (DNS rebinding) gives that name as the host."""
    if request.url.host not in _HOSTS:
        raise web.HTTPForbidden
    return await handler(request)


class ConsoleServer(Server):  # type: ignore[misc]
    """textual-serve below a secret path, since every user of the box can open a loopback port.

    The page is the console's own: it asks no other host for anything, and takes keys at once.
    """

    def __init__(self, command: str, port: int) -> None:
        templates = Path(__file__).with_name("templates")
        super().__init__(command, host=HOST, port=port, title="kocr-tui", templates_path=templates)
        self.secret = secrets.token_urlsafe(24)

    @property
    def address(self) -> str:
        """What to type into the browser."""
        return f"http://{self.host}:{self.port}/{self.secret}/"

    async def _make_app(self) -> web.Application:
        outer = web.Application(middlewares=[web.middleware(_refuse_other_hosts)])
        inner = await super()._make_app()
        aiohttp_jinja2.get_env(inner).globals.update(say=say, look=DARK)
        outer.add_subapp(f"/{self.secret}", inner)
        return outer

    async def on_startup(self, app: web.Application) -> None:
        """Says nothing: the address is told once somebody listens there."""

    def listen(self) -> None:
        """Serves until Ctrl+C or SIGTERM; no request is logged, since its path is the secret."""
        web.run_app(
            self._make_app(),
            host=self.host,
            port=self.port,
            print=lambda _line: self._tell(),
            access_log=None,
        )

    def _tell(self) -> None:
        print(say("web.address", url=self.address))
        print(say("web.tunnel", port=self.port, machine=platform.node()))
        print(say("web.secret"), flush=True)


def serve(options: argparse.Namespace) -> int:
    """Serves the console until Ctrl+C; raises UsageError where the port can't be opened."""
    port = options.port or DEFAULT_PORT
    server = ConsoleServer(shlex.join(console_command(options)), port)
    try:
        server.listen()
    except OSError as error:
        raise UsageError(say("web.taken", port=port, reason=error.strerror)) from error
    return 0


def console_command(options: argparse.Namespace) -> list[str]:
    """The command of one console, with the options that this one was given."""
    command = [sys.executable, "-m", "kocr_tui.cli"]
    for name in ("runs", "lang", "theme"):
        if (value := getattr(options, name)) is not None:
            command += [f"--{name}", value]
    return command + (["--ascii"] if options.ascii else [])
