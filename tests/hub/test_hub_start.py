"""A hub starts only where it can keep its word, and says what stands in its way."""

import io
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
from browser import wait_for

if os.name == "nt" or find_spec("jupyterhub") is None:
    pytest.skip("`make hub` installs JupyterHub, on Linux and macOS", allow_module_level=True)
from hub_machine import IS_ROOT, STOPS, Hub, Visitor, free_port, open_folder, readable_venv

from reimpl_helpers.base.files import KEPT
from reimpl_helpers.base.network import HERE
from reimpl_helpers.hub.start import (
    GIB,
    MOST_SAID,
    PROXY,
    Disk,
    prepare_folders,
    unsaved_of,
    write_log,
)
from reimpl_helpers.hub.state import LONGEST, end_what_is_left, only_hub
from reimpl_helpers.hub.users import end_processes, make_hub_users, make_pair_user, pair_users

pytestmark = pytest.mark.slow
as_root = pytest.mark.skipif(not IS_ROOT, reason="only root can be somebody else for a while")
NOBODY = 65534
ROSTER = "name,pair\nAda,oak\nGrace,oak\nMary,facilitator\n"


@pytest.fixture(scope="module")
def machine():
    """A folder that every system user may pass through, with a Python that they may run."""
    with open_folder() as folder:
        yield folder, readable_venv(folder)


@pytest.fixture
def run_hub(machine, tmp_path):
    """Run the command until it refuses."""
    where, python = machine
    roster = where / "roster.csv"
    roster.write_text(ROSTER)

    def run(*options, python=python, folder=tmp_path / "hub", **how):
        command = [python, "-P", "-m", "reimpl_helpers.cli", "hub", roster]
        how["env"] = os.environ | {"REIMPL_HUB": str(folder)}
        options = [f"--port={free_port()}", *options]
        return subprocess.run(
            [*command, *options], capture_output=True, text=True, timeout=120, cwd="/", **how
        )

    return run


@as_root
def test_not_as_root_it_refuses_and_says_what_the_way_around_means(run_hub):
    refused = run_hub(user=NOBODY, group=NOBODY, extra_groups=[])
    assert refused.returncode == 2 and not refused.stdout
    assert "not root" in refused.stderr and "TRUSTED=1" in refused.stderr
    assert "read and change the work of every other pair" in refused.stderr


@as_root
def test_among_people_who_trust_each_other_it_serves_as_who_started_it(machine):
    folder, python = machine
    hub = Hub(folder, python)
    hub.state.mkdir()
    shutil.chown(hub.state, NOBODY, NOBODY)
    try:
        hub.start(ROSTER, user=NOBODY)
        assert "Every pair's kernel runs as you" in hub.said
        hub.roster.write_text(ROSTER.replace("Grace", "Late"))  # though nobody is here yet
        wait_for(lambda: "Late" in hub.codes, 20, "a card for who is new")
        assert "/user/pair-oak" in Visitor(hub, "Ada").enter()
        assert (hub.work("oak") / "00_start_here.ipynb").stat().st_uid == NOBODY
        assert hub.state.stat().st_mode & 0o077 == 0
        hub.kill()
        hub.start(ROSTER, hub.port, user=NOBODY)
        assert "Ended what it left: its proxy." in hub.said
    finally:
        hub.stop()
        shutil.rmtree(hub.state)


def test_one_that_was_started_in_the_background_stops_as_well(machine):
    hub = Hub(*machine)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # so a shell starts what ends on &
    try:
        hub.start(ROSTER)
        hub.process.terminate()
        hub.process.wait(STOPS)
    finally:
        signal.signal(signal.SIGINT, before)
        hub.stop()


@as_root
def test_a_python_that_pairs_cannot_run_is_named(run_hub, machine):
    closed = machine[0] / "closed"
    closed.mkdir()
    python = readable_venv(closed)
    closed.chmod(0o700)
    refused = run_hub(python=python)
    assert refused.returncode == 2
    assert f"{closed} is closed to the system users of the pairs" in refused.stderr
    assert f"Move {python.parent.parent} to a folder that everybody may read" in refused.stderr


def test_a_port_that_is_taken_is_named(run_hub):
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]
        refused = run_hub(f"--port={port}", *([] if IS_ROOT else ["--trusted"]))
    assert refused.returncode == 2
    assert f"needs the port {port}, and it cannot be had: Address already in use" in refused.stderr


def test_a_second_hub_is_refused(run_hub, tmp_path):
    other = tmp_path / ("another" if IS_ROOT else "hub")  # root's hubs share the pairs' users
    other.mkdir()
    with only_hub(other):
        refused = run_hub(*([] if IS_ROOT else ["--trusted"]))
    assert refused.returncode == 2
    assert "another hub holds" in refused.stderr and "Stop it, and wait" in refused.stderr


