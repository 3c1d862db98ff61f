"""Serve the board as a page that keeps itself up to date: to whoever has the link, on this machine.

It answers GET alone, with a page that never changes, and with facts that the page shows as text.
"""

import asyncio
import hmac
import json
import secrets
import socket
import time
import webbrowser
from datetime import UTC, datetime
from pathlib import Path

from tornado.httpserver import HTTPServer
from tornado.log import app_log
from tornado.web import Application, HTTPError, RequestHandler

from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.base.network import HERE
from reimpl_helpers.board.confirm import confirmed_in
from reimpl_helpers.board.facts import facts_of
from reimpl_helpers.board.logs import logs_in

PAUSE = 2.0  # seconds from one reading of the logs to the next, however many browsers ask
FACTS = "facts"
FILES = {  # by the address below the board's own
    "": ("index.html", "text/html"),
    "board.js": ("board.js", "text/javascript"),
    "board.css": ("board.css", "text/css"),
    "board.svg": ("board.svg", "image/svg+xml"),
}
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "connect-src": "'self'",
    "img-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",  # no text becomes markup, not even by a slip
    "trusted-types": "'none'",
}
HEADERS = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in POLICY.items()),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
SENTENCES = {
    404: "There is nothing here. The board is at the address that its link leads to.",
    405: "The board can be looked at, and takes nothing.",
    503: "The logs cannot be read at the moment. Where the board was started it says why.",
}


class Readings:
    """Read the logs beside the event loop, one reading at a time."""

    def __init__(self, folder: Path, ways: tuple[bool, ...]):
        self.folder, self.ways = folder, ways  # to show them: with names hidden, or not
        self.trouble, self.begun, self.reading = "", 0.0, None

    async def facts(self, hidden: bool) -> dict | None:
        """Say what the logs say; None when they cannot be read."""
        is_old = time.monotonic() - self.begun >= PAUSE
        if self.reading is None or self.reading.done() and is_old:
            self.begun = time.monotonic()
            self.reading = asyncio.ensure_future(asyncio.to_thread(self.read))
        found = await asyncio.shield(self.reading)
        return found and found[hidden or self.ways[0]]

    def read(self) -> dict[bool, dict] | None:
        try:
            logs, confirmed = self.logs(), confirmed_in(self.folder)
            now = datetime.now(UTC)
            found = {way: facts_of(logs, confirmed, now, hidden=way) for way in self.ways}
        except Exception as error:  # whatever it is, the next reading may be well
            if repr(error) != self.trouble:
                app_log.error("The logs in %s cannot be read.", self.folder, exc_info=True)
            self.trouble = repr(error)
            return None
        self.trouble = ""
        return found

    def logs(self):
        try:
            return logs_in(self.folder)
        except WorkbookError:  # there are none: the day has not begun
            return {}


class Board(RequestHandler):
    """Answer who was let in. Who that is, a door knows: a class before this one, by `prepare`."""

    SUPPORTED_METHODS = ("GET",)
    enter = ""  # what a link into a pair's server begins with, where there is one

    @property
    def name(self) -> str:
        """Say what is asked for, below the board's own address."""
        return self.request.path.removeprefix(self.settings["prefix"])

    def set_default_headers(self):
        for name, value in HEADERS.items():
            self.set_header(name, value)

    async def get(self):
        if self.name == FACTS:
            await self.tell_facts()
        elif self.name in FILES:
            file, kind = FILES[self.name]
            self.set_header("Content-Type", f"{kind}; charset=utf-8")
            self.write((Path(__file__).parent / "page" / file).read_bytes())
        else:
            raise HTTPError(404)

    async def tell_facts(self):
        hidden = self.get_query_argument("hidden", "") == "1"
        facts = await self.settings["readings"].facts(hidden)
        if facts is None:
            raise HTTPError(503)
        enter = "" if facts["hidden"] else self.enter
        self.set_header("Content-Type", "application/json")
        self.write(json.dumps({**facts, "enter": enter}))

    def write_error(self, status_code, **_):
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        known = {**SENTENCES, 403: self.refusal}
        self.finish(known.get(status_code, f"That did not work: {self._reason}."))


class TokenBoard(Board):
    """Let in who comes from this machine with the link's token; the first visit leaves a cookie."""

    refusal = (
        "The board is for who has its link. It is printed where the board was started, each time "
        "anew: open that one."
    )

    def prepare(self):
        if self.request.host_name not in (HERE, "localhost"):  # another name that leads here
            raise HTTPError(403)
        token, cookie = self.settings["token"], self.settings["cookie"]
        if same(self.get_query_argument("token", ""), token):
            self.set_cookie(cookie, token, httponly=True, samesite="Strict")
            self.redirect(self.settings["prefix"])
        elif not same(self.get_cookie(cookie, ""), token):
            raise HTTPError(403)


def same(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode(), secret.encode())


def application(handlers: list, readings: Readings, prefix: str, **settings) -> Application:
    """Make the application that serves the board below a prefix; the last handler gets the rest."""
    return Application(
        handlers, readings=readings, prefix=prefix, log_function=lambda handler: None, **settings
    )


async def listen(served: Application, listener: socket.socket) -> None:
    """Answer at a socket until the end."""
    server = HTTPServer(served, max_body_size=1000)
    listener.setblocking(False)
    server.add_socket(listener)
    await asyncio.Event().wait()


def serve_board(
    folder: Path, port: int = 0, hidden: bool = False, opens_browser: bool = True
) -> None:
    """Serve the board of a folder of logs to this machine, until Ctrl-C; port 0 takes a free one.

    Raises: WorkbookError when there is no log, or when the port cannot be had.
    """
    logs_in(folder)
    listener = socket_at(port)
    port, token = listener.getsockname()[1], secrets.token_urlsafe(32)
    readings = Readings(folder, (True,) if hidden else (False, True))
    secret = {"token": token, "cookie": f"board-{port}"}  # cookies are shared by all ports
    served = application([(".*", TokenBoard)], readings, "/", **secret)
    link = f"http://{HERE}:{port}/?token={token}"
    print(f"The board:\n\n    {link}\n\nIt reads the logs alone. Ctrl-C stops it.", flush=True)
    if opens_browser:
        webbrowser.open(link)
    asyncio.run(listen(served, listener))


def socket_at(port: int) -> socket.socket:
    try:
        if port not in range(2**16):
            raise OSError(None, "ports go from 0 to 65535")
        return socket.create_server((HERE, port))
    except OSError as error:
        raise WorkbookError(
            f"the board cannot have port {port} here: {error.strerror}. Stop what uses it, or "
            "name another one; without --port it takes one that is free."
        ) from error
