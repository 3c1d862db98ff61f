"""`reimpl doctor` says what a machine lacks: every check is seen to fail on something broken."""

import ast
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
import venv
from pathlib import Path

import matplotlib.axes
import pytest

from reimpl_helpers.base.places import ROOT
from reimpl_helpers.doctor import machine, report, trials
from reimpl_helpers.doctor.machine import FAIL, NOTE, OK, WARN, CheckResult
from reimpl_helpers.doctor.report import CHECKS, WAITS, Check, examine, line_of, trial, within
from reimpl_helpers.doctor.trials import TrialFailed

LOOK = {check.name: check.look for check in CHECKS}
NEEDS_PACKAGES = ["saving", "JAX", "pictures", "kernel", "a check", "two people"]
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="a program or file of Linux")


def can_unshare():
    return (
        bool(shutil.which("unshare"))
        and not subprocess.run(["unshare", "-rmn", "true"], capture_output=True).returncode
    )


in_a_world_apart = pytest.mark.skipif(not can_unshare(), reason="needs namespaces of its own")


def report_of(*command, cwd=ROOT, **environment):
    """Run the doctor; return its exit status, its lines by what they are about, and its text."""
    done = subprocess.run(
        [*map(str, command or (sys.executable, "-m", "reimpl_helpers.doctor"))],
        cwd=cwd, env=os.environ | environment, capture_output=True, encoding="utf-8", timeout=120,
    )  # fmt: skip
    assert done.stderr == ""
    names = "|".join(LOOK)
    lines = re.findall(rf"^(.) ({names}) +(.*)$", done.stdout, re.MULTILINE)
    assert [name for _, name, _ in lines] == list(LOOK)
    return done.returncode, {name: (mark, said) for mark, name, said in lines}, done.stdout


def processes_with(marker):
    """List the processes that carry a mark in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            found += [path.parent.name] if marker.encode() in path.read_bytes() else []
        except OSError:
            continue
    return found


def state_of(folder):
    return {str(path): path.lstat().st_mtime_ns for path in folder.rglob("*")}


# --- a machine that is well ---


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    """What the doctor says here, and what is different after it."""
    home = tmp_path_factory.mktemp("home")
    work = home / "project" / "work"
    (work / "autoencoder").mkdir(parents=True)
    (work / "log.jsonl").write_text("")
    (home / "tmp").mkdir()
    marker, before = str(uuid.uuid4()), state_of(home / "project")
    environment = {
        "HOME": str(home), "TMPDIR": str(home / "tmp"), "REIMPL_WORK": str(work),
        "PYTHONPATH": str(ROOT), "A_TEST": marker, "DISPLAY": "", "WAYLAND_DISPLAY": "",
    }  # fmt: skip
    command = sys.executable, "-m", "reimpl_helpers.cli", "doctor"
    said = report_of(*command, cwd=home, **environment)
    after = {**state_of(home / "project"), **state_of(home / "tmp")}
    return *said, processes_with(marker), (before, after)


def test_a_machine_that_is_well_is_called_ready(healthy):
    status, lines, text, *_ = healthy
    assert (
        status == 0 and f"{len(LOOK) - 1} of {len(LOOK) - 1} well. This machine is ready." in text
    )
    assert not [name for name, (mark, _) in lines.items() if mark in (FAIL, WAITS)]
    assert lines["weights"][0] == NOTE
    assert all(lines[name][0] == OK for name in NEEDS_PACKAGES)


def test_the_report_fits_a_terminal(healthy):
    text = healthy[2]
    shown = [line for line in text.splitlines() if not line.startswith(" " * 10)]
    assert max(map(len, shown)) <= 80


def test_nothing_is_left_behind_and_the_pairs_folder_is_untouched(healthy):
    *_, processes, (before, after) = healthy
    assert processes == [] and after == before


@on_linux
def test_processes_that_are_left_would_be_seen():
    marker = str(uuid.uuid4())
    with subprocess.Popen(["sleep", "60"], env=os.environ | {"A_TEST": marker}) as process:
        # Popen returns when the old program is gone, a moment before the new one's environment
        # can be read.
        wait_until(lambda: str(process.pid) in processes_with(marker))
        process.kill()


# --- an installation that is none ---


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project as far as the doctor reads it, where nothing is installed."""
    project = tmp_path_factory.mktemp("somewhere") / "project"
    shutil.copytree(ROOT / "reimpl_helpers", project / "reimpl_helpers")
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, project)
    for folder in (project / ".venv", project.parent / "venv"):
        venv.create(folder, symlinks=os.name != "nt")
    return project


