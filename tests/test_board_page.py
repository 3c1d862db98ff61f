"""The board's page shows who may see it what the logs tell, as text, and does nothing else."""

import asyncio
import contextlib
import http.client
import json
import re
import subprocess
import sys
import threading
import time
from urllib.parse import urlencode, urlparse

import pytest

from reimpl_helpers.board import page as served
from reimpl_helpers.board.facts import digest_of
from reimpl_helpers.board.page import HEADERS, Readings, serve_board, socket_at
from reimpl_helpers.log import Log
from reimpl_helpers.workbook import WorkbookError

SOON = 15.0  # seconds: a poll and a reading, on two busy cores
SERVE = """
import json, sys
from pathlib import Path
from reimpl_helpers.board import page
folder, port, token, enter, hidden = json.loads(sys.argv[1])
if token:
    page.secrets.token_urlsafe = lambda length: token
page.Link.enter = enter
page.serve_board(Path(folder), port, hidden=hidden, opens_browser=False)
"""


class Served:
    """A board in a process of its own."""

    def __init__(self, folder, port=0, token="", enter="", hidden=False):
        options = json.dumps([str(folder), port, token, enter, hidden])
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE, options], stdout=subprocess.PIPE, text=True
        )
        lines = iter(self.process.stdout.readline, "")
        self.link = next(line.strip() for line in lines if "http://" in line)
        address = urlparse(self.link)
        self.port, self.token = address.port, address.query.removeprefix("token=")

    def ask(self, path="/", method="GET", host=None, cookie=None):
        """Put a request as it is, and return status, headers and text."""
        cookie = f"board-{self.port}={self.token}" if cookie is None else cookie
        return ask(self.port, path, method, {"Host": host, "Cookie": cookie})

    def facts(self, path="/facts"):
        return json.loads(self.ask(path)[2])

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def ask(port, path="/", method="GET", headers=()):
    """Put a request as it is, and return status, headers and text."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        kept = {name: value for name, value in dict(headers).items() if value}
        connection.request(method, path, headers=kept)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()


@pytest.fixture
def serve():
    """Serve boards until the end of a test."""
    boards = []

    def start(folder, **options):
        boards.append(Served(folder, **options))
        return boards[-1]

    yield start
    for board in boards:
        board.stop()


HERE = {"track": "autoencoder", "step": 1}


def begin(folder, *names, piece=None, state="wrong", **more):
    """Let a pair begin the first notebook, and perhaps check a piece; return its log."""
    log = Log(folder)
    log.append("start", **HERE)
    if names:
        log.append("turn", number=1, driver=names[0], navigator=names[1], why="start")
    if piece:
        log.append("check", **HERE, piece=piece, state=state, source="", **more)
    return log


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A folder of two pairs, and one board of it for the tests that leave it as it is."""
    folder = tmp_path_factory.mktemp("logs")
    begin(folder / "oak", "Ada", "Grace", piece="encoder", mistake="bias left out")
    begin(folder / "elm", "Joan", "Mary").append("hand", **HERE, raised=True)
    board = Served(folder)
    yield board
    board.stop()


# --- who comes in -----------------------------------------------------------------------------


def test_the_link_leaves_a_cookie_and_leads_to_an_address_without_the_token(room):
    status, headers, _ = room.ask(f"/?token={room.token}", cookie="")
    assert (status, headers["Location"]) == (302, "/")
    name, _, rest = headers["Set-Cookie"].partition("=")
    assert name == f"board-{room.port}"
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(rest.split("; "))
    status, headers, text = room.ask(cookie=headers["Set-Cookie"].partition(";")[0])
    assert status == 200 and headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<h1>Board</h1>" in text and room.token not in text


