"""Tell from a log what the minutes went to."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from reimpl_helpers.pair.log import moment_of

LONGEST = timedelta(minutes=10)  # what a pause counts as, at most: one turn


@dataclass(frozen=True)
class Stretch:
    """The time between two events of a log, and what it went to.

    Units: minutes.
    """

    minutes: float
    driver: str = ""
    track: str = ""
    step: int = 0
    piece: str = ""  # none while a notebook is read


def stretches(events: Iterable[dict]) -> Iterator[Stretch]:
    """Split a log into stretches; the time before an event belongs to what the event is about."""
    here, driver, before = ("", 0), "", None
    for event in events:
        now = moment_of(event)
        gap = now - before if before else timedelta()
        about = (event["track"], event["step"]) if "track" in event else here
        belongs = here if event["event"] == "start" else about
        piece = event["piece"] if "piece" in event else ""
        yield Stretch(
            min(max(gap, timedelta()), LONGEST) / timedelta(minutes=1), driver, *belongs, piece
        )
        if event["event"] == "turn":
            driver = event["driver"]
        here, before = about, now
