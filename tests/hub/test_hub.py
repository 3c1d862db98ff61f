"""A hub for many pairs: who gets in where, what stays apart, and what outlives a stop.

One hub on this machine serves the whole file; as root each pair is a system user of its own.
"""

import contextlib
import os
import re
import socket
import stat
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urljoin

import psutil
import pytest
import requests
from browser import wait_for

if os.name == "nt" or find_spec("jupyterhub") is None:
    pytest.skip("`make hub` installs JupyterHub, on Linux and macOS", allow_module_level=True)
import pwd
import resource

from hub_machine import IS_ROOT, STOPS, Visitor, hub_machine

from reimpl_helpers.hub.codes import CODES, FREE
from reimpl_helpers.hub.guard import (
    MOST_FILES,
    MOST_MEMORY,
    MOST_TERMINALS,
    count_files,
    memory_of,
    pairs_over_limit,
    terminals_of,
)
from reimpl_helpers.hub.launch import BOUNDS, YIELDS
from reimpl_helpers.hub.roles import account_of
from reimpl_helpers.hub.state import PROXY_IS, SAID
from reimpl_helpers.hub.users import BOARD_USER, end_processes, processes_of

pytestmark = pytest.mark.slow
as_root = pytest.mark.skipif(not IS_ROOT, reason="only root can make system users")
ROSTER = """name,pair
Ada,oak
Grace,oak
Joan,elm
Ida,elm
Rosa,ash
Emmy,ash
Hedy,fir
Mary,facilitator
"""
PAIRS = "oak", "elm", "ash"


@pytest.fixture(scope="module")
def hub():
    with hub_machine() as hub:
        yield hub.start(ROSTER)


@pytest.fixture(scope="module")
def servers(hub):
    """Open the servers of three pairs, each by one of its people, as their addresses."""
    people = {"oak": "Ada", "elm": "Joan", "ash": "Rosa"}
    return {pair: Visitor(hub, name).enter() for pair, name in people.items()}


@pytest.fixture
def visitor(hub):
    def logged_in(name):
        visitor = Visitor(hub, name)
        visitor.log_in()
        return visitor

    return logged_in


def of_pair(pair: str) -> dict:
    """Say how a process is started as a pair's system user, as a terminal of their lab is."""
    user = pwd.getpwnam(account_of(pair))
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": user.pw_dir}


def run_as(pair: str, *command) -> subprocess.CompletedProcess:
    """Run a command as a pair's system user."""
    how = {"capture_output": True, "text": True, "timeout": 60}
    return subprocess.run(command, **how, **of_pair(pair))


# --- who gets in ---


def test_two_people_land_in_their_pairs_notebook_each_in_a_window_of_their_own(hub, servers):
    (ada, grace) = Visitor(hub, "Ada"), Visitor(hub, "Grace")
    assert ada.enter() == grace.enter() == servers["oak"]
    pages = [who.get(f"{servers['oak']}/enter").url for who in (ada, grace)]
    assert "/lab/workspaces/ada-1/tree/00_start_here.ipynb" in pages[0]
    assert "/lab/workspaces/grace-2/tree/00_start_here.ipynb" in pages[1]
    me = [who.get(f"{servers['oak']}/api/me").json()["identity"] for who in (ada, grace)]
    assert [one["display_name"] for one in me] == ["Ada", "Grace"]
    assert me[0]["color"] != me[1]["color"]


def test_the_pairs_folder_knows_both_names(hub, servers):
    names = hub.work("oak") / ".lab/names"
    wait_for(lambda: names.exists() and names.read_text().split() == ["Ada", "Grace"], 15, "names")


@pytest.mark.parametrize(
    "path",
    [
        "/lab",
        "/api/contents",
        "/api/me",
        "/api/kernels",
        "/api/terminals",
        "/files/00_start_here.ipynb",
    ],
)
def test_a_pairs_people_alone_get_into_its_server(path, servers, visitor, keeps_out):
    for name, status in ("Ada", 403), ("Emmy", 403), ("Ida", 200), ("Mary", 200):
        person = visitor(name)
        person.get(f"{servers['elm']}/enter", timeout=30)  # or an API refuses everybody
        reply = person.get(f"{servers['elm']}{path}", timeout=30)
        if status == 403:
            keeps_out(reply.status_code == 403, f"{name} {reply.url}")
        assert reply.status_code == status, f"{name} {reply.url}"


