"""Look at a machine: its Python and packages, its room, its folder, its browser.

Runs on a Python that is too old and has no packages, since it is there to say so.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from reimpl_helpers.base.places import ROOT, work_folder

OK, WARN, FAIL = "✓", "!", "✗"  # WARN: it works, but
NOTE = "·"  # neither well nor ill
HERE = "127.0.0.1"
GB = 1e9
ROOM = 0.5 * GB  # four tracks with what JAX compiles take 0.05 GB; the rest is for pip and backups
ROOM_TO_INSTALL = 2 * GB  # the packages take 1.4 GB, and pip unpacks some beside them
MEMORY = 0.5 * GB  # a server and a kernel with JAX take 0.31 GB
MEMORY_AT_EASE = 1.5 * GB  # a browser with the lab takes 0.66 GB more, each notebook 0.15 GB
SYNCED = (
    "onedrive", "dropbox", "google drive", "googledrive", "my drive", "icloud", "mobile documents",
    "cloudstorage", "nextcloud", "owncloud", "pcloud",
)  # fmt: skip
BROWSERS = (  # on Linux; macOS and Windows come with one
    "firefox", "firefox-esr", "chromium", "chromium-browser", "google-chrome", "microsoft-edge",
    "x-www-browser",
)  # fmt: skip


@dataclass(frozen=True)
class CheckResult:
    """What a look at one thing found, and the cure; its commands are indented by four."""

    mark: str
    said: str
    cure: str = ""


def system() -> str:
    """Name what this machine runs, as far as cures differ."""
    return {"Darwin": "macOS", "Windows": "Windows"}.get(platform.system(), "Linux")


def run(*command: str) -> str:
    """Run a program of the system, and return what it prints; nothing where that fails."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


# --- the installation ---


def number(version: str) -> tuple[int, ...]:
    """Read the numbers at the start of a version: (4, 6) of "4.6rc1"."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()


ANOTHER_PYTHON = {
    "macOS": "    brew install python@3.12\n    make lab PYTHON=python3.12",
    "Windows": "    winget install Python.Python.3.12\n    make lab PYTHON='py -3.12'",
    "Linux": "    conda env create -f environment.yml\n    conda activate reimpl-workbook",
}


def look_at_python() -> CheckResult:
    supported = re.findall(r'"Programming Language :: Python :: (.*)"', project_text())
    bits = struct.calcsize("P") * 8
    said = f"{platform.python_version()}, {bits} bit, {sys.executable}"
    if "{}.{}".format(*sys.version_info) not in supported:
        cure = f"Python {supported[0]} to {supported[-1]} is needed. Install one, give it to make:"
        return CheckResult(FAIL, said, f"{cure}\n{ANOTHER_PYTHON[system()]}")
    if bits != 64:
        cure = "JAX needs a Python of 64 bit. Install one, and give it to make:"
        return CheckResult(FAIL, said, f"{cure}\n{ANOTHER_PYTHON[system()]}")
    return CheckResult(OK, said)


def project_text() -> str:
    return (ROOT / "pyproject.toml").read_text("utf-8")


JAX_RUNS_ON = {
    ("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "arm64"), ("Windows", "AMD64"),
}  # fmt: skip


def look_at_system() -> CheckResult:
    kind, processor = platform.system(), platform.machine()
    said = f"{system()}, {processor}, {os.cpu_count()} processors"
    if kind == "Darwin" and run("sysctl", "-n", "sysctl.proc_translated") == "1":
        cure = "This Python is made for Intel. Take one for Apple silicon:\n"
        return CheckResult(FAIL, said, cure + ANOTHER_PYTHON["macOS"])
    musl = kind == "Linux" and not platform.libc_ver()[0]
    if musl or (kind, processor) not in JAX_RUNS_ON:
        what = "Linux without glibc" if musl else f"{kind} on {processor}"
        return CheckResult(
            FAIL,
            said,
            f"JAX has no build for {what}. Sit down at your partner's machine, or use a hub.",
        )
    return CheckResult(OK, said)


@dataclass
class Locked:
    """One package of requirements.lock."""

    version: str
    is_for_some: bool  # not every system has it
    asked_by: set[str]


def locked(text: str) -> dict[str, Locked]:
    """Read a lock: what it has for this Python, each package with those that it is there for."""
    found = {}
    for line in text.splitlines():
        if head := re.match(r"([a-z0-9-]+)==(\S+)(?: ; (.*))?", line):
            name, version, marker = head.groups("")
            is_for_some = bool(re.search("platform|os_name|implementation", marker))
            package = Locked(version, is_for_some, set())
            if is_for_this_python(marker):
                found[name] = package
        elif asked := re.match(r"    #(?: via)? +([a-z0-9-]+)", line):
            package.asked_by.add(asked[1])
    return found


def is_for_this_python(marker: str) -> bool:
    """Tell whether a marker lets this version of Python pass, whatever the system."""
    bounds = re.findall(r"python_full_version (<|>=) '([\d.]+)'", marker)
    return all((sys.version_info[:3] < number(v)) == (sign == "<") for sign, v in bounds)


def needed(direct, lock: dict[str, Locked]) -> set[str]:
    """List the packages that some ask for, those that these ask for, and so on."""
    names, before = set(direct), set()
    while names != before:
        before = names
        names = names | {name for name, package in lock.items() if package.asked_by & names}
    return names


def installed(name: str) -> str | None:
    """Return the version of a package that is installed."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(name)
    return None