def test_a_folder_that_is_too_deep_is_named(run_hub, tmp_path):
    deep = tmp_path / ("x" * LONGEST)
    refused = run_hub(*([] if IS_ROOT else ["--trusted"]), folder=deep)
    assert refused.returncode == 2 and not deep.exists()
    assert f"the hub's folder {deep} is too deep down" in refused.stderr


def test_the_proxy_does_not_hold_what_nobody_reads(tmp_path):
    """Where a pair answers an upgrade without end, to a browser that reads nothing."""
    upstream, public = socket.create_server((HERE, 0)), socket.create_server((HERE, 0))
    target = f"http://{HERE}:{upstream.getsockname()[1]}"
    mend = files("reimpl_helpers.hub") / "proxy.js"
    proxy = subprocess.Popen(
        ["node", "--require", mend, PROXY, "--port=1", f"--default-target={target}",
         f"--api-socket={tmp_path / 'api'}", "--log-level=error"],
        pass_fds=[public.fileno()],
        env=os.environ | {"REIMPL_PUBLIC": str(public.fileno())},
    )  # fmt: skip
    with upstream, public, proxy, socket.create_connection(public.getsockname()) as browser:
        try:
            browser.sendall(b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            upstream.settimeout(30)
            answering, _ = upstream.accept()
            with answering:
                answering.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
                for _ in range(400):
                    answering.sendall(b"x" * 2**20)
            assert psutil.Process(proxy.pid).memory_info().rss < 300 * 2**20
        finally:
            proxy.kill()


def test_the_hubs_log_keeps_the_last_and_is_bounded(tmp_path):
    write_log(io.BytesIO(b"x" * 3 * MOST_SAID + b"\nthe last\n"), tmp_path / "hub.log")
    assert (tmp_path / "hub.log").read_text().endswith("\nthe last\n")
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2 * MOST_SAID


def test_a_disk_that_is_nearly_full_is_said_once_with_who_has_it(tmp_path, monkeypatch, capsys):
    for pair, size in ("oak", 1), ("elm", 3):
        home = tmp_path / "homes" / f"pair-{pair}"
        home.mkdir(parents=True)
        (home / "big").write_bytes(b"x" * size * 100_000_000)
    disk, left = Disk(tmp_path), shutil.disk_usage(tmp_path)
    for free in 3 * GIB, GIB, GIB, 3 * GIB, 5 * GIB, GIB:
        monkeypatch.setattr(shutil, "disk_usage", lambda _, f=free: left._replace(free=f))
        disk.look()
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2 and said[0] == said[1]
    assert "1.0 GiB are left. In GiB, the pairs hold: pair-elm 0.3, pair-oak 0.1." in said[0]


def test_a_roster_with_a_fault_is_refused_before_anything_is_made(run_hub, machine, tmp_path):
    (machine[0] / "roster.csv").write_text("name,pair\nAda,oak\nAda,elm\n")
    refused = run_hub(*([] if IS_ROOT else ["--trusted"]))
    assert refused.returncode == 2 and "Ada" in refused.stderr
    assert not (tmp_path / "hub").exists()


@pytest.fixture
def homes():
    """A hub's folder of homes."""
    with open_folder() as folder:
        (folder / "homes").mkdir()
        make_hub_users()
        yield folder / "homes"


def as_pair(name):
    user = pwd.getpwnam(name)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@as_root
def test_what_a_pair_could_not_save_is_listed(homes):
    make_pair_user("pair-yew", homes / "pair-yew")
    kept, others = (Path(tempfile.mkdtemp(prefix=KEPT)) for _ in range(2))
    try:
        shutil.chown(kept, "pair-yew")
        assert unsaved_of(pair_users(homes)) == [kept]
    finally:
        kept.rmdir()
        others.rmdir()


@as_root
def test_a_home_whose_user_was_removed_is_given_to_no_other_pair(homes, keeps_out):
    make_pair_user("pair-yew", homes / "pair-yew")
    subprocess.run(["userdel", "pair-yew"], check=True)
    make_pair_user("pair-ash", homes / "pair-ash")  # while a hub runs
    owner = (homes / "pair-yew").stat().st_uid
    keeps_out(pwd.getpwnam("pair-ash").pw_uid != owner)
    prepare_folders(homes.parent, True, ["yew", "ash"])
    assert pwd.getpwnam("pair-yew").pw_uid == owner


@as_root
@pytest.mark.parametrize("owner", [0, NOBODY])
def test_a_home_that_is_somebody_elses_is_refused_with_its_cure(owner, homes, run_hub):
    home = homes / "pair-oak"
    home.mkdir()
    os.chown(home, owner, owner)
    refused = run_hub(folder=homes.parent)
    who = pwd.getpwuid(owner).pw_name
    assert f"{home} belongs to {who}, and not to pair-oak" in refused.stderr
    cure = refused.stderr.rpartition("give it back: ")[2].strip()
    subprocess.run(cure, shell=True, check=True)
    prepare_folders(homes.parent, True, ["oak"])


@as_root
def test_what_is_in_the_way_of_a_pairs_user_is_said_of_every_pair(homes, tmp_path):
    (homes / "pair-file").touch()
    (homes / "pair-link").symlink_to(tmp_path)
    (homes / "pair-gone").symlink_to(tmp_path / "nowhere")
    (homes / "pair-group").mkdir()
    os.chown(homes / "pair-group", 61234, 61234)
    subprocess.run(["groupadd", "pair-group"], check=True)
    try:
        with pytest.raises(PermissionError) as refused:
            prepare_folders(homes.parent, True, ["file", "link", "gone", "group", "new"])
    finally:
        subprocess.run(["groupdel", "pair-group"], check=True)
    lines = str(refused.value).splitlines()
    assert [line.partition(" is no folder")[0] for line in lines[:2]] == [
        str(homes / "pair-file"), str(homes / "pair-gone"),
    ]  # fmt: skip
    assert "pair-group cannot be made" in lines[2] and "group pair-group exists" in lines[2]
    assert str(homes / "pair-link") in lines[-1] and len(lines) == 4


@as_root
def test_what_is_no_pairs_home_is_left_alone(homes):
    make_pair_user("pair-yew", homes / "pair-yew")
    shutil.copytree(homes / "pair-yew", homes / "pair-yew.bak")
    (homes / "pair-yew copy").mkdir()
    prepare_folders(homes.parent, True, ["yew"])


@as_root
def test_a_pair_whose_home_was_removed_gets_another(homes):
    make_pair_user("pair-yew", homes / "pair-yew")
    shutil.rmtree(homes / "pair-yew")
    make_pair_user("pair-yew", homes / "pair-yew")
    assert (homes / "pair-yew").stat().st_uid == pwd.getpwnam("pair-yew").pw_uid


@as_root
def test_the_user_of_another_hub_is_named_with_the_cure(homes):
    make_pair_user("pair-yew", homes / "pair-yew")
    (homes.parent / "another").mkdir()
    with pytest.raises(PermissionError, match="is of another hub here.*userdel pair-yew"):
        make_pair_user("pair-yew", homes.parent / "another/pair-yew")


CHAIN = """
import os, time
if os.fork():
    os._exit(0)
os.setsid()
while True:  # each process lives for a moment, so whoever lists them finds none
    if os.fork():
        os._exit(0)
    open("alive", "w").write(str(time.monotonic()))
"""


@as_root
def test_who_forks_without_a_pause_is_ended_as_well(homes, keeps_out):
    make_pair_user("pair-yew", home := homes / "pair-yew")
    command = ["/usr/bin/python3", "-S", "-c", CHAIN]
    subprocess.run(command, check=True, cwd=home, **as_pair("pair-yew"))
    wait_for((home / "alive").exists, 10, "a sign of life")
    end_processes(home.stat().st_uid)
    before = (home / "alive").read_text()
    time.sleep(0.5)
    keeps_out((home / "alive").read_text() == before)


SHARED_MEMORY = """
import ctypes, os
system = ctypes.CDLL(None)
made = system.shmget(0, 4096, 0o600), system.semget(0, 1, 0o600), system.msgget(0, 0o600)
assert min(made) >= 0
os.makedirs("/dev/shm/of-a-pair", exist_ok=True)
os.chdir("/dev/shm/of-a-pair")
for _ in range(3000):  # deeper than Python's own way to remove it reaches
    os.mkdir("d")
    os.chdir("d")
"""


@as_root
def test_memory_that_pairs_share_does_not_outlive_the_hub(homes, keeps_out):
    make_pair_user("pair-yew", homes / "pair-yew")
    who = as_pair("pair-yew")
    subprocess.run(["/usr/bin/python3", "-c", SHARED_MEMORY], check=True, **who)
    listed = subprocess.run(["ipcs"], capture_output=True, text=True).stdout
    assert listed.count("pair-yew") == 3
    end_what_is_left(homes.parent)
    left = subprocess.run(["ipcs"], capture_output=True, text=True).stdout
    keeps_out("pair-yew" not in left and not Path("/dev/shm/of-a-pair").exists())


def test_a_hub_that_does_not_start_says_why_and_nothing_of_before(run_hub, tmp_path):
    (tmp_path / "hub/hub.sqlite").mkdir(parents=True)
    (tmp_path / "hub/hub.log").write_text("[E] an old error\n")
    refused = run_hub(*([] if IS_ROOT else ["--trusted"]))
    assert refused.returncode == 2 and "the hub did not start" in refused.stderr
    assert "Failed to connect to db" in refused.stderr and "old error" not in refused.stderr