@pytest.mark.parametrize("path", ["/lab", "/api/contents"])
def test_who_is_not_logged_in_is_asked_to(path, hub, servers, keeps_out):
    reply = requests.get(f"{servers['oak']}{path}", timeout=30)
    keeps_out(reply.status_code == 403 or "/hub/login" in reply.url, reply.url)


def test_a_facilitator_enters_every_pair_by_their_own_name(servers, visitor):
    mary = visitor("Mary")
    for address in servers.values():
        assert "/lab/workspaces/mary-3/tree" in mary.get(f"{address}/enter", timeout=30).url
        assert mary.get(f"{address}/api/me").json()["identity"]["display_name"] == "Mary"


ADMIN = [
    ("GET", "/hub/admin"),
    ("GET", "/hub/api/users"),
    ("GET", "/hub/api/users/pair-elm"),
    ("GET", "/hub/api/groups"),
    ("GET", "/hub/api/services"),
    ("GET", "/hub/api/proxy"),
    ("POST", "/hub/api/users/Eve"),
    ("POST", "/hub/api/users/pair-elm/server"),
    ("DELETE", "/hub/api/users/pair-elm/server"),
    ("POST", "/hub/api/users/Ada/tokens"),
    ("POST", "/hub/api/users/Ada/server"),
    ("POST", "/hub/api/users/pair-oak/tokens"),
    ("DELETE", "/hub/api/users/Joan"),
    ("PATCH", "/hub/api/users/Ada"),
    ("POST", "/hub/api/shutdown"),
    ("GET", "/services/board/"),
    ("GET", "/services/board/facts"),
]


@pytest.mark.parametrize("method, path", ADMIN)
def test_a_pairs_person_is_refused_what_is_the_hubs(method, path, hub, servers, visitor, keeps_out):
    ada = visitor("Ada")
    token = ada.cookies.get("_xsrf", path="/hub/")
    headers = {"X-XSRFToken": token, "Referer": f"{hub.address}/hub/home"}
    reply = ada.request(
        method, hub.address + path, headers=headers, json={"admin": True}, timeout=30
    )
    seen = f"{reply.status_code} {reply.url} {reply.text[:200]}"
    keeps_out(reply.status_code in (403, 404), seen)


def test_a_pairs_person_sees_in_the_hubs_list_nobody_but_their_own(hub, servers, visitor):
    reply = visitor("Ada").get(f"{hub.address}/hub/api/user", timeout=30)
    assert "Joan" not in reply.text and "elm" not in reply.text


def test_a_code_that_is_tried_often_is_slowed_down(hub):
    codes = [Visitor(hub, "Emmy").log_in("aaaa-aaaa-aaaa").status_code for _ in range(7)]
    assert codes[:5] == [403] * 5 and 429 in codes[5:]
    assert Visitor(hub, "Emmy").log_in().status_code == 429, "the right one waits as well"
    assert Visitor(hub, "Rosa").log_in().status_code == 200, "and nobody else does"


def test_codes_that_are_tried_at_once_from_made_up_addresses_are_slowed_down(hub, keeps_out):
    def status(number):
        visitor = Visitor(hub, "Grace")
        for header in "X-Real-Ip", "X-Forwarded-For":
            visitor.headers[header] = f"10.0.0.{number}"
        return visitor.log_in("aaaa-aaaa-aaaa").status_code

    with ThreadPoolExecutor(20) as threads:
        codes = Counter(threads.map(status, range(20)))
    keeps_out(codes[403] <= FREE, codes)
    assert codes == {403: codes[403], 429: 20 - codes[403]}, codes