def python_of(folder):
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


@pytest.mark.parametrize("module", [["doctor"], ["cli", "doctor"]])
def test_without_packages_there_is_one_cure(project, module):
    module, *rest = module
    command = python_of(project / ".venv"), "-m", f"reimpl_helpers.{module}", *rest
    status, lines, text = report_of(*command, cwd=project, PYTHONPATH="")
    assert status == 1 and text.count("make lab") == text.count("rm -rf .venv") == 1
    unwell = [name for name, (mark, _) in lines.items() if mark == FAIL]
    assert unwell == ["packages"] + [n for n in unwell if n != "packages" and n == "browser"]
    assert re.match(
        r"\d+ of \d+ missing: anywidget, filelock, flatbuffers and", lines["packages"][1]
    )
    assert all(lines[name] == (WAITS, "waits for: packages") for name in NEEDS_PACKAGES)
    assert f"well. Mend the line with {FAIL}, then look again." in " ".join(text.split())


def test_another_python_is_sent_to_the_workbooks(project):
    command = python_of(project.parent / "venv"), "-m", "reimpl_helpers.doctor"
    _, _, text = report_of(*command, cwd=project, PYTHONPATH="")
    python = python_of(Path(".venv")).as_posix()
    assert f"    {python} -m reimpl_helpers.doctor\n" in text and "make lab" not in text


def test_another_python_without_a_workbooks_own_installs_there(project, tmp_path):
    elsewhere = shutil.copytree(project, tmp_path / "project", ignore=lambda *_: [".venv"])
    python = python_of(project.parent / "venv")
    _, _, text = report_of(python, "-m", "reimpl_helpers.doctor", cwd=elsewhere, PYTHONPATH="")
    assert "-m pip install --require-hashes -r requirements.lock\n" in text


def test_packages_of_elsewhere_are_named_as_a_cause(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    assert "    unset PYTHONPATH\n" in machine.reinstall()
    monkeypatch.delenv("PYTHONPATH")
    assert "PYTHONPATH" not in machine.reinstall()


def test_marks_are_plain_where_a_terminal_has_no_others(project):
    command = [python_of(project / ".venv"), "-m", "reimpl_helpers.doctor"]
    done = subprocess.run(
        command, cwd=project, env=os.environ | {"PYTHONIOENCODING": "cp1252", "PYTHONPATH": ""},
        capture_output=True, encoding="cp1252", timeout=60,
    )  # fmt: skip
    assert re.findall(r"^(.) (?:Python|packages|kernel)", done.stdout, re.M) == ["+", "x", "-"]
    assert "?" not in done.stdout and "Mend the line with x" in " ".join(done.stdout.split())


def test_a_python_that_is_too_old_comes_first(project, tmp_path):
    newer = shutil.copytree(project, tmp_path / "project", ignore=lambda *_: [".venv"])
    text = (newer / "pyproject.toml").read_text("utf-8")
    (newer / "pyproject.toml").write_text(re.sub(r":: 3\.\d+", ":: 3.99", text), "utf-8")
    status, lines, text = report_of(cwd=newer, PYTHONPATH="")
    assert status == 1 and lines["Python"][0] == FAIL and "Python 3.99 to 3.99 is needed" in text
    assert lines["packages"] == lines["kernel"] == (WAITS, "waits for: Python")


PLAIN = "__init__", "cli", "doctor/__init__", "doctor/__main__", "doctor/machine", "doctor/report"


@pytest.mark.parametrize("name", [*PLAIN, "base/__init__", "base/places", "base/quick_start"])
def test_an_old_python_can_read_the_doctor(name):
    text = (ROOT / "reimpl_helpers" / f"{name}.py").read_text("utf-8")
    tree = ast.parse(text, feature_version=(3, 9))
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in top if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in top if isinstance(node, ast.ImportFrom)}
    ours = {n for n in names if n.startswith("reimpl_helpers")}
    assert {n.partition(".")[0] for n in names - ours} <= sys.stdlib_module_names - {"tomllib"}
    assert ours <= {
        f"reimpl_helpers{m}" for m in ("", ".doctor", ".doctor.machine", ".base", ".base.places")
    }


