"""The board's page shows who may see it what the logs tell, as text, and does nothing else."""

import asyncio
import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlencode, urlparse

import pytest
from browser import needs_chromium, wait_for

from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.base.people import is_name
from reimpl_helpers.board import page as served
from reimpl_helpers.board.facts import digest_of
from reimpl_helpers.board.page import HEADERS, Readings, serve_board, socket_at
from reimpl_helpers.pair.log import Log

SOON = 30.0  # seconds for a reading, every 2, and a poll, every 3, on two busy cores
SERVE = """
import json, sys
from pathlib import Path
from reimpl_helpers.board import page
folder, port, token, enter, hidden = json.loads(sys.argv[1])
if token:
    page.secrets.token_urlsafe = lambda length: token
page.TokenBoard.enter = enter
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


def test_a_pair_is_called_as_in_the_roster_whatever_that_begins_with(tmp_path):
    begin(tmp_path / "pair-1", piece="encoder", state="right")
    folder = tmp_path / ".confirmed"
    folder.mkdir()
    judged = {"autoencoder/1/encoder": {"state": "right", "of": digest_of("")}}
    (folder / "pair-1.json").write_text(json.dumps(judged))
    (pair,) = facts_now(Readings(tmp_path, (False, True)))["pairs"]
    assert pair["label"] == "pair-1"
    assert pair["pieces"]["autoencoder/1/encoder"]["confirmed"] == "right"


# --- on a hub -----------------------------------------------------------------------------------

MINE = "access:services!service=board"  # what a facilitator's role allows
PEOPLE = {  # by their tokens
    "facilitator": {"name": "Grace", "kind": "user", "scopes": [MINE]},
    "pair": {"name": "Ada", "kind": "user", "scopes": ["access:servers!user=pair-oak"]},
    "other": {"name": "Joan", "kind": "user", "scopes": ["access:services!service=culler"]},
}


class Hub(BaseHTTPRequestHandler):
    """Say of tokens whose they are, as a hub does; a code is good for the token of its name."""

    def do_POST(self):
        said = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.answer(200, {"access_token": said["code"][0]})

    def do_GET(self):
        token = self.headers["Authorization"].removeprefix("token ")
        self.answer(200 if token in PEOPLE else 403, PEOPLE.get(token, {}))

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """The board as a service of a hub that is not there; its port."""
    pytest.importorskip("jupyterhub", reason="needs JupyterHub: the extra `hub`")
    logs = tmp_path_factory.mktemp("logs")
    begin(logs / "oak", "Ada", "Grace")
    with socket_at(0) as free:
        port = free.getsockname()[1]
    hub = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    told = {
        "API_TOKEN": "of the service",
        "API_URL": f"http://127.0.0.1:{hub.server_port}/hub/api",
        "BASE_URL": "/",
        "CLIENT_ID": "service-board",
        "OAUTH_ACCESS_SCOPES": json.dumps([MINE]),
        "OAUTH_CALLBACK_URL": "/services/board/oauth_callback",
        "SERVICE_NAME": "board",
        "SERVICE_PREFIX": "/services/board/",
        "SERVICE_URL": f"http://127.0.0.1:{port}",
    }
    environment = os.environ | {f"JUPYTERHUB_{name}": value for name, value in told.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "reimpl_helpers.hub.board", logs],
        env=environment, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for(lambda: answers(port), what="the service")
    yield port
    process.kill()
    process.wait()
    hub.shutdown()
    hub.server_close()


def answers(port):
    with contextlib.suppress(OSError):
        return ask(port, "/services/board/board.css")[0]


class Visitor:
    """A browser without its pictures: keeps cookies, and says from where it asks."""

    def __init__(self, port):
        self.port, self.cookies = port, {}

    def ask(self, path="", **headers):
        """Ask for something below the board's address."""
        kept = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = ask(self.port, f"/services/board/{path}", "GET", {"Cookie": kept, **headers})
        for cookie in answer[1].get_all("Set-Cookie", []):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer

    def log_in(self, code):
        """Go to the hub's login, as the board asks, and come back with a code."""
        status, headers, _ = self.ask(Sec_Fetch_Mode="navigate")
        asked = parse_qs(urlparse(headers["Location"]).query)
        assert status == 302 and headers["Location"].startswith("/hub/api/oauth2/authorize?")
        back = urlencode({"code": code, "state": asked["state"][0]})
        return self.ask(f"oauth_callback?{back}", Sec_Fetch_Mode="navigate")

    def facts(self, **headers):
        proof = self.cookies.get("_xsrf", "")
        return self.ask("facts", **{"X_XSRFToken": proof, "Sec_Fetch_Mode": "cors", **headers})


