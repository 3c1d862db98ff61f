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

from reimpl_helpers.authoring.solved import write_finished
from reimpl_helpers.base.files import replace_file
from reimpl_helpers.base.places import NOTEBOOKS
from reimpl_helpers.board.confirm import confirmed_in
from reimpl_helpers.board.facts import digest_of
from reimpl_helpers.hub import confirmer
from reimpl_helpers.hub.confirmer import end_all
from reimpl_helpers.hub.launch import BOUNDS
from reimpl_helpers.hub.users import JUDGE_USER, make_hub_users
from reimpl_helpers.pair.store import Store
from reimpl_helpers.texts.package import definition_of
from reimpl_helpers.tracks.track import Track

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
            (logs / f"{pair}.jsonl").write_text(claim("nn_layer", 1, source))
        found = look_once(machine, tmp_path)
        return {pair: found[pair]["autoencoder/1/nn_layer"]["state"] for pair in found}

    return confirm


def look_once(machine, folder):
    """Let the confirmer look once at homes and logs; return what it has confirmed."""
    command = [machine[1], "-P", "-c", ROUND, folder / "homes", folder / "logs"]
    subprocess.run(command, check=True, timeout=300, env=os.environ | TOKEN)
    return confirmed_in(folder / "logs")


def claim(piece, step, source):
    """Write the line of a log that calls a piece right."""
    event = {"at": datetime.now(UTC).isoformat(), "event": "check", "piece": piece, "step": step}
    event |= {"track": "autoencoder", "state": "right", "source": source}
    return json.dumps(event) + "\n"


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


FORGE = """
def forge():
    import contextlib, glob, os, pickle, socket
    from multiprocessing import reduction
    class Forge:
        def __reduce__(self):
            return eval, (f"__import__('os').write(1, {FORGED!r})",)
    for said in glob.glob("/proc/[0-9]*/fd/[0-9]*"):  # of the judge, or of what it started
        with contextlib.suppress(OSError):
            if "deleted" in os.readlink(said):
                with open(said, "ab") as file:
                    file.write(FORGED)
    for listener in glob.glob(os.environ["TMPDIR"] + "/pymp-*/listener-*"):  # what forks trials
        with contextlib.suppress(OSError):
            asked = socket.socket(socket.AF_UNIX)
            asked.connect(listener)
            pipes = [os.pipe() for _ in range(4)]
            theirs = [pipes[0][0], pipes[1][1], pipes[2][0], pipes[3][1]]
            reduction.sendfds(asked, theirs)
            os.write(pipes[0][1], pickle.dumps(Forge()))
            os.close(pipes[0][1])
    with contextlib.suppress(PermissionError):
        open(f"/proc/{os.getppid()}/mem", "rb")
        raise SystemExit("what forks trials can be looked into")
forge()
"""


def test_a_pairs_test_forges_no_verdict(machine, tmp_path, keeps_out):
    """It runs as the judge does, beside the process that forks what runs the test."""
    store = Store(Track("autoencoder", 4), tmp_path / "homes/pair-oak/work/autoencoder")
    store.folder.mkdir(parents=True)
    write_finished(store)
    tests, lie = store.folder / "test_model.py", "def encoder(params, x):\n    return 'a lie'\n"
    honest = definition_of(tests.read_text(), "test_layer_shape_and_relu")
    forged = {"autoencoder/1/encoder": {"state": "right", "of": digest_of(lie)}}
    said = f"\n{json.dumps(forged)}\n".encode()
    tests.write_text(f"{tests.read_text()}\nFORGED = {said!r}\n{FORGE}")
    logs = tmp_path / "logs"
    (logs / ".confirmed").mkdir(parents=True)
    claims = claim("test_layer_shape_and_relu", 4, honest) + claim("encoder", 1, lie)
    (logs / "oak.jsonl").write_text(claims)
    found = look_once(machine, tmp_path)["oak"]
    assert found["autoencoder/4/test_layer_shape_and_relu"]["state"] == "right"
    keeps_out(list(found) == ["autoencoder/4/test_layer_shape_and_relu"], found)


def test_what_is_judged_is_said_before_the_rest_is():
    encoder = definition_of(MODEL, "encoder")
    head, _, _ = encoder.rpartition('"""\n')
    endless = f'{head}"""\n    import time\n    time.sleep(1000)\n'
    claims = {"nn_layer": RIGHT, "encoder": endless}
    asked = {
        "log": "".join(claim(piece, 1, source) for piece, source in claims.items()),
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


def test_who_takes_long_comes_last_and_has_less_time(tmp_path, monkeypatch):
    logs, homes, tried, slow, clock = tmp_path / "logs", tmp_path / "homes", [], set(), [0.0]
    logs.mkdir()

    def judged_apart(log, packages, known, patience):
        tried.append((log.decode(), patience))
        clock[0] += confirmer.LESS if log.decode() in slow else confirmer.LESS - 1
        return {}

    monkeypatch.setattr(confirmer.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(confirmer, "judged_apart", judged_apart)
    watched = confirmer.Confirmer(homes, logs)
    for pairs in {"elm"}, {"elm"}, set(), set():
        slow = pairs
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