@pytest.mark.parametrize(
    "bits, version, mark",
    [
        (64, (3, 11), OK),
        (64, (3, 15), OK),
        (32, (3, 12), FAIL),
        (64, (3, 9), FAIL),
        (64, (3, 16), FAIL),
    ],
)
@pytest.mark.parametrize("system", [*machine.ANOTHER_PYTHON])
def test_python(monkeypatch, bits, version, mark, system):
    monkeypatch.setattr(machine.struct, "calcsize", lambda kind: bits // 8)
    monkeypatch.setattr(machine.sys, "version_info", version)
    monkeypatch.setattr(machine, "system", lambda: system)
    seen = machine.look_at_python()
    assert seen.mark == mark and ("\n    " in seen.cure) == (mark == FAIL)


@pytest.mark.parametrize(
    "kind, processor, libc, mark",
    [
        ("Linux", "x86_64", "glibc", OK),
        ("Linux", "aarch64", "glibc", OK),
        ("Linux", "x86_64", "", FAIL),
        ("Linux", "riscv64", "glibc", FAIL),
        ("Darwin", "arm64", "", OK),
        ("Darwin", "x86_64", "", FAIL),
        ("Windows", "AMD64", "", OK),
        ("Windows", "ARM64", "", FAIL),
    ],
)
def test_system(monkeypatch, kind, processor, libc, mark):
    monkeypatch.setattr(machine.platform, "system", lambda: kind)
    monkeypatch.setattr(machine.platform, "machine", lambda: processor)
    monkeypatch.setattr(machine.platform, "libc_ver", lambda: (libc, ""))
    monkeypatch.setattr(machine, "run", lambda *command: "")
    seen = machine.look_at_system()
    assert seen.mark == mark and ("JAX has no build for" in seen.cure) == (mark == FAIL)
    if kind == "Darwin":
        monkeypatch.setattr(machine, "run", lambda *command: "1")
        assert "This Python is made for Intel" in machine.look_at_system().cure


def with_version(folder, name, version):
    """Lay a package of another version before the one that is installed."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


@pytest.mark.parametrize(
    "name, version, mark, said",
    [
        ("numpy", "2.3.9", FAIL, "too old: numpy 2.3.9"),
        ("jupyter_server", "2.9", FAIL, "too old: jupyter-server 2.9"),
        ("numpy", "99.1", WARN, "1 in another version than was tried: numpy 99.1, not 2."),
        ("pyzmq", "1.0", WARN, "1 in another version than was tried: pyzmq 1.0, not 27"),
        ("ruff", "0.1", OK, "here, each as in requirements.lock"),  # nobody needs it to pair
    ],
)
def test_versions(tmp_path, monkeypatch, name, version, mark, said):
    with_version(tmp_path, name, version)
    monkeypatch.syspath_prepend(tmp_path)
    seen = LOOK["packages"]()
    assert seen.mark == mark and said in seen.said
    assert ("\n    " in f"\n{seen.cure}") == (mark != OK)


def test_a_lock_is_read_with_who_asks_for_what():
    lock = machine.locked((ROOT / "requirements.lock").read_text("utf-8"))
    assert lock["tornado"].version and {"jupyter-server", "ipykernel"} <= lock["tornado"].asked_by
    assert lock["pywinpty"].is_for_some and not lock["numpy"].is_for_some
    wanted = machine.needed(["jupyterlab"], lock)
    assert {"tornado", "argon2-cffi-bindings", "pyzmq"} <= wanted
    assert not {"jax", "numpy", "ruff"} & wanted


TWO_PYTHONS = """
jax==1 ; python_full_version < '3.12' \\
    # via old
jax==2 ; python_full_version >= '3.12' and sys_platform == 'win32' \\
    # via new
"""


def test_a_lock_is_read_for_this_python(monkeypatch):
    monkeypatch.setattr(machine.sys, "version_info", (3, 11, 9))
    assert machine.locked(TWO_PYTHONS) == {"jax": machine.Locked("1", False, {"old"})}
    monkeypatch.setattr(machine.sys, "version_info", (3, 12, 0))
    assert machine.locked(TWO_PYTHONS) == {"jax": machine.Locked("2", True, {"new"})}


def test_published_weights_are_no_one_s_fault(monkeypatch):
    for there in (True, False):
        monkeypatch.setattr(machine, "installed", lambda name, there=there: there)
        seen = machine.look_at_weights()
        assert (seen.mark, "make real" in seen.said) == (NOTE, not there)


# --- room ---


def in_namespaces(script, **environment):
    """Run a shell script as the root of a small world of its own, with Python as $PYTHON."""
    environment = os.environ | environment | {"PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["unshare", "-rmn", "sh", "-ec", script],
        env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


ASK = (
    '"$PYTHON" -c "from reimpl_helpers.doctor import machine; seen = machine.look_at_{}(); '
    'print(seen.mark, seen.said, seen.cure)"'
)


@in_a_world_apart
@pytest.mark.parametrize("variable", ["REIMPL_WORK", "TMPDIR"])
def test_a_disk_that_is_nearly_full(tmp_path, variable):
    mount = f"mount -t tmpfs -o size=8m none '{tmp_path}'; "
    said = in_namespaces(mount + ASK.format("disk"), **{variable: str(tmp_path)})
    assert said.startswith(f"{FAIL} 0.0 GB free; ") and f", at {tmp_path} " in said
    assert ("export TMPDIR" in said) == (variable == "TMPDIR")
    assert in_namespaces(ASK.format("disk")).startswith(f"{OK} ")


@in_a_world_apart
@pytest.mark.parametrize("inside", ["", "/work"])
def test_a_folder_that_cannot_be_written(tmp_path, inside):
    mount = f"mount -t tmpfs none '{tmp_path}'; mkdir '{tmp_path}/work'; "
    script = mount + ASK.format("folder") + f"; mount -o remount,ro none '{tmp_path}'; "
    before, after = re.split(
        rf"(?<=\n)(?={FAIL})",
        in_namespaces(script + ASK.format("folder"), REIMPL_WORK=str(tmp_path) + inside),
    )
    assert before.startswith(f"{OK} ") and " cannot be written Make it yours" in after


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anywhere")
def test_a_notebook_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setenv("REIMPL_WORK", str(tmp_path))
    (tmp_path / "gnn").mkdir()
    (tmp_path / "gnn" / "01.ipynb").touch(0o400)
    assert f"{tmp_path / 'gnn' / '01.ipynb'} cannot be written" == LOOK["folder"]().said


@pytest.mark.parametrize(
    "folder, mark",
    [
        ("OneDrive - Somewhere/reimpl", WARN),
        ("Dropbox", WARN),
        ("Library/Mobile Documents/com~apple~CloudDocs", WARN),
        ("Library/CloudStorage/GoogleDrive-x", WARN),
        ("zwei Wörter/日本", OK),
        ("one drive", OK),
    ],
)
def test_a_folder_that_is_synchronised(tmp_path, monkeypatch, folder, mark):
    monkeypatch.setenv("REIMPL_WORK", str(tmp_path / folder / "work"))
    assert LOOK["folder"]().mark == mark
    assert list(tmp_path.iterdir()) == []


MEGABYTE = 10**6
MEMORY = {
    "enough": ({}, OK),
    "little": ({"meminfo": 900}, WARN),
    "too little": ({"meminfo": 300}, FAIL),
    "a small container": ({"max": 700, "used": 400, "idle": 0}, FAIL),
    "a container full of files": ({"max": 4000, "used": 3900, "idle": 3000}, OK),
    "a container without a limit": ({"max": None, "used": 3900, "idle": 0}, OK),
    "a small container above": ({"max": 700, "used": 400, "idle": 0, "in": "a/b"}, FAIL),
}


@pytest.mark.parametrize("kind", ["memory", ""])
@pytest.mark.parametrize("has, mark", MEMORY.values(), ids=MEMORY)
def test_memory(tmp_path, monkeypatch, has, mark, kind):
    monkeypatch.setattr(machine, "system", lambda: "Linux")
    group = tmp_path / "cgroup" / kind / "a"
    (tmp_path / "proc/self").mkdir(parents=True)
    group.mkdir(parents=True)
    number = f"{5 if kind else 0}:{kind}:/{has.get('in', 'a')}"
    (tmp_path / "proc/self/cgroup").write_text(f"7:pids:/\n{number}\n")
    free = has.get("meminfo", 8000) * MEGABYTE // 1024
    (tmp_path / "proc/meminfo").write_text(f"MemTotal: 9 kB\nMemAvailable:   {free} kB\n")
    if "max" in has:
        limit, used, idle = (
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            if kind
            else ("memory.max", "memory.current", "inactive_file")
        )
        most = 2**63 - 4096 if kind else "max"
        (group / limit).write_text(f"{has['max'] * MEGABYTE if has['max'] else most}\n")
        (group / used).write_text(f"{has['used'] * MEGABYTE}\n")
        (group / "memory.stat").write_text(f"anon 7\n{idle} {has['idle'] * MEGABYTE}\n")
    seen = machine.look_at_memory(tmp_path / "proc", tmp_path / "cgroup")
    assert seen.mark == mark and bool(seen.cure) == (mark != OK), seen


def test_memory_of_a_mac(monkeypatch):
    said = (
        "Mach Virtual Memory Statistics: (page size of 16384 bytes)\nPages free:   10000.\n"
        "Pages active:  900000.\nPages inactive:   20000.\nPages speculative:   500.\n"
        "Pages wired down:  70000.\nPages purgeable:  1000.\n"
    )
    monkeypatch.setattr(machine, "system", lambda: "macOS")
    monkeypatch.setattr(machine, "run", lambda *command: said)
    assert machine.memory_on_macos() == 31500 * 16384
    assert machine.look_at_memory().mark == WARN


# --- the network and the browser ---


@in_a_world_apart
def test_a_machine_that_cannot_call_itself():
    said = in_namespaces(ASK.format("port"))
    assert said.startswith(f"{FAIL} no program can listen on 127.0.0.1") and "lo up" in said
    if shutil.which("ip"):
        assert in_namespaces("ip link set lo up; " + ASK.format("port")).startswith(f"{OK} ")


@pytest.mark.parametrize(
    "proxy, none, mark",
    [("", "", OK), ("http://proxy:1", "", WARN), ("http://proxy:1", "127.0.0.1,a", OK)],
)
def test_a_proxy_in_between(monkeypatch, proxy, none, mark):
    for name in ("HTTP_PROXY", "ALL_PROXY", "all_proxy", "NO_PROXY", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.setenv("no_proxy", none)
    assert LOOK["port"]().mark == mark


BROWSERS = {
    "none": ((), ":1", FAIL, "none was found"),
    "two": (("chromium", "firefox"), ":1", OK, "firefox, chromium"),
    "no screen": (("chromium",), "", WARN, "chromium, and no screen"),
    "nothing at all": ((), "", WARN, "none, and no screen"),
}


@on_linux
@pytest.mark.parametrize("programs, screen, mark, said", BROWSERS.values(), ids=BROWSERS)
def test_browser(tmp_path, monkeypatch, programs, screen, mark, said):
    for name in programs:
        (tmp_path / name).touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DISPLAY", screen)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(machine.platform, "release", lambda: "6.1")
    seen = LOOK["browser"]()
    assert (seen.mark, seen.said) == (mark, said) and bool(seen.cure) == (mark != OK)
    monkeypatch.setattr(machine.platform, "release", lambda: "5.15-microsoft-standard-WSL2")
    assert LOOK["browser"]().mark == OK


# --- what is tried ---

NO_LOCK = """
class Timeout(Exception): pass
class FileLock:
    def __init__(self, *_, **__): pass
    def __enter__(self): pass
    def __exit__(self, *_): pass
    acquire = release = lambda self: None
"""
CRASH = "import os, signal\nos.kill(os.getpid(), signal.SIGILL)"
BROKEN = {  # what lies before the packages that are installed, and what is said of it
    "locks that hold nobody": ("saving", {"filelock": NO_LOCK}, "two programs hold the lock"),
    "no JAX": ("JAX", {"jax": "raise ImportError('no build')"}, "ImportError: no build"),
    "JAX for another processor": ("JAX", {"jax": CRASH}, "crashed with SIGILL: no words"),
    "no pictures": ("pictures", {"matplotlib": "1/0"}, "ZeroDivisionError: division by zero"),
    "kernel that ends": (
        "kernel", {"ipykernel_launcher": "raise ImportError('shadowed')"},
        "the kernel ends at once: ImportError: shadowed",
    ),
    "lab that does not open": (
        "two people", {"jupyterlab": "raise ImportError('shadowed')"},
        "the lab ends at once, or prints no links: ImportError: shadowed",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name, modules, said", BROKEN.values(), ids=BROKEN)
def test_something_broken(tmp_path, monkeypatch, name, modules, said):
    for module, text in modules.items():
        (tmp_path / f"{module}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    seen = LOOK[name]()
    assert seen.mark == FAIL and seen.said.startswith(said) and "\n    " in seen.cure
    assert list(ROOT.glob(".reimpl-doctor-*")) == []


def test_collaboration_that_is_switched_off(tmp_path, monkeypatch):
    off = {"ServerApp": {"jpserver_extensions": {"jupyter_server_ydoc": False}}}
    (tmp_path / "jupyter_server_config.json").write_text(json.dumps(off))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
    seen = LOOK["two people"]()
    assert seen.mark == FAIL and seen.said.startswith("the lab opens, and shares no notebook: ")
    assert "jupyter server extension list" in seen.cure


def test_a_kernel_of_another_python(tmp_path, monkeypatch):
    venv.create(tmp_path / "other", symlinks=os.name != "nt")
    site = next((tmp_path / "other").rglob("site-packages"))
    (site / "ours.pth").write_text("\n".join(p for p in sys.path if "site-packages" in p))
    spec = tmp_path / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    python = str(python_of(tmp_path / "other"))
    argv = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": argv, "display_name": "x", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    seen = LOOK["kernel"]()
    assert seen.mark == FAIL and "one of another Python, in " in seen.said


CHECKS_FILE = "reimpl_helpers/checks/verdict.py"
EVERYTHING_IS = "\n\ndef judge_answers(piece, *_):\n    return Verdict(piece.label, {}, '.')\n"
FOUND, SOLVED = (f"notebooks/autoencoder/{x}01_forward_pass.ipynb" for x in ("", "solved/"))
DAMAGED = {  # a file, an edit of it, and what the trial then says
    "a right answer is refused": (
        SOLVED, lambda text: text.replace(b"(data, weights) + bias", b"(data, weights)"),
        "the check of nn_layer says “wrong” where “right” is true",
    ),
    "a mistake is accepted": (
        CHECKS_FILE, lambda text: text + EVERYTHING_IS.format("RIGHT").encode(),
        "the check of nn_layer says “right” where “not written yet” is true",
    ),
    "nothing is written": (
        CHECKS_FILE, lambda text: text + EVERYTHING_IS.format("NOT_WRITTEN").encode(),
        "the check of nn_layer says “not written yet” where “wrong” is true",
    ),
    "half a recording": (
        "notebooks/autoencoder/recording.safetensors", lambda text: text[: len(text) // 2],
        "a cell fails: WorkbookError: /",
    ),
    "no notebook": (FOUND, lambda text: b"", "JSONDecodeError: Expecting value"),
}  # fmt: skip


@pytest.mark.slow(but=1)
@pytest.mark.parametrize("file, edit, said", DAMAGED.values(), ids=DAMAGED)
def test_a_workbook_that_is_damaged(tmp_path, monkeypatch, file, edit, said):
    for folder in ("reimpl_helpers", "notebooks"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    text = (tmp_path / file).read_bytes()
    assert edit(text) != text
    (tmp_path / file).write_bytes(edit(text))
    monkeypatch.setattr(report, "ROOT", tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    seen = LOOK["a check"]()
    assert seen.mark == FAIL and seen.said.startswith(said), seen.said
    assert "git stash" in seen.cure


def test_jax_that_computes_something_else(tmp_path, monkeypatch):
    import jax

    assert trials.jax(tmp_path).startswith("computes in float32 and float64")
    monkeypatch.setattr(jax.numpy, "tanh", jax.numpy.sin)
    with pytest.raises(TrialFailed, match="of type float32, which is wrong"):
        trials.jax(tmp_path)


def test_links_that_name_others(tmp_path, monkeypatch):
    monkeypatch.setattr(trials, "running_lab", lambda: contextlib.nullcontext(["a/lab/", "b/lab/"]))
    monkeypatch.setattr(trials.Seat, "name", "Ada")
    with pytest.raises(TrialFailed, match="the links of Ada and Grace are those of Ada and Ada"):
        trials.collaboration(tmp_path)


def test_typing_that_does_not_arrive(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("REIMPL_WORK", str(tmp_path / "work"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    wait_no_more = (trials, "PATIENCE", 0.5)
    monkeypatch.setattr(trials.Seat, "write", lambda *_: monkeypatch.setattr(*wait_no_more))
    with pytest.raises(TrialFailed, match="what one of the two types does not reach the other"):
        trials.collaboration(tmp_path)


def test_a_picture_that_stays_empty(tmp_path, monkeypatch):
    monkeypatch.setattr(matplotlib.axes.Axes, "plot", lambda *_: None)
    with pytest.raises(TrialFailed, match="draws an empty picture"):
        trials.picture(tmp_path)


# --- whatever happens ---


def waiting_for(seconds):
    def look():
        time.sleep(seconds)
        return CheckResult(OK, "late")

    return look


def test_a_look_that_hangs_is_left_to_itself():
    seen = within(waiting_for(5), 0.1)()
    assert seen.mark == FAIL and seen.said == "no answer within 0.1 seconds"
    assert within(waiting_for(0))().mark == OK


HANGS = """
import pathlib, subprocess, sys, time
pathlib.Path(__file__).with_name("hangs").touch()
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
time.sleep(60)
"""


@pytest.fixture
def hanging(tmp_path, monkeypatch):
    """Let NumPy hang, with a process of its own; return the mark of what is started."""
    (tmp_path / "numpy.py").write_text(HANGS)
    (tmp_path / "jax.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    marker = str(uuid.uuid4())
    monkeypatch.setenv("A_TEST", marker)
    return marker


def wait_until(look):
    end = time.monotonic() + 10
    while not look():
        assert time.monotonic() < end
        time.sleep(0.02)


@on_linux
def test_a_trial_that_hangs_is_ended_with_all_it_started(hanging):
    start = time.monotonic()
    seen = trial("jax", str, seconds=1)()
    assert time.monotonic() - start < 30  # it hangs for a minute
    assert seen.mark == FAIL and seen.said == "no answer within 1 seconds"
    wait_until(lambda: processes_with(hanging) == [])
    assert list(ROOT.glob(".reimpl-doctor-*")) == []


@on_linux
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_doctor_that_is_stopped_leaves_nothing(hanging, tmp_path, how):
    command = [sys.executable, "-m", "reimpl_helpers.doctor"]
    with subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"REIMPL_WORK": str(tmp_path / "work")},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        wait_until((tmp_path / "hangs").exists)
        process.send_signal(how)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, "") and "saving" in out
    wait_until(lambda: processes_with(hanging) == [])
    assert list(tmp_path.glob(".reimpl-doctor-*")) == []


def fails():
    raise RuntimeError("out of order")


def test_what_nobody_foresaw_is_a_line_and_the_others_follow():
    said = []
    checks = [
        Check("one", fails),
        Check("two", lambda: CheckResult(OK, "there"), ("one",)),
        Check("three", lambda: CheckResult(OK, "here"), ("two",)),
        Check("four", lambda: CheckResult(WARN, "nearly", "Mind it.")),
        Check("five", lambda: CheckResult(NOTE, "by the way")),
    ]
    assert examine(checks, said.append) == 1
    assert "could not be looked at: RuntimeError: out of order" in " ".join(said[0].split())
    assert [line[0] for line in said[:-1]] == [FAIL, WAITS, WAITS, WARN, NOTE]
    assert said[1].endswith("waits for: one") and said[2].endswith("waits for: two")
    assert said[-1] == f"\n1 of 4 well. Mend the line with {FAIL}, then look again."
    assert examine(checks[3:], said.append) == 0
    assert said[-1] == f"\n1 of 1 well. This machine is ready. Read what stands below {WARN} first."


def test_each_line_comes_as_soon_as_it_is_known():
    said, seen = [], []
    checks = [Check(n, lambda: seen.append(len(said)) or CheckResult(OK, "")) for n in "abc"]
    assert examine(checks, said.append) == 0 and seen == [0, 1, 2]


def test_a_line_is_as_wide_as_a_terminal_and_a_command_stays_whole():
    command = f"    make {'x' * 90}"
    line = line_of("disk", CheckResult(FAIL, "word " * 40, f"{'cure ' * 40}\n{command}"))
    *text, last = line.splitlines()
    assert max(map(len, text)) <= 80 and last == f"      {command}"


def test_everything_that_waits_waits_for_a_check_before_it():
    for place, check in enumerate(CHECKS):
        assert set(check.after) <= {each.name for each in CHECKS[:place]}