@pytest.mark.slow
def test_a_hub_lets_in_the_facilitator(service):
    visitor = Visitor(service)
    status, headers, _ = visitor.log_in("facilitator")
    assert (status, headers["Location"]) == (302, "/services/board/")
    status, headers, text = visitor.ask(Sec_Fetch_Mode="navigate")
    assert status == 200 and "<h1>Board</h1>" in text
    assert {name: headers[name] for name in HEADERS} == HEADERS
    status, _, text = visitor.facts()
    facts = json.loads(text)
    assert [pair["label"] for pair in facts["pairs"]] == ["oak"]
    assert facts["enter"] == "/hub/spawn/pair-"
    for path in ("board.js", "board.css"):
        assert visitor.ask(path, Sec_Fetch_Mode="no-cors", Sec_Fetch_Site="same-origin")[0] == 200
    assert visitor.ask("../board.js")[0] == visitor.ask("facts/")[0] == 404


@pytest.mark.slow
@pytest.mark.parametrize("code", ["pair", "other", "nobody"])
def test_a_hub_lets_in_nobody_else(code, service):
    visitor = Visitor(service)
    visitor.log_in(code)
    for path in ("facts", "facts?hidden=1", "board.js", "nothing"):
        status, headers, text = visitor.ask(path)
        assert status == 403 and "oak" not in text
        assert {name: headers[name] for name in HEADERS} == HEADERS
    assert visitor.ask(Sec_Fetch_Mode="navigate")[0] == (302 if code == "nobody" else 403)
    bearer = visitor.ask("facts", Authorization=f"token {code}")
    assert bearer[0] == 403


@pytest.mark.slow
def test_a_login_that_the_board_did_not_ask_for_is_refused(service):
    honest, other = Visitor(service), Visitor(service)
    assert honest.ask("oauth_callback?code=facilitator")[0] == 400
    assert honest.ask("oauth_callback?code=facilitator&state=x")[0] == 403
    _, headers, _ = honest.ask()
    state = parse_qs(urlparse(headers["Location"]).query)["state"][0]
    assert other.ask(f"oauth_callback?code=facilitator&state={state}")[0] == 403
    assert not [name for name in other.cookies if name == "service-board"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "headers",
    [
        {"X_XSRFToken": ""},
        {"X_XSRFToken": "x"},
        {"X_XSRFToken": "", "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Site": "same-origin"},
        {"X_XSRFToken": "", "Sec_Fetch_Mode": "navigate"},
        {"X_XSRFToken": "", "Sec_Fetch_Mode": ""},
    ],
)
def test_a_page_of_a_pairs_server_learns_nothing_from_the_facilitators_login(headers, service):
    visitor = Visitor(service)
    visitor.log_in("facilitator")
    visitor.ask(Sec_Fetch_Mode="navigate")
    assert visitor.facts()[0] == 200
    status, _, text = visitor.facts(**headers)
    assert status == 403 and "oak" not in text


# --- what stands on it ------------------------------------------------------------------------


@pytest.fixture
def look(chromium, request):
    """Open boards in a browser; no page may raise an error or break the policy."""
    contexts, said = [], []

    def open_board(board, path=""):
        context = chromium.new_context(viewport={"width": 1280, "height": 800})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("console", lambda message: said.append(message.text))
        page.goto(board.link)
        if path:
            page.goto(board.link.partition("?")[0] + path)
        page.wait_for_selector("tbody tr, #nobody:not([hidden]), #trouble:not([hidden])")
        return page

    yield open_board
    for context in contexts:
        context.close()
    lost = "Failed to load resource"  # what a browser says of a server that is gone
    assert getattr(request.node, "call_failed", False) or not [
        text for text in said if not text.startswith(lost)
    ]