LOCK_OUT = r"""
import re, socket, sys
name, path = sys.argv[1:]
for _ in range(8):
    cookies, answer = {}, ""
    for method, body in ("GET", ""), ("POST", "username={}&password=aaaa&_xsrf={}"):
        body = body.format(name, cookies.get("_xsrf"))
        with socket.socket(socket.AF_UNIX) as hub:
            hub.connect(path)
            sent = "; ".join(f"{k}={v}" for k, v in cookies.items())
            lines = [f"{method} /hub/login HTTP/1.0", "Host: x", "X-Forwarded-For: 127.0.0.1",
                f"Cookie: {sent}", "Content-Type: application/x-www-form-urlencoded",
                f"Content-Length: {len(body)}", "", body]
            hub.sendall("\r\n".join(lines).encode())
            answer = b"".join(iter(lambda: hub.recv(65536), b"")).decode()
        cookies |= dict(re.findall(r"Set-Cookie: ([^=]+)=([^;]+)", answer))
    print(answer.split()[1])
"""


@as_root
def test_who_goes_round_the_proxy_locks_nobody_out(hub, servers, keeps_out):
    tried = run_as("elm", hub.python, "-c", LOCK_OUT, "Mary", hub.state / "sockets/hub")
    assert "429" in tried.stdout.split(), tried
    keeps_out(Visitor(hub, "Mary").log_in().status_code == 200)


# --- what stays apart ---

ATTEMPTS = {  # what a pair may try, with the other's home as {other}
    "list": "ls {other}",
    "list work": "ls {other}/work",
    "read": "cat {other}/work/00_start_here.ipynb",
    "write": "echo x >> {other}/work/00_start_here.ipynb",
    "make": "touch {other}/work/mine",
    "rename": "mv {other}/work/00_start_here.ipynb {other}/work/gone",
    "remove": "rm -f {other}/work/00_start_here.ipynb; ls {other}/work",
    "hard link": "ln {other}/work/00_start_here.ipynb mine.ipynb",
    "link and read": "ln -sfn {other}/work there && cat there/00_start_here.ipynb",
    "replace the home": "mv {other} {other}-old",
    "take the home": "chmod 777 {other}",
    "memory": "cat /proc/{process}/environ",
    "signal": "kill -9 {process}",
}
BOARD = {
    "list": "ls {state}/logs",
    "read": "cat {state}/logs/oak.jsonl",
    "write": "echo x >> {state}/logs/oak.jsonl",
    "make": "touch {state}/logs/more.jsonl",
    "rename": "mv {state}/logs {state}/old",
    "hard link": "ln {state}/logs/oak.jsonl mine.jsonl",
    "codes": "cat {state}/codes.json",
    "sheet": "cat {state}/sheet-1.html",
    "secret": "cat {state}/cookie_secret",
    "data": "cat {state}/hub.sqlite",
    "hub's log": "cat {state}/hub.log",
    "everything": "ls {state}",
    "the pairs": "ls {state}/homes",
    "sockets": "ls {state}/sockets",
    "pairs' sockets": "ls {state}/sockets/pairs",
    "the hub's socket": "mv {state}/sockets/hub {state}/sockets/mine",
    "a log before": "cat {state}/hub.log.1 {state}/hub.log",
    "lock": "flock -n /run/reimpl-hub.lock true",
    "roster": "echo x >> {roster}",
    "workbook": "touch {code}/mine",
}


@as_root
@pytest.mark.parametrize("kind", ATTEMPTS)
@pytest.mark.parametrize("pair", PAIRS)
def test_a_pair_does_not_reach_into_another(pair, kind, hub, servers, keeps_out):
    for other in set(PAIRS) - {pair}:
        theirs = pwd.getpwnam(account_of(other))
        process = processes_of(theirs.pw_uid)[0].pid
        tried = run_as(
            pair, "sh", "-c", ATTEMPTS[kind].format(other=theirs.pw_dir, process=process)
        )
        keeps_out(tried.returncode, f"{kind}: {tried.stdout[:200]}")
        assert "ermitted" in tried.stderr or "denied" in tried.stderr, tried.stderr
        assert (hub.work(other) / "00_start_here.ipynb").exists()


@as_root
@pytest.mark.parametrize("kind", BOARD)
def test_a_pair_does_not_reach_the_board_nor_the_hub(kind, hub, servers, keeps_out):
    code = BOARD[kind].format(state=hub.state, roster=hub.roster, code=hub.python.parent)
    tried = run_as("elm", "sh", "-c", code)
    keeps_out(tried.returncode, f"{kind}: {tried.stdout[:200]}")
    assert "ermitted" in tried.stderr or "denied" in tried.stderr, tried.stderr


