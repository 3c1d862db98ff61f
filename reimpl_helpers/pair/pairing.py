"""Keep the two roles at one notebook: who drives, when to swap, what was predicted, how it went."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from reimpl_helpers.base.files import replace_file
from reimpl_helpers.base.words import plural, shorten
from reimpl_helpers.checks.cases import Piece
from reimpl_helpers.checks.verdict import NOT_WRITTEN, RIGHT, Verdict
from reimpl_helpers.pair.log import Log, moment_of
from reimpl_helpers.pair.predictions import Question, question_about

TURN = timedelta(minutes=10)
HAND_IS_UP = "Your hand is up on the facilitator's board, until one more piece is right."
NAMES = "REIMPL_PAIR"  # a file that names who shares this session, one a line; set by the server


def names_here() -> tuple[str, ...]:
    """Name the two of this session, or the three; none where it is not shared."""
    names = read_names(Path(os.environ.get(NAMES, "")))
    return names if len(names) > 1 else ()


def read_names(file: Path) -> tuple[str, ...]:
    """Read who shares a session, from the file that says so."""
    try:
        names = file.read_text("utf-8", "replace").split("\n")
    except OSError:
        return ()
    return tuple(dict.fromkeys(filter(None, names)))


def name_here(file: Path, names: Iterable[str]) -> None:
    """Say who shares a session, now; its kernels read it when they next look."""
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_file(file, "\n".join(names).encode())


@dataclass(frozen=True)
class Turn:
    """Say who drives, and since when."""

    number: int
    driver: str
    navigator: str
    since: datetime

    @property
    def ends(self) -> datetime:
        return self.since + TURN


def turn_in(events, names) -> Turn | None:
    """Find the last turn of two of these in a log."""
    for event in reversed(events):
        who = event.get("driver"), event.get("navigator")
        if event["event"] == "turn" and who[0] != who[1] and set(who) <= set(names):
            return Turn(event["number"], *who, moment_of(event))
    return None


class Pair:
    """Two people at one step of a track, or three who take turns.

    What they do is in the log; whoever shows it is told by `watch` when it changes.
    """

    def __init__(self, track, names: tuple[str, ...], log: Log):
        self.track, self.names, self.log = track, names, log
        self._known = Turn(0, *names[:2], datetime.now(UTC))
        self._watchers, self._questions, self._waiting = [], {}, ""
        self.log.decide(self._begin)

    def _begin(self, events):
        turn = turn_in(events, self.names)
        if turn is None:
            return self._turn(1, *self.names[:2], "start")
        if turn.ends < datetime.now(UTC):  # they come back: the clock starts again
            return self._turn(turn.number + 1, turn.driver, turn.navigator, "start")
        return None

    def _turn(self, number, driver, navigator, why):
        who = {"driver": driver, "navigator": navigator}
        return {"event": "turn", "number": number, **who, "why": why}

    def watch(self, changed):
        """Call a function after every change."""
        self._watchers.append(changed)

    def _tell(self):
        for changed in self._watchers:
            changed()

    def _refresh_names(self):
        """Notice who joined and who left; two who are still here go on as they were."""
        names = names_here() or self.names
        if set(names) != set(self.names):
            self.names = names
            self.log.decide(self._begin)

    @property
    def turn(self) -> Turn:
        """Find the turn that is on; the last known one where the log is gone."""
        self._refresh_names()
        self._known = turn_in(self.log.read(), self.names) or self._known
        return self._known

    @property
    def also_here(self) -> list[str]:
        """Name who neither drives nor navigates: one, where three share a session."""
        turn = self.turn
        return [name for name in self.names if name not in (turn.driver, turn.navigator)]

    def swap(self, why: str = "asked", number: int | None = None) -> bool:
        """Let the navigator drive; with the number of a turn, only if it still is that one's.

        Of two who ask for the same swap at once, or by hand and by the clock, one gets it.
        """
        swapped = []
        self._refresh_names()

        def choose(events):
            turn = turn_in(events, self.names) or self._known
            if number not in (None, turn.number):
                return None
            swapped.append(turn)
            following = self.names[(self.names.index(turn.navigator) + 1) % len(self.names)]
            return self._turn(turn.number + 1, turn.navigator, following, why)

        self.log.decide(choose)
        self._tell()
        return bool(swapped)

    # --- help ---

    @property
    def hand_is_up(self) -> bool:
        """Tell whether the two have raised their hand for help."""
        return hand_in(self.log.read()) is not None

    def move_hand(self, raised: bool) -> None:
        """Raise the hand, or lower it."""
        move_hand(self.log, self.track, raised)
        self._tell()

    # --- pieces ---

    @cached_property
    def pieces(self) -> dict[str, Piece]:
        """List what this notebook asks for, by name."""
        return {piece.name: piece for piece in self.track.pieces if piece.step == self.track.step}

    def events_here(self, kind: str, name: str | None = None) -> list[dict]:
        """List the events of one kind at this step, about one piece or all."""
        here = {"event": kind, "track": self.track.name, "step": self.track.step}
        if name is not None:
            here["piece"] = name
        return [e for e in self.log.read() if all(e.get(key) == here[key] for key in here)]

    def is_right(self, name: str) -> bool:
        """Tell whether a check has called a piece right."""
        return any(event["state"] == RIGHT for event in self.events_here("check", name))

    @property
    def done(self) -> list[str]:
        """Name the pieces of this notebook that a check has called right."""
        right = {event["piece"] for event in self.events_here("check") if event["state"] == RIGHT}
        return [name for name in self.pieces if name in right]

    # --- predictions ---

    def question(self, name: str) -> Question:
        """Find the question about a piece."""
        if name not in self._questions:
            self._questions[name] = question_about(self.track, self.pieces[name])
        return self._questions[name]

    def prediction(self, name: str) -> dict | None:
        """Find what the navigator said about a piece, the first time; "" if they passed."""
        return next(iter(self.events_here("prediction", name)), None)

    def is_open(self, name: str) -> bool:
        """Tell whether a piece is neither right nor predicted."""
        return name in self.pieces and not self.is_right(name) and not self.prediction(name)

    def at_hand(self) -> str | None:
        """Name the piece that is worked on: the one whose check waits, or the first not done."""
        if self._waiting and self.is_open(self._waiting):
            return self._waiting
        done = self.done
        return next((name for name in self.pieces if name not in done), None)

    def open_question(self) -> tuple[Piece, Question] | None:
        """Find what the navigator is to say now, if anything."""
        name = self.at_hand()
        return (self.pieces[name], self.question(name)) if name and self.is_open(name) else None

    def asked_first(self, name: str) -> str:
        """Say what must be predicted before the check of a piece runs; nothing if it was."""
        if not self.is_open(name):
            return ""
        self._waiting = name
        self._tell()
        return (
            f"{self.turn.navigator} first: {self.question(name).text} Answer in the bar below, "
            f'or with track.predict("{name}", "..."). Then check again.'
        )

    def predict(self, name: str, said: str = "") -> str:
        """Keep what the navigator says before a check; "" passes. Return what became of it."""
        if name not in self.pieces:
            names = ", ".join(self.pieces)
            return f"{shorten(name)} is no exercise of this notebook. It asks for: {names}."
        question, navigator = self.question(name), self.turn.navigator
        answer = question.read(said) if said else ""
        if answer is None:
            options = " or ".join(question.choices) or "numbers, such as 3, 7"
            return f"“{shorten(said)}” does not answer the question. Say {options}."
        if not self.is_open(name):
            return f"{name} is predicted already, or right already. The first word counts."
        here = {"track": self.track.name, "step": self.track.step, "piece": name}
        known = {"came_true": answer == question.truth} if answer and question.truth else {}
        self.log.append(
            "prediction", **here, question=question.text, said=answer, navigator=navigator, **known
        )
        self._tell()
        return self.standing()

    def came_true(self, prediction: dict) -> bool | None:
        """Tell whether a prediction came true; None as long as nobody can know."""
        return came_true(prediction, self.events_here("check", prediction.get("piece")))

    def fared(self, name: str) -> str:
        """Say how the prediction about a piece fared."""
        prediction = self.prediction(name)
        so = self.came_true(prediction) if prediction else None
        if so is None:
            return ""
        return f"{said_in(prediction)}, and {'so it is' if so else 'it is not'}."

    # --- checks ---

    def checked(self, piece: Piece, verdict: Verdict, source: str) -> str:
        """Keep a verdict; on the first right one swap. Return what is to be said."""
        turn, first = self.turn, verdict.right and not self.is_right(piece.name)
        log_check(self.log, self.track, piece, verdict, source, turn)
        swapped = first and self.swap("check", turn.number)
        self._tell()
        fared = self.fared(piece.name) if first else ""
        swap = f"Swap: {turn.navigator} drives now." if swapped else ""
        return " ".join(filter(None, [fared, swap, self.trouble()]))

    def trouble(self) -> str:
        """Say that the log cannot be written, if so."""
        if not self.log.trouble:
            return ""
        return (
            f"{self.log.path.name} cannot be written ({self.log.trouble}); what you do is kept in "
            "this kernel until there is room."
        )

    # --- in words ---

    def standing(self) -> str:
        """Say how the prediction about the piece at hand stands."""
        name = self.at_hand()
        prediction = self.prediction(name) if name else None
        if prediction is None:
            return "" if name else "Every piece of this notebook is right."
        if not prediction["said"]:
            return f"No prediction about {name}. Now the check."
        return f"{said_in(prediction)} about {name}. Now the check."

    def __str__(self):
        turn = self.turn
        left = max(0, round((turn.ends - datetime.now(UTC)) / timedelta(minutes=1)))
        done = f"{len(self.done)} of {plural(len(self.pieces), 'piece')} done"
        roles = [f"{turn.driver} drives", f"{turn.navigator} navigates"]
        roles += [f"{name} is next" for name in self.also_here]
        lines = [f"{', '.join(roles)}; {plural(left, 'minute')} to the next swap; {done}."]
        if found := self.open_question():
            lines.append(
                f'{found[1].text} {turn.navigator}, say it: track.predict("{found[0].name}", "...")'
            )
        if self.hand_is_up:
            lines.append(HAND_IS_UP)
        return "\n".join(lines)

    __repr__ = __str__


def came_true(prediction: dict, checks: Iterable[dict]) -> bool | None:
    """Tell whether a prediction about a piece came true, from the checks of the piece."""
    if not prediction["said"]:
        return None
    if "came_true" in prediction:
        return prediction["came_true"] is True
    later = [
        event["state"] == RIGHT
        for event in checks
        if event["state"] != NOT_WRITTEN and moment_of(event) >= moment_of(prediction)
    ]
    return later[0] == (prediction["said"] == "yes") if later else None


def hand_in(events) -> dict | None:
    """Find the event that raised the hand that is up still; a piece that turns right lowers it."""
    up, right = None, set()
    for event in events:
        if event["event"] == "hand":
            up = (up or event) if event["raised"] else None
        elif event["event"] == "check" and event["state"] == RIGHT:
            piece = event["track"], event["step"], event["piece"]
            up = up if piece in right else None  # right once more is no progress
            right.add(piece)
    return up


def move_hand(log: Log, track, raised: bool) -> None:
    """Raise the hand, or lower it, where it is not so already."""
    here = {"track": track.name, "step": track.step}

    def choose(events):
        is_up = hand_in(events) is not None
        return None if is_up == raised else {"event": "hand", **here, "raised": raised}

    log.decide(choose)


def said_in(prediction: dict) -> str:
    return f"{prediction['navigator']} said {prediction['said']}"


def log_check(log: Log, track, piece: Piece, verdict: Verdict, source: str, turn=None) -> None:
    """Keep a verdict; where it is right the text that was checked, else the mistake it names."""
    log.append(
        "check",
        track=track.name,
        step=track.step,
        piece=piece.name,
        state=verdict.state,
        source=source if verdict.right else "",
        **({"mistake": verdict.mistake} if verdict.mistake else {}),
        **({"driver": turn.driver, "navigator": turn.navigator} if turn else {}),
    )