def sees(page, selector, text):
    """Wait until an element holds a text."""

    def there():
        return any(text in found for found in page.locator(selector).all_inner_texts())

    wait_for(there, SOON, f"{text!r} in {selector}")


def cell(page, pair, piece):
    """Find a cell by the heads of its row and its column."""
    heads = [head.text_content() for head in page.locator("thead th span:first-child").all()]
    row = page.locator("tbody tr", has=page.locator(f"th b:text-is('{pair}')"))
    return row.locator("td").nth(heads.index(piece) + 1)


@pytest.mark.slow
@needs_chromium
def test_a_board_tells_claimed_from_confirmed_and_both_from_refuted(serve, look, tmp_path):
    log = begin(tmp_path / "oak", "Ada", "Grace")
    for piece, state in [
        ("numpy_counterparts", "right"), ("nn_layer", "right"), ("encoder", "right"),
        ("decoder", "wrong"), ("decoder", "wrong"), ("autoencoder", "not written yet"),
    ]:  # fmt: skip
        log.append("check", **HERE, piece=piece, state=state, source=piece)
    (tmp_path / ".confirmed").mkdir()
    judged = {
        f"autoencoder/1/{piece}": {"state": state, "of": digest_of(source)}
        for piece, state, source in [
            ("numpy_counterparts", "right", "numpy_counterparts"),
            ("nn_layer", "wrong", "nn_layer"),
            ("encoder", "right", "another text"),
        ]
    }
    (tmp_path / ".confirmed" / "oak.json").write_text(json.dumps(judged))
    page = look(serve(tmp_path))
    for piece, mark, words in [
        ("numpy_counterparts", "✓✓", "right and confirmed, 1 attempt"),
        ("nn_layer", "✓✗", "said to be right, but judged wrong, 1 attempt"),
        ("encoder", "✓", "right, says their kernel, 1 attempt"),
        ("decoder", "✗", "wrong, 2 attempts"),
        ("autoencoder", "○", "not written yet, they are here"),
    ]:
        found = cell(page, "oak", piece)
        assert found.locator(".mark").first.inner_text() == mark
        assert found.locator(".unseen").inner_text() == words
    seen = [cell(page, "oak", name).locator(".cell") for name in ("decoder", "autoencoder")]
    assert [each.inner_text().split() for each in seen] == [["✗", "2×"], ["○", "here"]]
    assert page.locator("tbody .right").inner_text() == "2 of 5"


@pytest.mark.slow
@needs_chromium
def test_what_happens_is_seen_soon_and_what_is_there_stays(serve, look, tmp_path):
    log = begin(tmp_path / "oak", "Ada", "Grace")
    elm = begin(tmp_path / "elm", "Joan", "Mary", piece="encoder", mistake="tanh left out")
    page = look(serve(tmp_path, enter="/hub/spawn/pair-"))
    page.locator("th a", has_text="oak").focus()
    page.evaluate("window.rows = [...document.querySelectorAll('tbody tr')]")
    log.append("check", **HERE, piece="encoder", state="wrong", source="", mistake="tanh left out")
    sees(page, "#mistakes .who", "2 pairs: elm, oak")
    assert page.locator("#mistakes q").inner_text() == "What does the original do last to a code?"
    log.append("hand", **HERE, raised=True)
    sees(page, "#hands li", "oak Ada, Grace just now")
    sees(page, "#news", "oak raised a hand.")
    assert page.title() == "(1) Board"
    assert page.locator("tbody th b").all_inner_texts() == ["oak", "elm"]  # a hand comes first
    assert page.evaluate("document.activeElement.textContent") == "oak"
    assert page.evaluate("rows.every(row => row.isConnected)")
    log.append("check", **HERE, piece="encoder", state="right", source="")
    sees(page, "#news", "The hand of oak is down.")
    assert page.locator("#no-hands").is_visible()
    elm.append("check", **HERE, piece="encoder", state="right", source="")
    sees(page, "#mistakes", "No pair is at a mistake that the workbook knows.")
    begin(tmp_path / "ash")
    sees(page, "tbody th", "ash")
    (tmp_path / "ash" / "log.jsonl").unlink()
    wait_for(lambda: page.locator("tbody tr").count() == 2, SOON, "two rows")
    assert page.evaluate("rows.every(row => row.isConnected)")