def requirements() -> tuple[dict[str, str], dict[str, str]]:
    """Read the packages that pyproject.toml asks for, with their floors: always, and for `real`."""
    import tomllib  # new in Python 3.11

    project = tomllib.loads(project_text())["project"]
    extras = project["optional-dependencies"]
    always, real = project["dependencies"], [*extras["torch"], *extras["real"]]
    return tuple(
        dict(re.match(r"([\w.-]+)[>=]=(.*)", text).groups() for text in texts)
        for texts in (always, real)
    )


def look_at_packages() -> CheckResult:
    lock = locked((ROOT / "requirements.lock").read_text("utf-8"))
    direct, _ = requirements()
    names = [*direct, *sorted(needed(direct, lock) - direct.keys())]
    here = {name: version for name in names if (version := installed(name))}
    missing = [n for n in names if n not in here and not (n in lock and lock[n].is_for_some)]
    old = [f"{n} {here[n]}" for n in direct if n in here and number(here[n]) < number(direct[n])]
    other = [
        f"{name} {version}, not {lock[name].version}"
        for name, version in here.items()
        if name in lock and version != lock[name].version
    ]
    if missing:
        said = f"{len(missing)} of {len(missing) + len(here)} missing: {first_few(missing)}"
        return CheckResult(FAIL, said, reinstall())
    if old:
        return CheckResult(FAIL, f"too old: {first_few(old)}", reinstall())
    if other:
        said = (
            f"{len(here)} here, {len(other)} in another version than was tried: {first_few(other)}"
        )
        return CheckResult(WARN, said, f"The versions that were tried:\n{as_locked()}")
    return CheckResult(OK, f"{len(here)} here, each as in requirements.lock")