@as_root
def test_what_is_tried_on_others_works_at_home(hub, servers):
    """See the attempts succeed where they may, or their refusal would mean nothing."""
    home = pwd.getpwnam(account_of("oak")).pw_dir
    for kind in ("list", "list work", "read", "make", "hard link", "link and read"):
        assert run_as("oak", "sh", "-c", ATTEMPTS[kind].format(other=home)).returncode == 0, kind


@as_root
def test_homes_are_closed_and_servers_run_as_their_pair(hub, servers):
    for pair in PAIRS:
        home = hub.work(pair).parent
        user = pwd.getpwnam(account_of(pair))
        assert stat.S_IMODE(home.stat().st_mode) == 0o700 and home.stat().st_uid == user.pw_uid
        assert processes_of(user.pw_uid)


CONNECT = """
import socket, sys
with socket.socket(socket.AF_UNIX) as other:
    other.connect(sys.argv[1])
"""


@as_root
def test_nobody_but_the_hub_reaches_what_a_pair_runs(hub, servers, keeps_out):
    """A server, and its kernel, answer at files: another pair can neither ask them nor be them."""
    ida = Visitor(hub, "Ida")
    address = ida.enter()
    headers = {"X-XSRFToken": ida.cookies.get("_xsrf", path="/user/pair-elm/")}
    made = ida.post(f"{address}/api/kernels", json={}, headers=headers, timeout=60)
    assert made.status_code == 201, made.text
    user = pwd.getpwnam(account_of("elm")).pw_uid
    (kernel,) = [
        each for each in processes_of(user) if "reimpl_helpers.lab.kernel" in each.cmdline()
    ]
    wait_for(lambda: len(files_of(kernel)) > 5, 30, "the kernel's sockets")
    for process in processes_of(user):
        keeps_out(not process.net_connections("inet"), process)
        for path in files_of(process):
            tried = run_as("oak", hub.python, "-c", CONNECT, path)
            keeps_out("PermissionError" in tried.stderr, path)


def files_of(process: psutil.Process) -> set[str]:
    """List the files at which a process answers."""
    return {each.laddr for each in process.net_connections("unix") if each.laddr.startswith("/")}


SHARE_PORT = """
import socket, sys
port, address, how = sys.argv[1:]
with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as mine:
    mine.setsockopt(socket.SOL_SOCKET, getattr(socket, how), 1)
    mine.bind((address, int(port)))
    mine.listen()
"""


@as_root
@pytest.mark.parametrize("how", ["SO_REUSEPORT", "SO_REUSEADDR"])
@pytest.mark.parametrize("address", ["127.0.0.2", "0.0.0.0", "::1", "::"])
def test_no_pair_answers_at_the_hubs_port_at_another_address(address, how, hub, servers, keeps_out):
    tried = run_as("oak", hub.python, "-c", SHARE_PORT, str(hub.port), address, how)
    taken = "Address already in use", "not supported", "Cannot assign"
    keeps_out(any(word in tried.stderr for word in taken), tried)


def port_of_board(hub) -> int:
    def ports():
        """List where it listens: nowhere yet, where it has just begun."""
        return {
            each.laddr.port
            for board in services_of(hub, "board")
            for each in board.net_connections("tcp")
            if not each.raddr
        }

    wait_for(ports, 30, "the board")
    (port,) = ports()
    return port


@as_root
def test_the_boards_port_is_held_for_the_board(hub, servers, keeps_out):
    (board,) = services_of(hub, "board")
    assert board.uids().real == pwd.getpwnam(BOARD_USER).pw_uid
    port = port_of_board(hub)
    board.kill()
    wait_for(lambda: board.status() == psutil.STATUS_ZOMBIE, 10, "its end")
    tried = run_as("oak", hub.python, "-c", SHARE_PORT, str(port), "127.0.0.1", "SO_REUSEPORT")
    keeps_out("Address already in use" in tried.stderr, tried)