@pytest.mark.slow
@needs_chromium
def test_the_notebook_is_where_most_pairs_are_until_one_is_chosen(serve, look, tmp_path):
    logs = [begin(tmp_path / name) for name in ("oak", "elm", "ash")]
    page = look(serve(tmp_path))
    pressed = "#notebooks [aria-pressed=true]"
    sees(page, pressed, "1 The forward pass 3 pairs")
    for log in logs[:2]:
        log.append("start", track="gnn", step=2)
    sees(page, pressed, "2 Shapes 2 pairs")
    assert page.locator("#track select").input_value() == "gnn"
    sees(page, "#caption", "gnn, 2 Shapes")
    sees(page, "tbody tr", "in autoencoder, 1 The forward pass")
    page.locator("#track select").select_option("autoencoder")
    sees(page, "#caption", "autoencoder, 1 The forward pass")
    page.locator("#notebooks button", has_text="Unit tests").press("Enter")
    sees(page, "#caption", "autoencoder, 4 Unit tests")
    logs[2].append("score", track="autoencoder", step=4, caught=7, mistakes=12)
    sees(page, "tbody tr", "tests catch 7 of 12")
    sees(page, "#caption", "autoencoder, 4 Unit tests")


def line(minutes_ago, kind="start", **fields):
    """Write an event of some minutes ago as a line of a log."""
    at = datetime.now(UTC) - timedelta(minutes=minutes_ago)
    return json.dumps({"at": at.isoformat(), "event": kind, **HERE, **fields}) + "\n"


@pytest.mark.slow
@needs_chromium
def test_who_waits_who_is_quiet_and_what_takes_long_is_said(serve, look, tmp_path):
    encoder = {"piece": "encoder", "state": "wrong", "source": ""}
    lines = [line(200), line(32, "check", **encoder), line(22, "check", **encoder)]
    (tmp_path / "oak.jsonl").write_text("".join([*lines, line(12, "hand", raised=True)]))
    (tmp_path / "elm.jsonl").write_text(line(9) + line(1, "check", **encoder))
    (tmp_path / "ash.jsonl").symlink_to("oak.jsonl")
    page = look(serve(tmp_path))
    oak, elm = (
        cell(page, pair, "encoder").locator(".cell").inner_text() for pair in ("oak", "elm")
    )
    assert oak.split() == ["✗", "2×", "▲", "20", "min", "here"]  # 7 are planned
    assert elm.split() == ["✗", "1×", "8", "min", "here"]
    heads = page.locator("tbody th").all_inner_texts()
    assert "hand up 12 min" in heads[0] and "quiet for 12 min" in heads[0]
    assert "⚠" in heads[1] and heads[1].startswith("ash")
    assert "quiet" not in heads[2] and "⚠" not in heads[2]


@pytest.mark.slow
@needs_chromium
def test_names_are_hidden_at_once_and_stay_hidden(serve, look, tmp_path):
    begin(tmp_path / "oak", "Ada", "Grace", piece="encoder", mistake="tanh left out")
    begin(tmp_path / "elm", "Joan", "Mary").append("hand", **HERE, raised=True)
    page = look(serve(tmp_path))
    assert len(set(NAMES.findall(page.content()))) == 6
    page.route("**/facts*", lambda route: None)  # no answer yet
    page.get_by_role("button", name="Hide names").click()
    assert not NAMES.search(page.content())
    assert not page.locator("nav button").first.is_visible()  # which would show them once more
    page.unroute("**/facts*")
    page.reload()
    sees(page, "tbody th", "pair 1")
    sees(page, "#mistakes .who", "1 pair: pair 2")
    assert not NAMES.search(page.content())
    page.get_by_role("button", name="Show names").click()
    sees(page, "tbody th", "oak Ada, Grace")