@pytest.mark.parametrize("path", ["/", "/facts", "/facts?hidden=1", "/board.js", "/nothing"])
@pytest.mark.parametrize("token", ["", "x", "ä", "' or 1=1"])
def test_nobody_comes_in_without_the_token(path, token, room):
    between = "&" if "?" in path else "?"
    for way in (path, f"{path}{between}{urlencode({'token': token})}"):
        for cookie in ("", f"board-{room.port}=", f"board-{room.port}=x", f"board={room.token}"):
            status, headers, text = room.ask(way, cookie=cookie)
            assert status == 403 and "Set-Cookie" not in headers
            assert text.startswith("The board is for who has its link.")


def test_each_start_has_a_token_of_its_own(room, serve, tmp_path):
    begin(tmp_path)
    other = serve(tmp_path)
    assert other.token != room.token and len(other.token) > 40
    assert other.ask(cookie=f"board-{other.port}={room.token}")[0] == 403


@pytest.mark.parametrize("host", ["there.test", "there.test:{port}", "127.0.0.1.test", "::1"])
def test_another_name_that_leads_here_does_not_come_in(host, room):
    host = host.format(port=room.port)
    for path in ("/", "/facts", f"/?token={room.token}"):
        status, headers, _ = room.ask(path, host=host)
        assert status == 403 and "Set-Cookie" not in headers
    assert room.ask(host=f"localhost:{room.port}")[0] == 200


def test_it_listens_on_this_machine_alone():
    with socket_at(0) as socket:
        assert socket.getsockname()[0] == "127.0.0.1"


def test_a_port_that_cannot_be_had_is_named(room, tmp_path):
    begin(tmp_path)
    for port, why in (room.port, "Address already in use"), (99999, "65535"), (-1, "65535"):
        with pytest.raises(WorkbookError, match=rf"port {port} here: .*{why}"):
            serve_board(tmp_path, port, opens_browser=False)


def test_a_folder_without_a_log_has_no_board(tmp_path):
    with pytest.raises(WorkbookError, match="holds no log"):
        serve_board(tmp_path, opens_browser=False)


@pytest.mark.parametrize("wanted", [True, False])
def test_the_browser_opens_unless_told_not_to(wanted, tmp_path, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr(served.webbrowser, "open", opened.append)
    monkeypatch.setattr(served, "listen", lambda application, socket: socket.close())
    monkeypatch.setattr(served.asyncio, "run", lambda nothing: None)
    begin(tmp_path)
    serve_board(tmp_path, opens_browser=wanted)
    said = capsys.readouterr().out
    assert re.findall(r"http://127\.0\.0\.1:\d+/\?token=\S+", said) == opened or not wanted
    assert len(opened) == wanted and "Ctrl-C stops it" in said


# --- what is answered -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path, cookie, status",
    [
        ("/", None, 200),
        ("/board.js", None, 200),
        ("/board.css", None, 200),
        ("/board.svg", None, 200),
        ("/facts", None, 200),
        ("/?token={token}", None, 302),
        ("/", "", 403),
        ("/nothing", None, 404),
        ("/?token=%ff", None, 400),
    ],
)
def test_every_answer_has_the_headers(path, cookie, status, room):
    seen, headers, _ = room.ask(path.format(token=room.token), cookie=cookie)
    assert seen == status
    assert {name: headers[name] for name in HEADERS} == HEADERS
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["form-action"] == "'none'"
    assert {policy[f"{kind}-src"] for kind in ("script", "style", "connect", "img")} == {"'self'"}
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_nothing_but_get_is_answered(method, room):
    for path in ("/", "/facts", "/board.js"):
        status, headers, _ = room.ask(path, method)
        assert status == 405 and headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/index.html", "/page.py", "/page/board.js", "/../page.py", "/%2e%2e/page.py",
        "/..%2fpage.py", "/board.js/", "//board.js", "/./board.js", "/board%2Ejs", "/BOARD.JS",
        "/facts/", "/oak", "/oak/log.jsonl", "/../oak/log.jsonl", "/etc/passwd", "//etc/passwd",
        "/..\\page.py", "/board.js%00.html",
    ],
)  # fmt: skip
def test_there_is_nothing_else(path, room):
    status, _, text = room.ask(path)
    assert (status, text) == (404, served.SENTENCES[404])