@as_root
def test_the_hubs_port_is_held_while_its_proxy_is_dead(hub, servers, keeps_out):
    proxy = psutil.Process(int((hub.state / PROXY_IS).read_text()))
    run_as("ash", hub.python, "-c", DETACHED, str(hub.port))
    proxy.kill()
    wait_for(lambda: proxy.status() == psutil.STATUS_ZOMBIE, 10, "its end")
    wait_for(hub.answers, 60, "another proxy, which has to know all addresses")
    ash = pwd.getpwnam(account_of("ash"))
    for process in processes_of(ash.pw_uid):
        if process.name().startswith("Uid:"):
            process.kill()
    keeps_out(not Path(ash.pw_dir, "taken").exists())
    assert Visitor(hub, "Ada").enter() == servers["oak"]


@pytest.mark.parametrize("method", ["DELETE", "OPTIONS"])
def test_a_body_is_not_read_as_the_next_request(method, hub, keeps_out):
    within = "GET /hub/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    asked = (
        f"{method} /hub/health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        f"{len(within):x}\r\n{within}\r\n0\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", hub.port), timeout=10) as sent:
        sent.sendall(asked.encode())
        said = sent.recv(10_000)
    requests.get(f"{hub.address}/hub/another", timeout=10)  # answered after what came before
    wait_for(lambda: "/hub/another" in (hub.state / SAID).read_text(), 10, "the hub's log")
    keeps_out("/hub/smuggled" not in (hub.state / SAID).read_text(), said)


@as_root
def test_a_pair_that_stops_its_own_server_as_it_starts_stops_nobody_else(hub, keeps_out):
    """Nor where its log is a pipe that nobody reads."""
    hedy = Visitor(hub, "Hedy")
    hedy.enter()
    server = f"{hub.address}/hub/api/users/pair-fir/server"
    headers = {"X-XSRFToken": hedy.cookies.get("_xsrf", path="/hub/")}
    assert hedy.delete(server, headers=headers, timeout=60).ok
    fir = pwd.getpwnam(account_of("fir")).pw_uid
    wait_for(lambda: not processes_of(fir), 30, "the server's end")
    (hub.work("fir").parent / "server.log").unlink()
    run_as("fir", "mkfifo", "server.log")
    run_as("fir", hub.python, "-c", DETACHED, "stop all")
    with contextlib.suppress(requests.Timeout):
        hedy.post(server, headers=headers, timeout=3)
    wait_for(lambda: len(processes_of(fir)) > 1, 10, "a server that starts")
    keeps_out(requests.get(f"{hub.address}/hub/health", timeout=10).ok)
    end_processes(fir)


def test_a_name_that_takes_long_to_compare_keeps_nobody_waiting(hub, keeps_out):
    visitor = Visitor(hub, "\u0301" * 60_000 + "\u0316" * 60_000)
    start = time.monotonic()
    assert visitor.log_in("aaaa-aaaa-aaaa").status_code == 403
    keeps_out(time.monotonic() - start < 5)


def test_what_is_too_large_to_be_meant_is_not_taken(hub, keeps_out):
    visitor = Visitor(hub, "Ada")
    reply = visitor.post(f"{hub.address}/hub/login", data=b"x" * 10_000_000, timeout=30)
    keeps_out(reply.status_code in (400, 413, 503), reply)
    assert requests.get(f"{hub.address}/hub/health", timeout=10).ok


@as_root
def test_what_a_pair_makes_its_server_say_is_in_the_pairs_home(hub, servers):
    user = pwd.getpwnam(account_of("elm"))
    for process in processes_of(user.pw_uid):
        if "reimpl_helpers.hub.server" in process.cmdline():
            said = {os.readlink(f"/proc/{process.pid}/fd/{number}") for number in (1, 2)}
            assert said == {f"{user.pw_dir}/server.log"}


def test_what_is_sent_through_the_proxy_arrives(servers, visitor):
    ida = visitor("Ida")
    ida.get(f"{servers['elm']}/enter", timeout=30)
    headers = {"X-XSRFToken": ida.cookies.get("_xsrf", path="/user/pair-elm/")}
    model = {"type": "file", "format": "text", "content": "x"}
    contents = f"{servers['elm']}/api/contents/sent.txt"
    replies = [ida.put(contents, json=model, headers=headers) for _ in range(200)]
    assert Counter(reply.status_code for reply in replies).keys() <= {200, 201}


# --- what a pair may use up ---