@pytest.mark.slow
@needs_chromium
def test_names_that_the_server_hides_cannot_be_shown(serve, look, tmp_path):
    begin(tmp_path / "oak", "Ada", "Grace")
    page = look(serve(tmp_path, hidden=True))
    sees(page, "tbody th", "pair 1")
    assert not page.locator("#hide").is_visible() and not NAMES.search(page.content())


@pytest.mark.slow
@needs_chromium
def test_a_board_says_since_when_it_is_stale(serve, look, tmp_path):
    log = begin(tmp_path / "oak", "Ada", "Grace")
    board = serve(tmp_path, token="of-the-first")
    page, trouble = look(board), "#trouble:not([hidden])"
    assert not page.locator(trouble).count()
    board.stop()
    sees(page, trouble, "gives no answer. Is it still running? What you see is from ")
    assert page.locator("tbody tr").count() == 1
    again = serve(tmp_path, port=board.port, token="of-the-first")
    page.wait_for_selector("#trouble", state="hidden")
    again.stop()
    sees(page, trouble, "gives no answer")
    serve(tmp_path, port=board.port)
    sees(page, trouble, "The board is for who has its link.")
    log.append("hand", **HERE, raised=True)
    assert page.locator("#no-hands").is_visible()


@needs_chromium
def test_before_the_first_pair_the_board_says_what_it_waits_for(serve, look, tmp_path):
    log = begin(tmp_path / "oak")
    board = serve(tmp_path)
    log.path.unlink()
    page = look(board)
    sees(page, "#nobody", "No pair yet.")
    begin(tmp_path / "oak")
    sees(page, "tbody th", "oak")


@pytest.mark.slow
@needs_chromium
def test_a_board_is_a_table_that_can_be_read_aloud_and_used_without_a_mouse(serve, look, tmp_path):
    begin(tmp_path / "oak", "Ada", "Grace", piece="encoder")
    page = look(serve(tmp_path))
    assert page.get_by_role("table", name="autoencoder, 1 The forward pass").count() == 1
    assert page.get_by_role("rowheader", name="oak Ada, Grace").count() == 1
    assert page.get_by_role("columnheader").count() == 7
    assert page.get_by_role("cell", name="wrong, 1 attempt, they are here", exact=True).count() == 1
    reached = []
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.id || document.activeElement.innerText")
        )
    assert reached[0] == "hide" and reached[1].startswith("1 The") and "room" in reached


# --- what stands in a log does nothing ----------------------------------------------------------