def test_facts_are_those_of_the_logs(room):
    facts = room.facts()
    assert [pair["label"] for pair in facts["pairs"]] == ["elm", "oak"]  # a hand comes first
    assert facts["pairs"][1]["names"] == ["Ada", "Grace"] and facts["enter"] == ""
    assert facts["pairs"][1]["pieces"]["autoencoder/1/encoder"]["claimed"] == "wrong"


NAMES = re.compile("Ada|Grace|Joan|Mary|oak|elm")


def test_names_are_hidden_before_they_are_sent(room, serve, tmp_path):
    assert len(set(NAMES.findall(room.ask("/facts")[2]))) == 6
    assert not NAMES.search(room.ask("/facts?hidden=1")[2])
    begin(tmp_path / "oak", "Ada", "Grace")
    hidden = serve(tmp_path, hidden=True, enter="/hub/spawn/pair-")
    for path in ("/facts", "/facts?hidden=1", "/facts?hidden=0", "/", "/board.js"):
        assert not NAMES.search(hidden.ask(path)[2])
    assert hidden.facts()["hidden"] is True and hidden.facts()["enter"] == ""


# --- how often it reads -----------------------------------------------------------------------


def facts_now(readings, hidden=False):
    return asyncio.run(readings.facts(hidden))


def test_however_many_ask_the_logs_are_read_once_in_a_while(tmp_path, monkeypatch):
    read, slow = [], threading.Event()

    def logs_in(folder):
        read.append(time.monotonic())
        slow.wait(0.3)
        return {}

    async def crowd(readings):
        beats = 0
        asked = [asyncio.ensure_future(readings.facts(bool(n % 2))) for n in range(50)]
        while not all(each.done() for each in asked):
            await asyncio.sleep(0.01)
            beats += 1
        return beats

    async def twice(readings):
        first = await crowd(readings)
        assert await crowd(readings) <= 1  # answered from the same reading
        readings.begun -= served.PAUSE
        return first, await crowd(readings)

    monkeypatch.setattr(served, "logs_in", logs_in)
    beats = asyncio.run(twice(Readings(tmp_path, (False, True))))
    assert len(read) == 2
    assert min(beats) > 5, "the event loop stood still"


def test_what_cannot_be_read_now_may_be_read_later(tmp_path, monkeypatch, caplog):
    begin(tmp_path / "oak")
    readings, read = Readings(tmp_path, (False, True)), served.logs_in
    assert [pair["label"] for pair in facts_now(readings)["pairs"]] == ["oak"]
    for error in (OSError("no disk"), OSError("no disk"), RecursionError(), None):
        readings.begun -= served.PAUSE
        monkeypatch.setattr(served, "logs_in", raising(error) if error else read)
        assert (facts_now(readings) is None) == bool(error)
    said = [record.exc_info[0] for record in caplog.records]
    assert said == [OSError, RecursionError]  # each once, however often it is met


def raising(error):
    def logs_in(folder):
        raise error

    return logs_in


def test_before_the_first_log_there_is_a_board_of_nobody(tmp_path):
    assert facts_now(Readings(tmp_path, (False, True)))["pairs"] == []


def test_a_pair_is_called_as_in_the_roster(tmp_path):
    begin(tmp_path / "pair-oak", piece="encoder", state="right")
    folder = tmp_path / ".confirmed"
    folder.mkdir()
    judged = {"autoencoder/1/encoder": {"state": "right", "of": digest_of("")}}
    (folder / "pair-oak.json").write_text(json.dumps(judged))
    (pair,) = facts_now(Readings(tmp_path, (False, True), "pair-"))["pairs"]
    assert pair["label"] == "oak"
    assert pair["pieces"]["autoencoder/1/encoder"]["confirmed"] == "right"