IN_LINUX = {  # how Linux says what is bounded
    resource.RLIMIT_DATA: "Max data size",
    resource.RLIMIT_NPROC: "Max processes",
    resource.RLIMIT_NOFILE: "Max open files",
    resource.RLIMIT_FSIZE: "Max file size",
    resource.RLIMIT_CORE: "Max core file size",
}


@as_root
def test_a_pairs_processes_are_bounded(servers):
    user = pwd.getpwnam(account_of("ash"))
    for process in processes_of(user.pw_uid):
        assert process.nice() == YIELDS
        assert "\nNoNewPrivs:\t1\n" in Path(f"/proc/{process.pid}/status").read_text()
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        for what, most in BOUNDS.items():
            assert re.search(rf"^{IN_LINUX[what]} +{most} +{most} ", limits, re.M), limits


@as_root
@pytest.mark.parametrize(
    "code",
    [
        "x = b'1' * 4 * 2**30",
        "from threading import *\nwait = Event()\ntry:\n"
        " for _ in range(500): Thread(target=wait.wait, args=[9], daemon=True).start()\n"
        "finally: wait.set()",
        "open('big', 'wb').truncate(3 * 2**30)",
        "kept = [open('/dev/null') for _ in range(5000)]",
    ],
    ids=["memory", "processes", "file", "files"],
)
def test_a_bound_is_felt_by_who_reaches_it_and_nobody_else(code, hub, servers):
    bounded = f"import resource\nfor bound in {list(BOUNDS.items())}: resource.setrlimit(bound[0], "
    limits = f"{bounded}(bound[1], bound[1]))"
    tried = run_as("ash", hub.python, "-c", f"{limits}\n{code}")
    assert tried.returncode and tried.stderr.strip().splitlines()[-1].startswith(
        ("MemoryError", "RuntimeError", "OSError")
    ), tried.stderr
    assert requests.get(f"{hub.address}/hub/health", timeout=10).ok


