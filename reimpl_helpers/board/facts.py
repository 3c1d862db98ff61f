"""Say what the board shows, as plain data: page, text, CSV and pictures are made of this alone.

Only tracks, notebooks, pieces and mistakes that the workbook knows are told of: whatever else a
log says is left out, and so is what it says about whose it is.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from weakref import WeakKeyDictionary

from reimpl_helpers.base.people import is_name
from reimpl_helpers.board.logs import PairLog
from reimpl_helpers.checks.verdict import NOT_WRITTEN, RIGHT, WRONG
from reimpl_helpers.pair.log import moment_of
from reimpl_helpers.pair.minutes import stretches
from reimpl_helpers.pair.pairing import came_true, hand_in
from reimpl_helpers.tracks.notebooks import Notebook, outlines_of
from reimpl_helpers.tracks.track import Track, tracks

MOST_PEOPLE = 3  # who share a notebook
Key = tuple[str, int, str]  # a piece: its track, its step, its name


# --- what the workbook asks for -----------------------------------------------------------


@dataclass(frozen=True)
class TrackOutline:
    """What a track asks a pair for, and the question to each known mistake, by its name."""

    notebooks: dict[int, Notebook]
    pieces: dict[int, list[str]]
    questions: dict[str, str]


@lru_cache
def track_outline(name: str) -> TrackOutline | None:
    """Find out what a track asks for, once; None where there is no such track."""
    if name not in tracks():
        return None
    notebooks = {notebook.step: notebook for notebook in outlines_of(name)}
    pieces = {step: [e.name for e in notebooks[step].exercises] for step in notebooks}
    bugs = Track(name).bugs
    return TrackOutline(notebooks, pieces, {bug.name: bug.question for bug in bugs})


def known(events: Iterable[dict]) -> Iterator[dict]:
    """Leave out what tells of no track, notebook or piece that there is."""
    for event in events:
        if event["event"] != "turn":
            asked = track_outline(event["track"])
            if asked is None or event["step"] not in asked.notebooks:
                continue
            if "piece" in event and event["piece"] not in asked.pieces[event["step"]]:
                continue
            if event.get("state", RIGHT) not in (RIGHT, WRONG, NOT_WRITTEN):
                continue
        yield event


def key_of(event: dict) -> Key:
    return event["track"], event["step"], event["piece"]


def digest_of(source: str) -> str:
    """Give the text that a right check was about a name that no other text has."""
    return sha256(source.encode()).hexdigest()


# --- what one log tells -------------------------------------------------------------------


@dataclass
class Tally:
    """What a log tells of one piece.

    Units: minutes.
    """

    claimed: str = NOT_WRITTEN
    source: str = ""  # that was checked when it was right, the last time
    minutes: float = 0.0
    attempts: int = 0
    mistake: str = ""  # that the last wrong check named
    is_wrong: bool = False  # the last check said so
    checks: list[dict] = field(default_factory=list)

    def count(self, event: dict) -> None:
        """Add a check."""
        self.checks.append(event)
        if event["state"] == NOT_WRITTEN:
            return
        self.attempts += 1
        self.is_wrong = event["state"] == WRONG
        if self.is_wrong:
            asked = track_outline(event["track"])
            mistake = event.get("mistake", "")
            self.mistake = mistake if mistake in asked.questions else ""
            self.claimed = self.claimed if self.claimed == RIGHT else WRONG
        else:
            self.claimed, self.source = RIGHT, event["source"]


@dataclass
class PairState:
    """What a log tells of a pair, whatever time it is now."""

    pieces: dict[Key, Tally]
    names: list[str]
    hand: datetime | None
    last: datetime | None
    now: dict | None
    scores: dict[str, dict]
    predictions: dict[str, int]
    mistakes: set[tuple[str, str, str]]  # that were ever named: track, piece, mistake


_told = WeakKeyDictionary()  # by what was kept of a log


def summarise_log(kept: PairLog) -> PairState:
    """Say what a log tells, and take it apart once."""
    if kept not in _told:
        events = list(known(kept.events))
        pieces, hand = pieces_in(events), hand_in(events)
        _told[kept] = PairState(
            pieces=pieces,
            names=people_in(events),
            hand=moment_of(hand) if hand else None,
            last=moment_of(events[-1]) if events else None,
            now=place_in(events, pieces),
            scores=scores_in(events),
            predictions=predictions_in(events, pieces),
            mistakes={
                (track, piece, check["mistake"])
                for (track, _, piece), tally in pieces.items()
                for check in tally.checks
                if check["state"] == WRONG
                if check.get("mistake") in track_outline(track).questions
            },
        )
    return _told[kept]


def pieces_in(events: list[dict]) -> dict[Key, Tally]:
    """Count minutes, checks and mistakes, piece by piece."""
    pieces = defaultdict(Tally)
    for event, stretch in zip(events, stretches(events), strict=True):
        if "piece" in event:
            tally = pieces[key_of(event)]
            tally.minutes += stretch.minutes
            if event["event"] == "check":
                tally.count(event)
    return dict(pieces)


def people_in(events: list[dict]) -> list[str]:
    """Name who took the last turns."""
    turns = [event for event in events if event["event"] == "turn"][-MOST_PEOPLE:]
    names = {turn[role] for turn in turns for role in ("driver", "navigator")}
    return sorted(filter(is_name, names))[:MOST_PEOPLE]


def place_in(events: list[dict], pieces: dict[Key, Tally]) -> dict | None:
    """Find where a pair is: the piece it checked last, or, once that is right, the next one."""
    here = [event for event in events if "track" in event]
    if not here:
        return None
    track, step = here[-1]["track"], here[-1]["step"]
    asked, last = track_outline(track).pieces[step], ""
    for event in reversed(here):
        if (event["track"], event["step"]) != (track, step):
            break
        if last := event.get("piece", ""):
            break
    first = asked.index(last) if last else 0
    is_open = [n for n in asked[first:] + asked[:first] if not is_right(pieces, track, step, n)]
    return {"track": track, "step": step, "piece": next(iter(is_open), "")}


def is_right(pieces, *key) -> bool:
    return key in pieces and pieces[key].claimed == RIGHT


def scores_in(events: list[dict]) -> dict[str, dict]:
    """Find the last score of a pair's tests, at each notebook."""
    return {
        f"{event['track']}/{event['step']}": {name: event[name] for name in ("caught", "mistakes")}
        for event in events
        if event["event"] == "score" and 0 <= event["caught"] <= event["mistakes"] != 0
    }