def first_few(names: list[str]) -> str:
    """Name the first few."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def look_at_weights() -> CheckResult:
    """Look for what some tracks end on, and can do without."""
    _, real = requirements()
    if all(map(installed, real)):
        return CheckResult(NOTE, "the published ones are here")
    return CheckResult(NOTE, "none: tracks that end on them leave that out, else `make real`")


# --- how to install it again ---


def venv_python() -> Path:
    """Say where the Python is that make installs into."""
    return ROOT / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def reinstall() -> str:
    """Say how what is missing or broken is installed: here, with this Python."""
    lines = []
    if os.environ.get("PYTHONPATH"):
        lines += ["PYTHONPATH puts other packages before the workbook's. Try without:"]
        lines += ["    unset PYTHONPATH", "If that was not it:"]
    if Path(sys.prefix).resolve() == (ROOT / ".venv").resolve():
        lines += ["Build .venv anew; nothing of yours is in it:", f"    rm -rf {quoted('.venv')}"]
    elif venv_python().exists():
        python = venv_python().relative_to(ROOT).as_posix()
        lines += ["This Python is not the workbook's. Ask that one:"]
        return "\n".join([*lines, f"    {python} -m reimpl_helpers.doctor"])
    elif sys.prefix != sys.base_prefix or (Path(sys.prefix) / "conda-meta").is_dir():
        return "\n".join(
            [*lines, "Install the packages anew, in the workbook's folder:", as_locked()]
        )
    else:
        lines += ["The workbook is not installed yet. In its folder:"]
    return "\n".join([*lines, *tools_missing(), "    make lab"])


def as_locked() -> str:
    python = quoted(Path(sys.executable).as_posix())
    return (
        f"    {python} -m pip install --require-hashes -r requirements.lock\n"
        f"    {python} -m pip install --no-deps --no-build-isolation -e ."
    )


def quoted(path: str) -> str:
    """Quote a path for a shell, where it needs that."""
    return path if re.fullmatch(r"[\w./~+-]+", path) else f'"{path}"'


def tools_missing() -> list[str]:
    """List the commands that install what `make lab` itself needs."""
    lines = []
    if importlib.util.find_spec("ensurepip") is None:  # Debian and its kin leave it out
        lines.append("    sudo apt install python3-venv")
    if not shutil.which("make"):
        how = {
            "macOS": "    xcode-select --install",
            "Windows": "(Without make: README.md, “Other ways to install”.)",
        }
        lines.append(how.get(system(), "(Install make, as your system installs what it offers.)"))
    return lines


# --- room ---


def look_at_disk(places: list[Path] | None = None) -> CheckResult:
    """Look where the pair writes, and where programs put what is temporary."""
    asked = ROOM if installed("jax") else ROOM_TO_INSTALL
    free = {
        place: shutil.disk_usage(place).free
        for place in places or [existing(work_folder()), Path(tempfile.gettempdir())]
    }
    tight = [place for place, room in free.items() if room < asked]
    said = f"{min(free.values()) / GB:.1f} GB free; {asked / GB:.1f} GB are needed"
    if not tight:
        return CheckResult(OK, said)
    find = "cleanmgr" if system() == "Windows" else "du -h -d2 ~ 2>/dev/null | sort -h | tail"
    cure = f"Make room. What takes most of yours:\n    {find}"
    if tight == [Path(tempfile.gettempdir())]:
        cure = "Keep what is temporary elsewhere:\n    mkdir -p ~/tmp\n    export TMPDIR=~/tmp"
    return CheckResult(FAIL, f"{said}, at {tight[0]}", cure)


def existing(path: Path) -> Path:
    """Find the folder that is, or will hold, a path."""
    return next(each for each in [path, *path.parents] if each.is_dir())


def look_at_memory(
    proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")
) -> CheckResult:
    free = {"Windows": memory_on_windows, "macOS": memory_on_macos}.get(
        system(), lambda: memory_on_linux(proc, groups)
    )()
    said = f"{free / GB:.1f} GB free; a lab and its browser take 1 GB"
    cure = (
        "Close programs that you do not need, browsers with many tabs first. In a lab that is open "
        "already: Kernel › Shut Down All Kernels."
    )
    if free < MEMORY:
        return CheckResult(FAIL, said, cure + " A container or virtual machine may be given more.")
    return CheckResult(OK, said) if free >= MEMORY_AT_EASE else CheckResult(WARN, said, cure)


def memory_on_linux(proc: Path, groups: Path) -> float:
    """Tell how much memory is free, for the machine and for the container it may be."""
    meminfo = (proc / "meminfo").read_text("utf-8")
    free = [int(re.search(r"^MemAvailable:\s+(\d+) kB", meminfo, re.MULTILINE)[1]) * 1024]
    mine = (proc / "self/cgroup").read_text("utf-8") if (proc / "self/cgroup").exists() else ""
    for kinds, path in re.findall(r"^\d+:(.*?):/(.*)$", mine, re.MULTILINE):
        if kinds in ("", "memory"):
            top = groups / kinds
            for folder in [top / path, *(top / path).parents]:
                if folder.is_relative_to(top):
                    free += free_in_group(folder)
    return min(free)


def free_in_group(folder: Path) -> list[int]:
    """Tell what a control group may still use; nothing where it has no limit.

    What it keeps of files that are not in use counts as free.
    """
    for limit, usage, idle in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        with contextlib.suppress(OSError, ValueError, TypeError):
            stat = (folder / "memory.stat").read_text("utf-8")
            kept = int(re.search(rf"^{idle} (\d+)$", stat, re.MULTILINE)[1])
            most, used = (int((folder / name).read_text("utf-8")) for name in (limit, usage))
            return [most - used + kept]
    return []


def memory_on_macos() -> float:
    said = run("vm_stat")
    pages = dict(re.findall(r"^Pages (free|inactive|speculative|purgeable):\s+(\d+)", said, re.M))
    return int(re.search(r"page size of (\d+)", said)[1]) * sum(map(int, pages.values()))


def memory_on_windows() -> float:
    import ctypes  # missing in some Pythons elsewhere

    class Status(ctypes.Structure):
        _fields_ = [
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *((name, ctypes.c_ulonglong) for name in ("total", "free", "c", "d", "e", "f", "g")),
        ]

    status = Status(length=ctypes.sizeof(Status))
    ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
    return status.free


# --- the folder, the network, the browser ---


def look_at_folder() -> CheckResult:
    """Look whether a pair can write in its folder, without writing there."""
    work = work_folder()
    place, shown = existing(work), str(work).replace(str(Path.home()), "~", 1)
    tree = [place] if place != work else [work, work / ".lab", *work.glob("*"), *work.glob("*/*")]
    closed = [each for each in tree if each.exists() and not os.access(each, os.W_OK)]
    if closed:
        path = quoted(str(closed[0]))
        own = "" if system() == "Windows" else f'    sudo chown -R "$(id -un)" {path}\n'
        cure = (
            f"Make it yours:\n{own}    chmod -R u+w {path}\n"
            "If the disk itself is read-only, write elsewhere:\n"
            "    export REIMPL_WORK=~/reimpl-work"
        )
        return CheckResult(FAIL, f"{closed[0]} cannot be written", cure)
    synced = [part for part in work.parts if part.lower().startswith(SYNCED)]
    if synced:
        move = f"mv {quoted(str(ROOT))} ~/" if ROOT in work.parents else "unset REIMPL_WORK"
        cure = (
            f"{synced[0]} may replace a file that is open in the lab, and what you typed last is "
            f"lost. Keep the workbook out of it:\n    {move}"
        )
        return CheckResult(WARN, f"{shown} is synchronised by {synced[0]}", cure)
    return CheckResult(OK, f"{shown} can be written")


def beside_work() -> Path:
    """Find a folder to try things in: on the disk of the pair's folder, if it may be, not in it."""
    beside = existing(work_folder().parent)
    return beside if os.access(beside, os.W_OK) else Path(tempfile.gettempdir())