UNSAFE = {  # what a careless page would do with a text, and what then is no text any more
    "<p>{}</p>": [
        "<script>alert(1)</script>",
        "</script><script>alert(1)</script>",
        "<SCRIPT>alert(1)</SCRIPT >",
        "<script/x>alert(1)</script>",
        "<script src=//elsewhere.test></script>",
        "<img src=x onerror=alert(1)>",
        "<img src=x onerror=alert`1`>",
        "<IMG SRC=x ONERROR=alert(1)>",
        "<img/src='x'onerror=alert(1)>",
        "<img src=x onerror='alert(1)'",
        "<img src=//elsewhere.test/x>",
        "<svg onload=alert(1)>",
        "<svg/onload=alert(1)>",
        "<svg><script>alert(1)</script></svg>",
        "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
        "<math><mi/xlink:href=x><img src=x onerror=alert(1)>",
        "<body onload=alert(1)>",
        "<details open ontoggle=alert(1)>",
        "<video><source onerror=alert(1)></video>",
        "<audio src=x onerror=alert(1)>",
        "<input autofocus onfocus=alert(1)>",
        "<iframe src=javascript:alert(1)>",
        "<iframe srcdoc='<script>alert(1)</script>'>",
        "<object data=//elsewhere.test/x></object>",
        "<embed src=//elsewhere.test/x>",
        "<link rel=stylesheet href=//elsewhere.test>",
        "<base href=//elsewhere.test><img src=x>",
        "<meta http-equiv=refresh content='0;//elsewhere.test'>",
        "<form action=//elsewhere.test></form><script>document.forms[0].submit()</script>",
        "<style>@import'//elsewhere.test/x';</style>",
        "<!--><script>alert(1)</script>",
        "]]><script>alert(1)</script>",
        "\u202e<img src=x onerror=alert(1)>",
        "\x00<img src=x onerror=alert(1)>",
    ],
    "<style>{}</style>": ["</style><script>alert(1)</script>"],
    "<title>{}</title>": ["</title><script>alert(1)</script>"],
    "<textarea>{}</textarea>": ["</textarea><script>alert(1)</script>"],
    "<!-- {} -->": ["--><script>alert(1)</script>"],
    '<input value="{}">': [
        '"><script>alert(1)</script>',
        '" onmouseover=alert(1) autofocus onfocus=alert(1) x="',
    ],
    "<input value='{}'>": [
        "'><script>alert(1)</script>",
        "' autofocus onfocus=alert(1) tabindex=1 x='",
    ],
    "<img alt={}>": ["x onerror=alert(1) src=x"],
    '<p style="{}">x</p>': ["background:url(//elsewhere.test/x)"],
    '<iframe src="{}"></iframe>': [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java\tscript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
    ],
    '<iframe srcdoc="{}"></iframe>': ["&lt;script&gt;alert(1)&lt;/script&gt;"],
    '<script>var x = "{}"</script>': ['";alert(1);//', '"-alert(1)-"'],
    '<script>var x = [{y: "{}"}]</script>': ['"}];alert(1);//'],
    "<script>var x = '{}'</script>": ["';alert(1);//"],
    "<script>var x = `{}`</script>": ["`;alert(1);//", "${alert(1)}"],
    "<script>// {}</script>": ["\u2028alert(1)//"],
    '<script>document.write("{}")</script>': [
        "\\x3cimg src=x onerror=alert(1)\\x3e",
        "\\u003cimg src=x onerror=alert(1)\\u003e",
    ],
    '<script>document.write("{}".normalize("NFKC"))</script>': ["＜img src=x onerror=alert(1)＞"],
    "<b id=t>{}</b><script>Function(t.innerText.match(/{{(.*)}}/)[1])()</script>": [
        "{{constructor.constructor('alert(1)')()}}"
    ],
}
SCRIPTS = {script: use for use, scripts in UNSAFE.items() for script in scripts}
WATCH = """
window.alert = (what) => console.log("FIRED " + what);
const say = (event) => console.log("BROKE " + event.violatedDirective);
addEventListener("securitypolicyviolation", say);
"""


class Watch:
    """Note whatever a page does beyond showing text."""

    def __init__(self, context, home):
        self.home, self.noted = home, []
        context.add_init_script(WATCH)
        context.on("page", self.watch)
        context.on("request", self.see_request)
        context.route(lambda address: not address.startswith(home), lambda route: route.abort())

    def watch(self, page):
        page.on("dialog", self.see_dialog)
        page.on("pageerror", lambda error: self.noted.append(f"ERROR {error}"))
        page.on("console", lambda message: self.noted.append(message.text))

    def see_dialog(self, dialog):
        self.noted.append(f"FIRED {dialog.message}")
        dialog.dismiss()

    def see_request(self, request):
        if not request.url.startswith((self.home, "data:", "about:", "blob:")):
            self.noted.append(f"ASKED {request.url}")

    def has_fired(self):
        return any(note.startswith(("FIRED", "ASKED")) for note in self.noted)


