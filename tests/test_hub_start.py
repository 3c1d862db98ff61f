"""A hub starts only where it can keep its word, and says what stands in its way."""

import os
import shutil
import signal
import socket
import subprocess
from importlib.util import find_spec

import pytest

if os.name == "nt" or find_spec("jupyterhub") is None:
    pytest.skip("`make hub` installs JupyterHub, on Linux and macOS", allow_module_level=True)
from hub_machine import IS_ROOT, Hub, Visitor, free_port, open_folder, readable_venv

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
    folder, python = machine
    (folder / "roster.csv").write_text(ROSTER)

    def run(*options, python=python, **how):
        command = [python, "-P", "-m", "reimpl_helpers.cli", "hub", folder / "roster.csv"]
        how["env"] = os.environ | {"REIMPL_HUB": str(tmp_path / "hub")}
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
        assert "/user/pair-oak" in Visitor(hub, "Ada").enter()
        assert (hub.work("oak") / "00_start_here.ipynb").stat().st_uid == NOBODY
        assert hub.state.stat().st_mode & 0o077 == 0
    finally:
        hub.stop()


def test_one_that_was_started_in_the_background_stops_as_well(machine):
    hub = Hub(*machine)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # so a shell starts what ends on &
    try:
        hub.start(ROSTER)
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
    assert f"chmod o+rx {closed}" in refused.stderr


@pytest.mark.parametrize("place", range(4))
def test_a_port_that_is_taken_is_named(place, run_hub):
    port = free_port()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port + place))
        taken.listen()
        refused = run_hub(f"--port={port}", *([] if IS_ROOT else ["--trusted"]))
    assert refused.returncode == 2
    assert f"ports {port} to {port + 3}, and {port + place} cannot be had" in refused.stderr


def test_a_roster_with_a_fault_is_refused_before_anything_is_made(run_hub, machine, tmp_path):
    (machine[0] / "roster.csv").write_text("name,pair\nAda,oak\nAda,elm\n")
    refused = run_hub(*([] if IS_ROOT else ["--trusted"]))
    assert refused.returncode == 2 and "Ada" in refused.stderr
    assert not (tmp_path / "hub").exists()
