"""Keep what a pair does: one line of JSON an event, in log.jsonl of their folder, and only there.

Lines are added and never changed. A line that is damaged, or is no event, spoils itself alone.
"""

import contextlib
import json
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from reimpl_helpers.base.files import locked

NAME = "log.jsonl"
LONGEST = 1_000_000  # bytes of one line; nobody types that much into one exercise
FIELDS = {  # what an event of each kind must carry; all also say when: "at"
    "start": {"track": str, "step": int},
    "turn": {"number": int, "driver": str, "navigator": str, "why": str},
    "prediction": {"track": str, "step": int, "piece": str, "said": str, "navigator": str},
    "check": {"track": str, "step": int, "piece": str, "state": str, "source": str},
    "score": {"track": str, "step": int, "caught": int, "mistakes": int},
    "hand": {"track": str, "step": int, "raised": bool},
}
OPTIONAL = {  # what it may carry besides; anything else is dropped when it is read
    "prediction": {"question": str, "came_true": bool},
    "check": {"driver": str, "navigator": str, "mistake": str},
}
YEARS = range(1970, 3000)  # beyond them a clock is not set, and sums with its times overflow
LARGEST = 2**53 - 1  # of whole numbers: up to here a browser counts exactly
LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # half a character, which no file takes


class Log:
    """Read and extend the log of one pair's folder; several writers at once are safe.

    What does not fit on the disk waits here, and is written with the next event that fits.
    """

    def __init__(self, folder: Path):
        self.path = folder / NAME
        self.waiting: list[dict] = []
        self.trouble = ""  # why events wait, if they do
        self._events, self._read = [], None  # as they were when the file had this size and age

    def read(self) -> list[dict]:
        """List the events, the oldest first, those that wait for room included."""
        try:
            now = self.path.stat()
            if self._read != (now.st_size, now.st_mtime_ns):
                lines = self.path.read_bytes().split(b"\n")
                self._events = [event for line in lines if (event := event_of(line))]
                self._read = now.st_size, now.st_mtime_ns
        except OSError:
            self._events, self._read = [], None
        return self._events + self.waiting

    def append(self, kind: str, **fields) -> bool:
        """Add one event; return whether it is safely on the disk."""
        self._wait_with({"event": kind, **fields})
        return self.decide(lambda events: None)

    def decide(self, choose: Callable[[list[dict]], dict | None]) -> bool:
        """Add the event that `choose` makes of all events so far, or none, before anyone else can.

        Returns whether everything is safely on the disk.
        """
        with contextlib.ExitStack() as stack:
            self.trouble = ""
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(self.path.parent))
            except OSError as error:  # nothing is written then, by anybody
                self.trouble = error.strerror or str(error)
            if event := choose(self.read()):
                self._wait_with(event)
            try:
                if not self.trouble:
                    self._write()
            except OSError as error:
                self.trouble = error.strerror or str(error)
        return not self.trouble

    def _wait_with(self, event):
        event = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), **event}
        kept = event_of(json.dumps(event).encode())
        if kept is None:
            raise ValueError(f"A {event['event']} event carries other fields than FIELDS says.")
        self.waiting.append(kept)

    def _write(self):
        lines = b"".join(json.dumps(event).encode() + b"\n" for event in self.waiting)
        if not lines:
            return
        with self.path.open("a+b", buffering=0) as file:
            before = file.seek(0, os.SEEK_END)
            if before and not ends_a_line(file):  # the last one was torn
                lines = b"\n" + lines
            try:
                while lines:
                    lines = lines[file.write(lines) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(before)
                raise
        self.waiting = []


def ends_a_line(file) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def event_of(line: bytes) -> dict | None:
    """Read one line of a log; None for what is no event.

    An event holds what FIELDS and OPTIONAL name, each of its type, and nothing else.
    """
    if not line or len(line) > LONGEST:
        return None
    try:
        said = json.loads(line)
        needed = {"at": str, "event": str, **FIELDS[said["event"]]}
        known = needed | OPTIONAL.get(said["event"], {})
        held = [name for name in known if name in said and fits(said[name], known[name])]
        event = {name: said[name] for name in held}
        if not needed.keys() <= event.keys():
            return None
        return event if datetime.fromisoformat(event["at"]).year in YEARS else None
    except (ValueError, LookupError, TypeError, RecursionError):
        return None


def fits(value, kind) -> bool:
    """Tell whether a value is of this type, and nothing that a reader trips over later."""
    if type(value) is not kind:
        return False
    if kind is str:
        return not LONE_SURROGATE.search(value)
    return kind is not int or abs(value) <= LARGEST


def moment_of(event: dict) -> datetime:
    """Say when an event was."""
    moment = datetime.fromisoformat(event["at"])
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
