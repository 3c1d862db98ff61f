"""Read the logs of many pairs, and the packages beside them, whatever stands in their place.

A log is only ever read: through no link, from no pipe, and of a very long one the end alone.
"""

import contextlib
import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path

from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.base.people import LONGEST_NAME, is_name
from reimpl_helpers.pair.log import NAME, event_of

MOST_BYTES = 2_000_000  # of one log; a pair's day is a tenth of it
MOST_EVENTS = 10_000  # of one log; a pair's day is a tenth of it
MOST_LOGS = 500  # of one folder
MOST_IN_MODULE = 200_000  # bytes; the workbook's longest has 30,000
MOST_MODULES = 100  # of one package
MOST_LOOKED_AT = 1000  # files of one folder
PLACES = Path(NAME), Path("work", NAME)  # where the log may be in a pair's folder
HAS_OPENAT = os.open in os.supports_dir_fd  # not on Windows
FLAGS = [getattr(os, flag, 0) for flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY")]
READ_ONLY = os.O_RDONLY | sum(FLAGS)
JUNCTION = 0xA0000003  # Windows' tag of a link to a folder that is no symbolic one
TOO_LONG = (
    f"Its log is long: only the end is read, {MOST_BYTES // 10**6} MB and "
    f"{MOST_EVENTS:,} events at most."
)
LINK = "Its log is a link, or in a folder that is one, and links are not followed."
NO_FILE = "Its log is no plain file."
NAMESAKE = "Another log has the same name; they are kept apart."
ODD_NAME = "The name of its file cannot be shown as it is."

Files = dict[str, bytes]  # the modules of a package, by filename


@dataclass(frozen=True, eq=False)
class PairLog:
    """What is known of one log: its events, the oldest first, and what is wrong with it."""

    events: list[dict]
    trouble: str = ""
    work: Path | None = None  # its place in the folder of logs, if it is a pair's work/


@dataclass(frozen=True)
class CachedLog:
    """A log when it was last read: how it is recognised, its whole lines, what they told."""

    mark: tuple
    whole: bytes
    events: list[dict]
    kept: PairLog


_last_read: dict[tuple[Path, Path], CachedLog] = {}  # by folder, and place in it


def logs_in(folder: Path) -> dict[str, PairLog]:
    """Read the logs of the pairs in a folder, by the name of each one's file or folder.

    What a log says about whose it is counts for nothing.

    Raises: WorkbookError when there is none.
    """
    found = {}
    for name, place in places_in(folder):
        if len(found) == MOST_LOGS:
            found["and more", Path()] = PairLog([], f"Only {MOST_LOGS} logs are read.")
            break
        label = shown_safely(name)
        if kept := kept_of(folder, place, ODD_NAME if label != name else ""):
            found[label, place] = kept
    for key in [key for key in _last_read if key[0] == folder]:
        if key[1] not in {place for _, place in found}:
            _last_read.pop(key, None)
    if not found:
        raise WorkbookError(
            f"{folder} holds no log. Copy each pair's {NAME} there, from its work/, under a name "
            f"of its own, such as {folder.name}/pair-1.jsonl or {folder.name}/pair-1/{NAME}."
        )
    return told_apart(found)


def told_apart(found: dict[tuple[str, Path], PairLog]) -> dict[str, PairLog]:
    """Give logs of the same name a number each: none is taken for another."""
    names, logs = Counter(label for label, _ in found), {}
    for (label, _), kept in found.items():
        if names[label] > 1:
            numbered = (f"{label} ({number})" for number in count(1))
            label = next(name for name in numbered if name not in names and name not in logs)
            kept = replace(kept, trouble=f"{NAMESAKE} {kept.trouble}".strip())
        logs[label] = kept
    return logs


def places_in(folder: Path) -> Iterator[tuple[str, Path]]:
    """Say where in a folder a log may be, and what its pair is called."""
    yield folder.resolve().name, Path(NAME)
    try:
        with os.scandir(folder) as entries:
            entries = sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        place = Path(entry.name)
        if entry.name.startswith(".") or entry.name == NAME:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from ((entry.name, place / inner) for inner in PLACES)
        elif place.suffix == ".jsonl":
            yield place.stem, place
        elif entry.is_symlink() and os.path.isdir(entry):
            yield entry.name, place  # to be said: it is not followed


def shown_safely(name: str) -> str:
    """Make of a file's name what can be shown to others."""
    if is_name(name):
        return name
    printable = "".join(letter if letter.isprintable() else "\ufffd" for letter in name)
    return printable[:LONGEST_NAME] or "\ufffd"


# --- one log ------------------------------------------------------------------------------


def kept_of(folder: Path, place: Path, remark: str) -> PairLog | None:
    """Read one log, or say why it cannot be; None where there is none.

    As long as the file is as it was, so is what is handed out.
    """
    try:
        with plain_file(folder, place) as (descriptor, status):
            mark = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, remark)
            before = _last_read.get((folder, place))
            if before is None or before.mark != mark:
                work = place.parent if place.name == NAME else None
                before = read(descriptor, status.st_size, mark, before, remark, work)
                _last_read[folder, place] = before
            return before.kept
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        why = error.strerror or ""
        trouble = why if error.errno is None else f"Its log cannot be read ({why.lower()})."
        return PairLog([], f"{trouble} {remark}".strip())


