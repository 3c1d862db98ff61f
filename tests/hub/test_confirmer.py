"""What pairs claim on a hub is judged as a user who may do nothing else."""

import json
import os
import subprocess
import sys
import textwrap
import time
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import pytest

if os.name == "nt" or find_spec("jupyterhub") is None:
    pytest.skip("`make hub` installs JupyterHub, on Linux and macOS", allow_module_level=True)
import pwd
import resource

from hub_machine import IS_ROOT, open_folder, readable_venv

from reimpl_helpers.base.files import replace_file
from reimpl_helpers.base.places import NOTEBOOKS
from reimpl_helpers.board.confirm import confirmed_in
from reimpl_helpers.hub import confirmer
from reimpl_helpers.hub.confirmer import end_all
from reimpl_helpers.hub.launch import BOUNDS
from reimpl_helpers.hub.users import JUDGE_USER, make_hub_users
from reimpl_helpers.texts.package import definition_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not IS_ROOT, reason="only root can be somebody else for a while"),
]
MODEL = (NOTEBOOKS / "autoencoder/solution/model.py").read_text("utf-8")
RIGHT = definition_of(MODEL, "nn_layer")
ROUND = """
import sys
from pathlib import Path
from reimpl_helpers.hub.confirmer import Confirmer
Confirmer(*map(Path, sys.argv[1:])).confirm()
"""
TOKEN = {"JUPYTERHUB_API_TOKEN": "the hub's"}


@pytest.fixture(scope="module")
def machine():
    make_hub_users()
    with open_folder() as folder:
        yield folder, readable_venv(folder)


@pytest.fixture
def confirm(machine, tmp_path):
    """Confirm what pairs claim, as the hub does, with its secrets in the environment."""
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / ".confirmed").mkdir()

    def confirm(**claims):
        for pair, source in claims.items():
            package = tmp_path / "homes" / f"pair-{pair}" / "work" / "autoencoder"
            package.mkdir(parents=True, exist_ok=True)
            (package / "model.py").write_text(MODEL.replace(RIGHT, source))
            event = {"at": datetime.now(UTC).isoformat(), "event": "check", "piece": "nn_layer"}
            event |= {"track": "autoencoder", "step": 1, "state": "right", "source": source}
            (logs / f"{pair}.jsonl").write_text(json.dumps(event) + "\n")
        command = [machine[1], "-P", "-c", ROUND, tmp_path / "homes", logs]
        subprocess.run(command, check=True, timeout=300, env=os.environ | TOKEN)
        found = confirmed_in(logs)
        return {pair: found[pair]["autoencoder/1/nn_layer"]["state"] for pair in found}

    return confirm


def test_right_is_confirmed_and_wrong_is_not(confirm):
    wrong = RIGHT.replace(" + bias", " - bias")
    assert wrong != RIGHT
    assert confirm(oak=RIGHT, elm=wrong) == {"oak": "right", "elm": "wrong"}
    mended = confirm(elm=RIGHT)
    assert mended == {"oak": "right", "elm": "right"}


ATTEMPTS = {
    "the hub's secrets": "os.environ['JUPYTERHUB_API_TOKEN']",
    "the judge's memory": "open(f'/proc/{os.getppid()}/mem', 'rb')",
    "the judge's environment": "open(f'/proc/{os.getppid()}/environ', 'rb').read()",
    "the judge's files": "os.listdir(f'/proc/{os.getppid()}/fd')",
    "the logs": "os.listdir(LOGS)",
    "a log": "open(LOGS + '/oak.jsonl').read()",
    "a verdict": "open(LOGS + '/.confirmed/oak.json', 'w')",
    "another user": "os.setuid(0)",
    "a program of another user's": "{0: 0}[open('/proc/self/status').read().count('Privs:\\t1')]",
    "the workbook": "open(sys.modules['reimpl_helpers'].__file__, 'a')",
}


