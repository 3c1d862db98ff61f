"""Bring the pairs' logs to the board: what the hub runs beside the pairs' servers, as root.

The board itself reads the copies, as a user who may read nothing else.
"""

import contextlib
import os
import sys
import time
from pathlib import Path

from reimpl_helpers.base.files import replace_file
from reimpl_helpers.board.logs import MOST_BYTES, end_of, plain_file
from reimpl_helpers.hub.roles import account_of
from reimpl_helpers.hub.roster import RosterError, read_roster
from reimpl_helpers.hub.service import serve
from reimpl_helpers.pair.log import NAME

EVERY = 3  # seconds


class Collector:
    """Copy what is new in the logs of a roster's pairs, and take away what is of no pair of it."""

    def __init__(self, homes: Path, logs: Path, roster: Path):
        self.homes, self.logs, self.roster = homes, logs, roster
        self.copied = {}  # what each log was known by when it was copied

    def collect(self) -> None:
        """Copy the logs that changed.

        Raises: RosterError when the roster is not right.
        """
        pairs = read_roster(self.roster).pairs
        for pair in pairs:
            with contextlib.suppress(OSError):  # there is none, or it is no file of theirs
                self.copy(pair)
        for path in self.logs.glob("*.jsonl"):
            if path.stem not in pairs:
                path.unlink()

    def copy(self, pair: str) -> None:
        """Copy the end of one pair's log, if it is theirs, and no link or pipe.

        Raises: OSError when it is none.
        """
        place = Path(account_of(pair), "work", NAME)
        owner = os.stat(self.homes / account_of(pair), follow_symlinks=False).st_uid
        with plain_file(self.homes, place) as (descriptor, status):
            mark = status.st_ino, status.st_size, status.st_mtime_ns
            if status.st_uid == owner and self.copied.get(pair) != mark:
                content = end_of(descriptor, max(0, status.st_size - MOST_BYTES))
                replace_file(self.logs / f"{pair}.jsonl", content)
                self.copied[pair] = mark


def main(homes: str, logs: str, roster: str) -> None:
    """Collect again and again."""
    collector = Collector(Path(homes), Path(logs), Path(roster))
    while True:
        with contextlib.suppress(RosterError):  # the hub says so
            collector.collect()
        time.sleep(EVERY)


if __name__ == "__main__":
    serve(lambda: main(*sys.argv[1:]))