@contextlib.contextmanager
def plain_file(folder: Path, place: Path) -> Iterator[tuple[int, os.stat_result]]:
    """Open a file beneath a folder to read it; give its descriptor, and what it is.

    Raises: OSError where there is none, where it is a link or behind one, or no plain file.
    """
    descriptor = open_beneath(folder, place)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(None, NO_FILE)
        yield descriptor, status
    finally:
        os.close(descriptor)


def open_beneath(folder: Path, place: Path) -> int:
    """Open a file beneath a folder to read it; return its descriptor.

    Raises: OSError where there is none, or it can be reached through a link alone.
    """
    if not HAS_OPENAT:
        refuse_links(folder, place)
        return os.open(folder / place, READ_ONLY)
    within = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in place.parts[:-1]:
            refuse_link(part, dir_fd=within)
            inner = os.open(part, READ_ONLY | os.O_DIRECTORY, dir_fd=within)
            os.close(within)
            within = inner
        refuse_link(place.name, dir_fd=within)
        return os.open(place.name, READ_ONLY, dir_fd=within)  # no link, even if it is one by now
    finally:
        os.close(within)


def refuse_links(folder: Path, place: Path) -> None:
    for part in (*list(place.parents)[-2::-1], place):
        refuse_link(folder / part)


def refuse_link(path, **where) -> None:
    status = os.stat(path, follow_symlinks=False, **where)
    if stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0) == JUNCTION:
        raise OSError(None, LINK)


def read(
    descriptor: int,
    size: int,
    mark: tuple,
    before: CachedLog | None,
    remark: str,
    work: Path | None,
) -> CachedLog:
    """Read the end of a log; what was there the last time is not taken apart again."""
    start = max(0, size - MOST_BYTES)
    data = end_of(descriptor, start)
    if start:  # in the middle of a line
        data = data.partition(b"\n")[2]
    end = data.rfind(b"\n") + 1
    whole, last = data[:end], data[end:]
    goes_on = before is not None and whole.startswith(before.whole)
    known, events = (before.whole, before.events) if goes_on else (b"", [])
    lines = whole[len(known) :].rsplit(b"\n", MOST_EVENTS + 1)
    events = [*events, *filter(None, map(event_of, lines))][-MOST_EVENTS:]
    told = [*events, *filter(None, [event_of(last)])]
    is_cut = start or len(lines) > MOST_EVENTS or len(events) == MOST_EVENTS
    trouble = f"{TOO_LONG if is_cut else ''} {remark}".strip()
    return CachedLog(mark, whole, events, PairLog(told, trouble, work))


def end_of(descriptor: int, start: int) -> bytes:
    """Read a file from a place on, and no more than is read of one log."""
    os.lseek(descriptor, start, os.SEEK_SET)
    parts, left = [], MOST_BYTES
    while left and (part := os.read(descriptor, left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


# --- the package beside a log -------------------------------------------------------------


def package_in(folder: Path, place: Path, owner: int | None = None) -> Files:
    """Read the modules in a pair's folder of a track: plain files of bounded size, through no link.

    `owner` is the user whose they must be.
    """
    found = {}
    with contextlib.suppress(OSError):  # there is no such folder, or it is a link
        for name in modules_in(folder, place):
            with contextlib.suppress(OSError), plain_file(folder, place / name) as (file, status):
                if status.st_size <= MOST_IN_MODULE and owner in (None, status.st_uid):
                    found[name] = end_of(file, 0)
    return found


def modules_in(folder: Path, place: Path) -> list[str]:
    """Name the modules in a folder beneath another one; of very many, some.

    Raises: OSError where there is none, or it can be reached through a link alone.
    """
    with contextlib.ExitStack() as stack:
        if HAS_OPENAT:
            within = open_beneath(folder, place)
            stack.callback(os.close, within)
        else:
            refuse_links(folder, place)
            within = folder / place
        entries = stack.enter_context(os.scandir(within))
        names = (entry.name for entry in islice(entries, MOST_LOOKED_AT))
        return sorted(name for name in names if name.endswith(".py"))[:MOST_MODULES]