@pytest.mark.slow
@needs_chromium
def test_in_a_careless_page_every_one_of_the_strings_fires(chromium):
    silent, home, body = [], "http://careless.test/", ""
    html = "text/html; charset=utf-8"
    with contextlib.closing(chromium.new_context()) as context:
        watch = Watch(context, home)
        context.route(home, lambda route: route.fulfill(body=body, content_type=html))
        for script, use in SCRIPTS.items():
            watch.noted.clear()
            page, body = context.new_page(), f"<!doctype html>{use.replace('{}', script)}"
            page.goto(home, wait_until="commit")
            with contextlib.suppress(AssertionError):
                wait_for(lambda p=page: p.wait_for_timeout(20) or watch.has_fired(), SOON)
            page.close()
            silent += [] if watch.has_fired() else [script]
    assert len(SCRIPTS) == 60
    assert silent == []


def write_hostile_log(folder, text):
    """Put a text wherever a log, or its name, has room for one; return what the file is called."""
    label = text.replace("/", "\u2215").replace("\0", "\u2400")
    odd = {text: text, "__proto__": {"hidden": False}, "label": text, "enter": text}
    lines = [
        line(9),
        line(8, "turn", number=1, driver=text, navigator="Ada", why=text),
        line(7, "check", piece="encoder", state="wrong", source=text, mistake=text, driver=text),
        line(6, "check", piece=text, state="wrong", source=text, mistake=text),
        line(5, "check", piece="decoder", state=text, source=text),
        line(4, "prediction", piece="encoder", said=text, navigator=text, question=text),
        line(3, "hand", raised=True),
        *(line(2, text), line(2, at=text), line(2, track=text), line(2, step=text)),
    ]
    lines = [json.dumps({**odd, **json.loads(each)}) for each in lines]
    folder.mkdir(exist_ok=True)
    (folder / f"{label}.jsonl").write_text("\n".join([text, *lines, text]), "utf-8")
    return label


CENSUS = """() => [...new Set([...document.querySelectorAll("*")].flatMap((each) =>
    [each.tagName, ...[...each.attributes].map((has) => `${each.tagName} ${has.name}`)]))]"""
TOUCH = """() => document.querySelectorAll("*").forEach((each) =>
    ["mouseover", "mouseenter", "focus", "toggle", "load", "error"].forEach((kind) =>
        each.dispatchEvent(new Event(kind))))"""
TEXTS = "(found) => found.map((each) => each.textContent)"


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize("enter", ["", "/hub/spawn/pair-"])
def test_sixty_strings_in_logs_stand_on_the_board_as_text(enter, serve, chromium, tmp_path):
    labels = {text: write_hostile_log(tmp_path / "hostile", text) for text in SCRIPTS}
    begin(tmp_path / "calm" / "oak", "Ada", "Grace").append("hand", **HERE, raised=True)
    calm, board = (serve(tmp_path / name, enter=enter) for name in ("calm", "hostile"))
    with contextlib.closing(chromium.new_context()) as context:
        watch = Watch(context, f"http://127.0.0.1:{board.port}/")
        page = context.new_page()
        page.goto(board.link)
        sees(page, "#summary", "60 pairs, 60 hands up")
        heads = page.eval_on_selector_all("tbody th b", TEXTS)
        names = page.eval_on_selector_all("tbody th .names", TEXTS)
        assert len(heads) == 60
        for text, label in labels.items():
            assert (label in heads) == is_name(label)
            assert any(text in found for found in names) == is_name(text)
        for button in [*page.locator("#notebooks button").all(), *2 * [page.locator("#hide")]]:
            button.click()
        page.evaluate(TOUCH)
        sees(page, "tbody th", "Ada")
        links = page.eval_on_selector_all("a", "(found) => found.map((each) => each.href)")
        start = f"http://127.0.0.1:{board.port}/hub/spawn/pair-"
        assert len(links) == (60 if enter else 0)
        assert all(unquote(link.removeprefix(start)) in heads for link in links)
        page.wait_for_timeout(2 * 3000)  # two more polls
        census = set(page.evaluate(CENSUS))
        assert watch.noted == [] and len(context.pages) == 1
        assert page.url == f"http://127.0.0.1:{board.port}/"
    with contextlib.closing(chromium.new_context()) as context:
        page = context.new_page()
        page.goto(calm.link)
        sees(page, "tbody th", "oak")
        assert census <= set(page.evaluate(CENSUS))