def test_what_is_judged_reaches_nothing_and_leaves_nothing(confirm, machine, tmp_path):
    told, alive = machine[0] / "told", machine[0] / "alive"
    for path in told, alive:
        path.touch()
        path.chmod(0o666)
    logs = str(tmp_path / "logs")
    tried = "\n".join(
        f"try: reached[{name!r}] = bool({code.replace('LOGS', repr(logs))}) or True\n"
        f"except Exception as error: reached[{name!r}] = type(error).__name__"
        for name, code in {"itself": "os.listdir('.')", **ATTEMPTS}.items()
    )
    hostile = f"""
    import ctypes, json, os, resource, sys, tempfile, time
    ctypes.CDLL(None).prctl(15, b"Uid:\\t0\\t0\\t0", 0, 0, 0)  # what psutil takes for root's
    tempfile.mkdtemp()
    processes, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    reached = {{"user": os.getuid(), "processes": processes, "folder": tempfile.gettempdir()}}
    exec({tried!r}, globals() | locals())
    with open({str(told)!r}, "w") as file:
        json.dump(reached, file)
    if os.fork() == 0:
        os.setsid()
        while True:  # each process lives for a moment, so whoever lists them finds none
            if os.fork():
                os._exit(0)
            with open({str(alive)!r}, "a") as file:
                file.write("x")
    """
    head, _, body = RIGHT.rpartition('"""\n')
    source = f'{head}"""\n{textwrap.indent(textwrap.dedent(hostile), "    ")}\n{body}'
    confirm(oak=source)
    before = alive.read_text()
    time.sleep(0.5)
    assert before and alive.read_text() == before, "it outlived its judgement"
    reached = json.loads(told.read_text())
    judge = pwd.getpwnam(JUDGE_USER).pw_uid
    assert reached.pop("user") == judge and reached.pop("itself") is True
    assert reached.pop("processes") == BOUNDS[resource.RLIMIT_NPROC]
    assert not Path(reached.pop("folder")).exists()
    assert reached.keys() == ATTEMPTS.keys()
    assert set(reached.values()) <= {"KeyError", "PermissionError"}, reached
    listed = ["ps", "--User", str(judge), "-o", "stat="]  # and not by what the hub looks with
    found = subprocess.run(listed, capture_output=True, text=True).stdout.split()
    assert all(state.startswith("Z") for state in found), found


def test_what_is_judged_is_said_before_the_rest_is():
    encoder = definition_of(MODEL, "encoder")
    head, _, _ = encoder.rpartition('"""\n')
    endless = f'{head}"""\n    import time\n    time.sleep(1000)\n'
    claims = {"nn_layer": RIGHT, "encoder": endless}
    events = [
        {"at": datetime.now(UTC).isoformat(), "event": "check", "piece": name, "source": source}
        | {"track": "autoencoder", "step": 1, "state": "right"}
        for name, source in claims.items()
    ]
    asked = {
        "log": "".join(json.dumps(event) + "\n" for event in events),
        "packages": {"autoencoder": {"model.py": MODEL.replace(encoder, endless)}},
        "judged": {},
    }
    command = [sys.executable, "-P", "-m", "reimpl_helpers.hub.judge"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, start_new_session=True) as judge:
        try:
            judge.stdin.write(json.dumps(asked).encode())
            judge.stdin.close()
            said = judge.stdout.readline()
            assert judge.poll() is None
        finally:
            end_all(judge)
    found = confirmer.judgements_in(said + b'{"autoencoder/1/enc')  # cut short as it was ended
    assert [(key, judged["state"]) for key, judged in found.items()] == [
        ("autoencoder/1/nn_layer", "right")
    ]


def test_who_never_ends_comes_last_and_has_less_time(tmp_path, monkeypatch):
    logs, homes, tried, endless = tmp_path / "logs", tmp_path / "homes", [], set()
    logs.mkdir()

    def judged_apart(log, packages, known, patience):
        tried.append((log.decode(), patience))
        return {}, log.decode() not in endless

    monkeypatch.setattr(confirmer, "judged_apart", judged_apart)
    watched = confirmer.Confirmer(homes, logs)
    for pairs in {"elm"}, {"elm"}, set(), set():
        endless = pairs
        tried.append("round")
        for pair in "elm", "oak":
            (homes / f"pair-{pair}").mkdir(parents=True, exist_ok=True)
            replace_file(logs / f"{pair}.jsonl", pair.encode())
        watched.confirm()
    assert tried == [
        "round", ("elm", confirmer.PATIENCE), ("oak", confirmer.PATIENCE),
        "round", ("oak", confirmer.PATIENCE), ("elm", confirmer.LESS),
        "round", ("oak", confirmer.PATIENCE), ("elm", confirmer.LESS),
        "round", ("elm", confirmer.PATIENCE), ("oak", confirmer.PATIENCE),
    ]  # fmt: skip
    assert confirmer.LESS < confirmer.PATIENCE