def predictions_in(events: list[dict], pieces: dict[Key, Tally]) -> dict[str, int]:
    """Count the predictions whose outcome is known, and those that came true."""
    first = {}
    for event in events:
        if event["event"] == "prediction":
            first.setdefault(key_of(event), event)  # the first word counts
    fared = [came_true(said, pieces[key].checks) for key, said in first.items()]
    return {"said": sum(so is not None for so in fared), "came_true": fared.count(True)}


# --- what the board shows -----------------------------------------------------------------


def facts_of(
    logs: dict[str, PairLog], confirmed: dict[str, dict], now: datetime, hidden: bool = False
) -> dict:
    """Say what the board shows at a moment; `hidden` leaves out every name, for a projector.

    `confirmed` is what was judged anew, by the label of the pair and the name of the piece.
    """
    shown = shown_labels(logs, hidden)
    told = {label: summarise_log(logs[label]) for label in shown}
    pairs = [
        {
            "label": shown[label],
            "names": [] if hidden else told[label].names,
            "trouble": logs[label].trouble,
            **moment_facts(told[label], now),
            "now": told[label].now,
            "pieces": piece_facts(told[label], confirmed.get(label, {})),
            "scores": told[label].scores,
            "predictions": told[label].predictions,
        }
        for label in shown
    ]
    pairs.sort(key=lambda pair: -pair["hand"]["minutes"] if pair["hand"] else 1)
    return {
        "at": now.isoformat(timespec="seconds"),
        "hidden": hidden,
        "tracks": track_facts({key[0] for each in told.values() for key in places_of(each)}),
        "pairs": pairs,
        "mistakes": mistake_facts({shown[label]: told[label] for label in shown}),
    }


