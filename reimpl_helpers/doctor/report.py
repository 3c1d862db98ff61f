"""Make every check, and say what was seen; what fails or hangs stops no other."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from reimpl_helpers.base.places import ROOT
from reimpl_helpers.doctor import machine
from reimpl_helpers.doctor.machine import FAIL, NOTE, OK, WARN, CheckResult, beside_work, reinstall

WAITS = "–"  # not looked at, since something before is not well
PLAIN = {OK: "+", WARN: "!", FAIL: "x", NOTE: ".", WAITS: "-"}
WIDTH, MARGIN = 80, 13
QUICK = 30  # seconds that a look may take: a network disk may never answer
PATIENCE = 120  # seconds that a trial may take: a slow laptop, and all for the first time


@dataclass(frozen=True)
class Check:
    """One line of the report: what is looked at, and what must be well before."""

    name: str
    look: Callable[[], CheckResult]
    after: tuple[str, ...] = ()


def examine(checks, say: Callable[[str], None]) -> int:
    """Make every check, say each as soon as it is known, and sum up; return the exit status."""
    seen = {}
    for check in checks:
        ill = [name for name in check.after if seen[name].mark in (FAIL, WAITS)]
        seen[check.name] = CheckResult(WAITS, f"waits for: {ill[0]}") if ill else safely(check.look)
        say(line_of(check.name, seen[check.name]))
    marks = [each.mark for each in seen.values() if each.mark != NOTE]
    say("\n" + summary(marks))
    return 1 if FAIL in marks else 0


def safely(look) -> CheckResult:
    """Take a look that fails, in whatever way, for something that is not well."""
    try:
        return look()
    except Exception as error:
        return CheckResult(
            FAIL,
            f"could not be looked at: {type(error).__name__}: {error}",
            "Nobody foresaw this. Please send us this line.",
        )


def line_of(name: str, seen: CheckResult) -> str:
    """Lay out a check: the mark, what was looked at, what was seen; below it the cure."""
    lines = textwrap.wrap(seen.said, WIDTH - 2 - MARGIN, break_on_hyphens=False) or [""]
    first, *rest = lines
    laid = [f"{seen.mark} {name:<{MARGIN}}{first}", *(" " * (MARGIN + 2) + line for line in rest)]
    for line in seen.cure.splitlines():
        if line.startswith("    "):
            laid.append("      " + line)  # a command, to be copied: in one line
        else:
            laid += textwrap.wrap(
                line, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6,
                break_long_words=False, break_on_hyphens=False,
            )  # fmt: skip
    return "\n".join(laid)


def summary(marks: list[str]) -> str:
    """Sum up a report in one line."""
    well = sum(mark in (OK, WARN) for mark in marks)
    if FAIL in marks:
        lines = "line" if marks.count(FAIL) == 1 else "lines"
        return f"{well} of {len(marks)} well. Mend the {lines} with {FAIL}, then look again."
    catches = f" Read what stands below {WARN} first." if WARN in marks else ""
    return f"{well} of {len(marks)} well. This machine is ready.{catches}"


# --- two kinds of check ---


def within(look: Callable[[], CheckResult], seconds: float = QUICK) -> Callable[[], CheckResult]:
    """Bound the time of a look; one that hangs is left to itself, and ends with the doctor."""

    def bounded():
        answer = []
        watcher = threading.Thread(target=lambda: answer.append(safely(look)), daemon=True)
        watcher.start()
        watcher.join(seconds)
        cure = "Does it lie on a network disk that does not answer? Start the machine anew."
        return (
            answer[0]
            if answer
            else CheckResult(FAIL, f"no answer within {seconds:g} seconds", cure)
        )

    return bounded


def trial(
    name: str, cure: Callable[[], str], seconds: float = PATIENCE
) -> Callable[[], CheckResult]:
    """Try something in a process and a folder of its own, which both end with the trial."""

    def tried():
        with tempfile.TemporaryDirectory(
            dir=beside_work(), prefix=".reimpl-doctor-", ignore_cleanup_errors=True
        ) as folder:
            status, out, err = run_alone(
                [sys.executable, "-m", "reimpl_helpers.doctor.trials", name, folder],
                folder,
                seconds,
            )
        last = ([line for line in (out or err).splitlines() if line.strip()] or ["no words"])[-1]
        if status == 0:
            return CheckResult(OK, last)
        if status is None:
            return CheckResult(FAIL, f"no answer within {seconds:g} seconds", cure())
        said = textwrap.shorten(last, 300, placeholder=" …")
        return CheckResult(FAIL, said if status == 1 else f"{ending(status)}: {said}", cure())

    return tried


def ending(status: int) -> str:
    """Word how a process ended that did not end as it should."""
    with contextlib.suppress(ValueError):
        return f"crashed with {signal.Signals(-status).name}"
    return f"ended with status {status}"


def run_alone(command, folder: str, seconds: float) -> tuple[int | None, str, str]:
    """Run a program in a session of its own, and end whatever it leaves there.

    Returns its status, None where it had to be stopped, and what it printed.
    """
    environment = os.environ | {
        "REIMPL_WORK": str(Path(folder) / "work"),
        "JUPYTER_RUNTIME_DIR": str(Path(folder) / "runtime"),
        "PYTHONIOENCODING": "utf-8",
    }
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, encoding="utf-8", errors="replace", start_new_session=True,
    ) as process:  # fmt: skip
        try:
            out, err = process.communicate(timeout=seconds)
            return process.returncode, out, err
        except subprocess.TimeoutExpired:
            return None, "", ""
        finally:
            end_all(process)


def end_all(process):
    """End a process and all that it started."""
    if os.name == "nt":
        command = ["taskkill", "/F", "/T", "/PID", str(process.pid)]
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


# --- what is checked ---


def mend_files() -> str:
    return (
        "Is a file of the workbook changed or damaged? The first command names it, the second puts "
        "what was changed aside:\n    git status notebooks reimpl_helpers\n"
        "    git stash push notebooks reimpl_helpers"
    )


def mend_collaboration() -> str:
    return (
        "Is something of it switched off in your own settings of Jupyter? The first command lists "
        "them.\n    " + machine.quoted(Path(sys.executable).as_posix())
        + " -m jupyter server extension list\nElse:\n" + reinstall()
    )  # fmt: skip


def mend_locks() -> str:
    return (
        "Some network disks lock no files. Keep what you write on a disk of this machine:\n"
        "    export REIMPL_WORK=~/reimpl-work"
    )


NEEDS = ("Python", "packages")
CHECKS = (
    Check("Python", within(machine.look_at_python)),
    Check("system", within(machine.look_at_system)),
    Check("packages", within(machine.look_at_packages), ("Python",)),
    Check("weights", within(machine.look_at_weights), ("Python",)),
    Check("disk", within(machine.look_at_disk)),
    Check("memory", within(machine.look_at_memory)),
    Check("folder", within(machine.look_at_folder)),
    Check("port", within(machine.look_at_port)),
    Check("browser", within(machine.look_at_browser)),
    Check("saving", trial("saving", mend_locks), (*NEEDS, "folder")),
    Check("JAX", trial("jax", reinstall), NEEDS),
    Check("pictures", trial("picture", reinstall), NEEDS),
    Check("kernel", trial("kernel", reinstall), (*NEEDS, "port")),
    Check("a check", trial("check", mend_files), (*NEEDS, "kernel")),
    Check("two people", trial("collaboration", mend_collaboration), (*NEEDS, "port")),
)


def main() -> int:
    """Print the report; return 0 if all is well, else 1."""
    for name in ("SIGTERM", "SIGHUP"):  # as Ctrl-C: trials end, and their folders go
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)

    def say(text):
        try:
            "".join(PLAIN).encode(sys.stdout.encoding or "ascii")
        except UnicodeEncodeError:
            for mark, plain in PLAIN.items():
                text = text.replace(mark, plain)
        print(text, flush=True)

    return examine(CHECKS, say)