def look_at_port() -> CheckResult:
    """Look whether a program here can listen, and be reached without a proxy."""
    try:
        with socket.create_server((HERE, 0)) as server:
            with socket.create_connection(server.getsockname(), timeout=5) as caller:
                caller.sendall(b"?")
                server.settimeout(5)
                with contextlib.closing(server.accept()[0]) as answer:
                    answer.settimeout(5)
                    answer.recv(1)
    except OSError as error:
        up = {
            "Windows": "Let Python through: Windows Security › Firewall › Allow an app.",
            "macOS": "Let Python through your firewall, and bring the loopback up:\n"
            "    sudo ifconfig lo0 up",
        }
        cure = up.get(system(), "Bring the loopback up:\n    sudo ip link set lo up")
        return CheckResult(
            FAIL, f"no program can listen on {HERE}: {error.strerror or error}", cure
        )
    proxies = {k: v for k, v in urllib.request.getproxies().items() if k in ("http", "all")}
    if proxies and not urllib.request.proxy_bypass(HERE):
        cure = f"Leave this machine out of it:\n    export NO_PROXY={HERE},localhost"
        return CheckResult(WARN, f"{HERE} would be asked for at a proxy", cure)
    return CheckResult(OK, f"programs can listen on {HERE}, and be reached")


def look_at_browser() -> CheckResult:
    if system() in ("macOS", "Windows"):
        return CheckResult(OK, f"the one of {system()}")
    if "microsoft" in platform.release().lower():
        return CheckResult(OK, "a browser of Windows: open the lab's links there")
    found = ", ".join(name for name in BROWSERS if shutil.which(name))
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        cure = "The lab prints links. To open them on the machine where you sit, log in with:"
        tunnel = f"    ssh -L 8888:{HERE}:8888 {socket.gethostname()}"
        return CheckResult(WARN, f"{found or 'none'}, and no screen", f"{cure}\n{tunnel}")
    if not found:
        return CheckResult(FAIL, "none was found", "Install one: Firefox, Chrome or Edge.")
    return CheckResult(OK, found)