def shown_labels(labels: Iterable[str], hidden: bool) -> dict[str, str]:
    """Say how pairs are called in front of others, in the order in which people count them."""
    ordered = enumerate(sorted(labels, key=natural_sort_key), 1)
    return {label: f"pair {number}" if hidden else label for number, label in ordered}


def natural_sort_key(label: str) -> list:
    """Order labels as people do: pair 2 before pair 10."""
    parts = re.split(r"([0-9]+)", label)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)]


def places_of(told: PairState) -> Iterator[tuple]:
    """Say which tracks a log tells of."""
    yield from told.pieces
    if told.now:
        yield (told.now["track"],)


def moment_facts(told: PairState, now: datetime) -> dict:
    """Say how long a hand is up and a pair quiet; a clock that is ahead of ours says nothing."""
    hand, quiet = None, None
    if told.hand:
        since = min(told.hand, now).isoformat(timespec="seconds")
        hand = {"since": since, "minutes": minutes_since(told.hand, now)}
    if told.last:
        quiet = minutes_since(told.last, now)
    return {"hand": hand, "quiet": quiet}


def minutes_since(moment: datetime, now: datetime) -> float:
    return round(max(now - moment, timedelta()) / timedelta(minutes=1), 1)


def piece_facts(told: PairState, confirmed: dict) -> dict[str, dict]:
    """Say of each piece that a log tells of how it stands."""
    facts = {}
    for key, tally in told.pieces.items():
        name = name_of(key)
        judged = confirmed.get(name, {})
        is_of_this = tally.claimed == RIGHT and judged.get("of") == digest_of(tally.source)
        facts[name] = {
            "claimed": tally.claimed,
            "confirmed": judged["state"] if is_of_this else "",
            "minutes": round(tally.minutes, 1),
            "attempts": tally.attempts,
            "mistake": tally.mistake,
            "question": track_outline(key[0]).questions.get(tally.mistake, ""),
        }
    return facts


def name_of(key: Key) -> str:
    """Write which piece is meant: autoencoder/1/encoder."""
    return "/".join(map(str, key))


def track_facts(names: set[str]) -> list[dict]:
    """Say what tracks ask for."""
    return [
        {
            "name": name,
            "steps": [
                {
                    "step": notebook.step,
                    "title": notebook.title,
                    "minutes": notebook.minutes,
                    "pieces": [{"name": e.name, "minutes": e.minutes} for e in notebook.exercises],
                }
                for notebook in track_outline(name).notebooks.values()
            ],
        }
        for name in sorted(names)
    ]


def mistake_facts(told: dict[str, PairState]) -> list[dict]:
    """List the mistakes that were named: first those that most pairs are at now."""
    made, at_it = defaultdict(list), defaultdict(list)
    for label, each in told.items():
        for mistake in each.mistakes:
            made[mistake].append(label)
        for track, piece, mistake in each.mistakes:
            if is_at_it(each, track, piece, mistake):
                at_it[track, piece, mistake].append(label)
    facts = [
        {
            "track": track,
            "piece": piece,
            "mistake": mistake,
            "question": track_outline(track).questions[mistake],
            "pairs": [*(now := at_it[track, piece, mistake]), *(x for x in labels if x not in now)],
            "now": len(now),
        }
        for (track, piece, mistake), labels in sorted(made.items())
    ]
    return sorted(facts, key=lambda fact: (-fact["now"], -len(fact["pairs"])))


def is_at_it(told: PairState, track: str, piece: str, mistake: str) -> bool:
    """Tell whether the last check of a piece named this mistake."""
    return any(
        tally.is_wrong and tally.mistake == mistake
        for (its_track, _, its_piece), tally in told.pieces.items()
        if (its_track, its_piece) == (track, piece)
    )
