"""A hub for many pairs: who gets in where, what stays apart, and what outlives a stop.

One hub on this machine serves the whole file; as root each pair is a system user of its own.
"""

import os
import re
import stat
import subprocess
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
import requests
from browser import wait_for

if os.name == "nt" or find_spec("jupyterhub") is None:
    pytest.skip("`make hub` installs JupyterHub, on Linux and macOS", allow_module_level=True)
import pwd
import resource

from hub_machine import IS_ROOT, Visitor, hub_machine, processes_of

from reimpl_helpers.hub.keeper import MOST, largest_of_greedy
from reimpl_helpers.hub.roles import account_of
from reimpl_helpers.hub.spawner import BOUNDS

pytestmark = pytest.mark.slow
as_root = pytest.mark.skipif(not IS_ROOT, reason="only root can make system users")
ROSTER = """name,pair
Ada,oak
Grace,oak
Joan,elm
Ida,elm
Rosa,ash
Emmy,ash
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


def run_as(pair: str, code: str) -> subprocess.CompletedProcess:
    """Run a shell as a pair's system user, which is what a terminal of their lab does."""
    user = pwd.getpwnam(account_of(pair))
    return subprocess.run(
        ["/bin/sh", "-c", code], user=user.pw_uid, group=user.pw_gid, extra_groups=[],
        cwd=user.pw_dir, capture_output=True, text=True, timeout=30,
    )  # fmt: skip


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
def test_a_pairs_people_alone_get_into_its_server(path, servers, visitor):
    for name, status in ("Ada", 403), ("Emmy", 403), ("Ida", 200), ("Mary", 200):
        person = visitor(name)
        person.get(f"{servers['elm']}/enter", timeout=30)  # or an API refuses everybody
        reply = person.get(f"{servers['elm']}{path}", timeout=30)
        assert reply.status_code == status, f"{name} {reply.url}"


@pytest.mark.parametrize("path", ["/lab", "/api/contents"])
def test_who_is_not_logged_in_is_asked_to(path, hub, servers):
    reply = requests.get(f"{servers['oak']}{path}", timeout=30)
    assert reply.status_code == 403 or "/hub/login" in reply.url


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
def test_a_pairs_person_is_refused_what_is_the_hubs(method, path, hub, servers, visitor):
    ada = visitor("Ada")
    token = ada.cookies.get("_xsrf", path="/hub/")
    headers = {"X-XSRFToken": token, "Referer": f"{hub.address}/hub/home"}
    reply = ada.request(
        method, hub.address + path, headers=headers, json={"admin": True}, timeout=30
    )
    assert reply.status_code in (403, 404), f"{reply.status_code} {reply.url} {reply.text[:200]}"


def test_a_pairs_person_sees_in_the_hubs_list_nobody_but_their_own(hub, servers, visitor):
    reply = visitor("Ada").get(f"{hub.address}/hub/api/user", timeout=30)
    assert "Joan" not in reply.text and "elm" not in reply.text


def test_a_code_that_is_tried_often_is_slowed_down(hub):
    codes = [Visitor(hub, "Emmy").log_in("aaaa-aaaa-aaaa").status_code for _ in range(7)]
    assert codes[:5] == [403] * 5 and 429 in codes[5:]
    assert Visitor(hub, "Emmy").log_in().status_code == 429, "the right one waits as well"
    assert Visitor(hub, "Rosa").log_in().status_code == 200, "and nobody else does"


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
    "roster": "echo x >> {roster}",
    "workbook": "touch {code}/mine",
}


@as_root
@pytest.mark.parametrize("kind", ATTEMPTS)
@pytest.mark.parametrize("pair", PAIRS)
def test_a_pair_does_not_reach_into_another(pair, kind, hub, servers):
    for other in set(PAIRS) - {pair}:
        theirs = pwd.getpwnam(account_of(other))
        process = processes_of(theirs.pw_uid)[0]
        tried = run_as(pair, ATTEMPTS[kind].format(other=theirs.pw_dir, process=process))
        assert tried.returncode, f"{kind}: {tried.stdout[:200]}"
        assert "ermitted" in tried.stderr or "denied" in tried.stderr, tried.stderr
        assert (hub.work(other) / "00_start_here.ipynb").exists()


@as_root
@pytest.mark.parametrize("kind", BOARD)
def test_a_pair_does_not_reach_the_board_nor_the_hub(kind, hub, servers):
    code = BOARD[kind].format(state=hub.state, roster=hub.roster, code=hub.python.parent)
    tried = run_as("elm", code)
    assert tried.returncode, f"{kind}: {tried.stdout[:200]}"
    assert "ermitted" in tried.stderr or "denied" in tried.stderr, tried.stderr