FIRST_ENDS = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=[60]).start()
ctypes.CDLL(None).pthread_exit(0)
"""


@as_root
@pytest.mark.parametrize(
    "code, size_of, most, least",
    [
        ("kept = b'1' * 2**29", memory_of, MOST_MEMORY, 2**29),
        ("import socket; kept = [socket.socket() for _ in range(900)]", count_files,
         MOST_FILES, 900),
        ("import os; kept = [os.open('/dev/ptmx', os.O_RDWR) for _ in range(100)]", terminals_of,
         MOST_TERMINALS, 99),
    ],
    ids=["memory", "sockets", "terminals"],
)  # fmt: skip
def test_a_pair_that_holds_too_much_loses_its_largest_process(
    code, size_of, most, least, hub, servers
):
    """Also one whose first thread has ended, of which the system tells little."""
    homes = hub.state / "homes"
    greedy = subprocess.Popen([hub.python, "-c", f"{code}\n{FIRST_ENDS}"], **of_pair("ash"))
    with greedy:
        wait_for(lambda: size_of(psutil.Process(greedy.pid)) > least, 30, "what it takes")
        assert pairs_over_limit(homes, size_of, most) == []
        found = pairs_over_limit(homes, size_of, least)
        assert [(pair, process.pid) for pair, process in found] == [("pair-ash", greedy.pid)]
        assert greedy.pid in [process.pid for process in processes_of(of_pair("ash")["user"])]
        greedy.kill()


@as_root
def test_the_guard_ends_what_is_too_much_and_says_so(hub, servers):
    sockets = "import socket; kept = [socket.socket() for _ in range(800)]; input()"
    command = [hub.python, "-c", sockets]
    with contextlib.ExitStack() as stack:
        greedy = [
            stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, **of_pair("ash")))
            for _ in range(MOST_FILES // 800 + 1)
        ]
        stack.callback(lambda: [each.kill() for each in greedy])
        wait_for(lambda: any(each.poll() for each in greedy), 30, "the guard")
        time.sleep(3)  # it looks once more, and the rest is within the bound
        assert [each.poll() for each in greedy].count(-9) == 1
    said = f"pair-ash holds more than {MOST_FILES} files open: ending"
    wait_for(lambda: said in (hub.state / SAID).read_text(), 10, "the hub's log")


# --- what changes while the hub runs, and what outlives it; from here on tests disturb the hub ---


def test_somebody_is_moved_to_another_pair_and_a_late_one_comes_in(hub, servers, visitor):
    grace = visitor("Grace")
    assert grace.get(f"{servers['oak']}/enter", timeout=30).ok
    hub.roster.write_text(ROSTER.replace("Grace,oak", "Grace,elm") + "Late,oak\n")
    names = hub.work("elm") / ".lab/names"
    wait_for(lambda: names.read_text().split() == ["Grace", "Joan", "Ida"], 30, "the move")
    wait_for(lambda: grace.get(f"{servers['oak']}/lab").status_code == 403, 30, "the way out")
    moved = visitor("Grace")
    assert moved.get(f"{servers['elm']}/enter", timeout=30).ok
    assert Visitor(hub, "Late").enter() == servers["oak"]
    hub.roster.write_text("name,pair\nAda,oak\nAda,elm\n")
    assert visitor("Late").get(f"{servers['oak']}/enter").ok, (
        "a roster with a fault changes nothing"
    )
    hub.roster.write_text(ROSTER)
    wait_for(lambda: names.read_text().split() == ["Joan", "Ida"], 30, "the way back")


def test_a_new_code_ends_what_began_with_the_old_one(hub, servers, visitor, keeps_out):
    def is_out(session, address):
        page = session.get(address, timeout=30)
        assert page.status_code < 500, page.text
        return "/hub/login" in page.url

    first, second, slow = (visitor("Grace") for _ in range(3))
    for kept in [each for each in slow.cookies if each.path.startswith("/user/")]:
        slow.cookies.clear(kept.domain, kept.path, kept.name)
    lab, home = f"{servers['oak']}/lab", f"{hub.address}/hub/home"
    assert not is_out(first, lab) and not is_out(second, lab)
    seen = time.monotonic()
    page = slow.get(lab, allow_redirects=False)
    while "oauth_callback?" not in page.headers["Location"]:  # what that leads to is kept back
        page = slow.get(urljoin(page.url, page.headers["Location"]), allow_redirects=False)
    code = hub.codes["Grace"]
    hub.roster.write_text(ROSTER.replace("Grace,oak\n", ""))
    wait_for(lambda: "Grace" not in (hub.state / CODES).read_text(), 30, "her code's end")
    wait_for(lambda: time.monotonic() > seen + 8, 10, "the end of what the server has in mind")
    keeps_out(is_out(first, lab))
    hub.roster.write_text(ROSTER)
    wait_for(lambda: hub.codes["Grace"] != code, 30, "another code")
    assert Visitor(hub, "Grace").enter() == servers["oak"]
    slow.get(urljoin(page.url, page.headers["Location"]), timeout=30)
    keeps_out(is_out(slow, lab))
    keeps_out(is_out(second, lab))
    keeps_out(is_out(second, home))
    keeps_out("/hub/login" in Visitor(hub, "Grace").log_in(code).url)
    Visitor(hub, "Grace").enter()  # and the new one still is right


def services_of(hub, name: str = "") -> list[psutil.Process]:
    """List what the hub runs of ours: one service, or all, the pairs' servers too."""
    found = []
    for process in psutil.Process(hub.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has ended
            if f"reimpl_helpers.hub.{name}" in " ".join(process.cmdline()):
                found.append(process)
    return found


@as_root
def test_idle_servers_are_stopped_and_start_again_when_somebody_comes(hub, servers):
    """Run the hub's own culler, with the token that the hub gave it, and less patience."""
    (culler,) = services_of(hub, "culler")
    *command, patience = culler.cmdline()
    assert patience == "--timeout=3600"
    ash = pwd.getpwnam(account_of("ash")).pw_uid
    assert processes_of(ash)
    with subprocess.Popen(
        [*command, "--timeout=1", "--cull-every=1"], env=culler.environ()
    ) as hasty:
        try:
            wait_for(lambda: not processes_of(ash), 60, "the end of an idle server")
        finally:
            hasty.kill()
    assert Visitor(hub, "Rosa").enter() == servers["ash"] and processes_of(ash)


DETACHED = """
import ctypes, fcntl, os, signal, socket, sys, time
ended, open_until_then = os.pipe()
if os.fork() or os.setsid() is None and os.fork():
    os._exit(0)
os.close(open_until_then)
os.read(ended, 1)  # or it stops those that it came from before they end
for said in range(3):
    os.close(said)
ctypes.CDLL(None).prctl(15, b"Uid:\\t0\\t0\\t0", 0, 0, 0)  # its name, which psutil takes for root's
kept = []
while True:
    for take in sys.argv[1:]:
        try:
            if take == "stop all":
                os.kill(-1, signal.SIGSTOP)
                continue
            if take.isdigit():
                kept.append(socket.create_server(("127.0.0.1", int(take))))
            else:
                socket.socket(socket.AF_UNIX).bind(take)
            open("taken", "a").write(take)
        except OSError:
            pass
    time.sleep(0.01)
"""


@pytest.mark.parametrize(
    "how",
    [
        "stop", "kill the hub and its proxy", "kill what started it and its proxy", "kill",
        "kill all", "kill the proxy too",
    ],
)  # fmt: skip
def test_stop_and_start_loses_nothing_and_leaves_nobody(how, hub, servers, keeps_out):
    """Meanwhile a process of a pair, which no server knows of, tries to take the hub's places."""
    ada = Visitor(hub, "Ada")
    address = ada.enter()
    headers = {"X-XSRFToken": ada.cookies.get("_xsrf", path="/user/pair-oak/")}
    model = {"type": "file", "format": "text", "content": how}
    assert ada.put(f"{address}/api/contents/kept.txt", json=model, headers=headers).ok
    codes, port = hub.codes, hub.port
    if IS_ROOT:
        oak = pwd.getpwnam(account_of("oak"))
        ports = str(port), str(port_of_board(hub))
        run_as("oak", hub.python, "-c", DETACHED, *ports, hub.state / "sockets/hub", "stop all")
    services = services_of(hub)
    if how == "stop":
        hub.stop()
        assert not IS_ROOT or not processes_of(oak.pw_uid), "it is stopped, and they run"
        assert hub.state.stat().st_mode & 0o077 == 0, "its homes are open to who gets their numbers"
        said = (hub.work("elm").parent / "server.log").read_text()
        assert "received signal 2, stopping" in said  # and it kept what was not saved
    elif how.endswith("and its proxy"):
        started_by = psutil.Process(hub.process.pid)
        (killed,) = started_by.children() if "the hub" in how else [started_by]
        psutil.Process(int((hub.state / PROXY_IS).read_text())).kill()
        killed.kill()
        hub.process.wait(STOPS)
        if "the hub" in how:  # what started it ends the rest
            assert not IS_ROOT or not processes_of(oak.pw_uid), "it has ended, and they run"
            assert "the hub was killed, by the signal 9" in hub.said
        wait_for(lambda: not IS_ROOT or not processes_of(oak.pw_uid), 20, "the pairs' end")
    else:
        hub.kill()
        if how == "kill":
            wait_for(lambda: not IS_ROOT or not processes_of(oak.pw_uid), 20, "the pairs' end")
        for service in services if how != "kill" else ():
            with contextlib.suppress(psutil.NoSuchProcess):  # it has ended by itself
                if "hub.server" not in " ".join(service.cmdline()):
                    service.kill()
    if IS_ROOT and how == "kill the proxy too":  # nothing is left that could hold its places
        psutil.Process(int((hub.state / PROXY_IS).read_text())).kill()
        taken = Path(oak.pw_dir, "taken")
        wait_for(lambda: taken.exists() and all(p in taken.read_text() for p in ports), 20, "ports")
        taken.unlink()
    hub.start(ROSTER, port)
    assert hub.codes == codes and "Everybody has a code" in hub.said
    if IS_ROOT:
        keeps_out(not Path(oak.pw_dir, "taken").exists(), "a pair took a place of the hub's")
        elsewhere = str(port), "127.0.0.2", "SO_REUSEADDR"  # though connections of before remain
        keeps_out(run_as("oak", hub.python, "-c", SHARE_PORT, *elsewhere).returncode)
        is_left = how in ("kill all", "kill the proxy too")
        assert ("Ended what it left: " in hub.said) == is_left
    again = Visitor(hub, "Ada")
    assert again.enter() == address
    assert again.get(f"{address}/api/contents/kept.txt").json()["content"] == how
    assert (hub.work("oak") / "kept.txt").read_text() == how