@as_root
def test_what_is_tried_on_others_works_at_home(hub, servers):
    """See the attempts succeed where they may, or their refusal would mean nothing."""
    home = pwd.getpwnam(account_of("oak")).pw_dir
    for kind in ("list", "list work", "read", "make", "hard link", "link and read"):
        assert run_as("oak", ATTEMPTS[kind].format(other=home)).returncode == 0, kind


@as_root
def test_homes_are_closed_and_servers_run_as_their_pair(hub, servers):
    for pair in PAIRS:
        home = hub.work(pair).parent
        user = pwd.getpwnam(account_of(pair))
        assert stat.S_IMODE(home.stat().st_mode) == 0o700 and home.stat().st_uid == user.pw_uid
        assert processes_of(user.pw_uid)


@as_root
def test_nobody_else_hears_what_a_kernel_prints(hub, servers):
    """A kernel has no port, where whoever finds it is told all that it prints."""
    ida = Visitor(hub, "Ida")
    address = ida.enter()
    headers = {"X-XSRFToken": ida.cookies.get("_xsrf", path="/user/pair-elm/")}
    made = ida.post(f"{address}/api/kernels", json={}, headers=headers, timeout=60)
    assert made.status_code == 201, made.text
    wait_for(lambda: ida.get(made.url + "/" + made.json()["id"]).ok, 30, "the kernel")
    user = pwd.getpwnam(account_of("elm"))
    kernels = [
        process for process in psutil.process_iter(["uids", "cmdline"])
        if process.info["uids"].real == user.pw_uid and "ipykernel_launcher" in process.cmdline()
    ]  # fmt: skip
    assert kernels and not any(kernel.net_connections("inet") for kernel in kernels)
    sockets = [p for p in Path("/tmp").glob("reimpl-*") if p.stat().st_uid == user.pw_uid]
    assert sockets and not any(path.stat().st_mode & 0o077 for path in sockets)


# --- what a pair may use up ---

SAID = {  # how Linux says what is bounded
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
        limits = Path(f"/proc/{process}/limits").read_text()
        for what, most in BOUNDS.items():
            assert re.search(rf"^{SAID[what]} +{most} +{most} ", limits, re.M), limits


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
    user = pwd.getpwnam(account_of("ash"))

    bounded = f"import resource\nfor bound in {list(BOUNDS.items())}: resource.setrlimit(bound[0], "
    tried = subprocess.run(
        [hub.python, "-c", f"{bounded}(bound[1], bound[1]))\n{code}"],
        user=user.pw_uid, group=user.pw_gid, extra_groups=[], cwd=user.pw_dir,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert tried.returncode and tried.stderr.strip().splitlines()[-1].startswith(
        ("MemoryError", "RuntimeError", "OSError")
    ), tried.stderr
    assert requests.get(f"{hub.address}/hub/health", timeout=10).ok


@as_root
def test_a_pair_that_holds_too_much_loses_its_largest_process(hub, servers):
    user = pwd.getpwnam(account_of("ash"))
    greedy = subprocess.Popen(
        [hub.python, "-c", "kept = b'1' * 2**29; input()"], stdin=subprocess.PIPE,
        user=user.pw_uid, group=user.pw_gid, extra_groups=[], cwd=user.pw_dir,
    )  # fmt: skip
    with greedy:
        wait_for(lambda: psutil.Process(greedy.pid).memory_info().rss > 2**29, 30, "its memory")
        assert largest_of_greedy(MOST) == []
        found = largest_of_greedy(2**29)
        assert [(pair, process.pid) for pair, process in found] == [("pair-ash", greedy.pid)]
        greedy.kill()


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


@as_root
def test_idle_servers_are_stopped_and_start_again_when_somebody_comes(hub, servers):
    """Run the hub's own culler, with the token that the hub gave it, and less patience."""
    (culler,) = [
        each for each in psutil.process_iter(["cmdline"])
        if "jupyterhub_idle_culler" in (each.info["cmdline"] or [])
        and hub.process.pid in [p.pid for p in each.parents()]
    ]  # fmt: skip
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


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_stop_and_start_loses_nothing(how, hub, servers):
    ada = Visitor(hub, "Ada")
    address = ada.enter()
    headers = {"X-XSRFToken": ada.cookies.get("_xsrf", path="/user/pair-oak/")}
    model = {"type": "file", "format": "text", "content": how}
    assert ada.put(f"{address}/api/contents/kept.txt", json=model, headers=headers).ok
    codes, port = hub.codes, hub.port
    if how == "stop":
        hub.stop()
    else:
        hub.kill()
    hub.start(ROSTER, port)
    assert hub.codes == codes and "Everybody has a code" in hub.said
    again = Visitor(hub, "Ada")
    assert again.enter() == address
    assert again.get(f"{address}/api/contents/kept.txt").json()["content"] == how
    assert (hub.work("oak") / "kept.txt").read_text() == how
