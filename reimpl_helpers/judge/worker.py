"""Run a pair's code in a process of its own, which only answers: what `reimpl check` starts.

Requests come as lines of JSON, replies go back as lines of JSON, arrays in them as bytes. The
verdict is given elsewhere, in a process that never imports a module of the pair's: nothing that
the pair's code does here can touch it.
"""

import base64
import functools
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from reimpl_helpers.base.clocks import TookTooLong
from reimpl_helpers.base.compiling import float64_in_jax
from reimpl_helpers.base.limits import limit_this_process, take_output
from reimpl_helpers.base.words import first_line, shorten
from reimpl_helpers.checks.cases import Case, Refusal
from reimpl_helpers.checks.compare import as_array
from reimpl_helpers.checks.equivalence import unseen_cases
from reimpl_helpers.checks.verdict import answer_of
from reimpl_helpers.judge.pieces import judge_alone
from reimpl_helpers.pair.store import Store
from reimpl_helpers.scoring.score import score_tests
from reimpl_helpers.texts import package
from reimpl_helpers.tracks.track import Track

PARTS = "state", "seen", "question", "details"  # of a verdict that are words
TRAINING = "params_from_state_dict", "train"  # what every track calls them


class SandboxWorker:
    """Answer requests about one pair's package."""

    def __init__(self, store: Store, send):
        self.store, self.track, self.send = store, store.track, send
        self.modules, self.made = {}, {}

    @functools.cached_property
    def texts(self):
        return self.store.texts()

    def import_module(self, module: str) -> dict:
        """Import a module; reply with what is wrong with it, or nothing."""
        try:
            package.load_pieces(self.store.folder, module)
        except package.PackageError as error:
            return {"broken": str(error)}
        return {"broken": ""}

    def answer(self, piece: int, case: int, seed: int | None) -> dict:
        """Put one case to a piece; reply with what it answers, or why there is no answer."""
        asked = self.track.pieces[piece]
        with package.imported_from(self.store.folder, self.texts), float64_in_jax():
            try:
                function = getattr(self.module(asked.module), asked.name, None)
                return {"answer": encoded(answer_of(function, self.cases(piece, seed)[case]))}
            except Refusal as refusal:
                too_long = isinstance(refusal.__cause__, TookTooLong)
                said = [refusal.stage, refusal.seen, refusal.question, refusal.details]
                return {"refusal": said, "too_long": too_long}

    def module(self, name):
        """Import a module of the pair's, once."""
        if name not in self.modules:
            self.modules[name] = package.load_pieces(self.store.folder, name, self.texts)
        return self.modules[name]

    def cases(self, piece, seed) -> dict[int, Case]:
        """Make the cases of a piece, by their place: those of the probes, or unseen ones; once."""
        if (piece, seed) not in self.made:
            cases = self.track.cases(self.track.pieces[piece])
            made = dict(enumerate(cases) if seed is None else unseen_cases(cases, seed))
            self.made[piece, seed] = made
        return self.made[piece, seed]

    def verdict(self, piece: int) -> dict:
        """Judge a piece here, for the words: reply with its parts."""
        verdict = judge_alone(self.store, self.track.pieces[piece], self.texts)
        return {key: getattr(verdict, key) for key in PARTS}

    def score(self, never_ends: list[str]) -> dict:
        """Score the pair's tests; before each run, say of what it is."""
        score = score_tests(
            Store(Track(self.track.name, self.store.step_reached(self.texts)), self.store.folder),
            self.texts,
            frozenset(never_ends),
            lambda what: self.send({"running": what}),
        )
        findings = [
            [f.mistake.kind, f.mistake.piece, f.mistake.name, f.caught_by] for f in score.findings
        ]
        all_caught = bool(score.findings) and not score.missed
        return {
            "score": repr(score),
            "all_caught": all_caught,
            "failing": score.failing,
            "findings": findings,
        }

    def losses(self, model: str, loss: str) -> dict:
        """Train as the original was trained; reply with the losses, or why there are none."""
        recorded, names = self.track.recording.training, (model, loss, *TRAINING)
        with package.imported_from(self.store.folder, self.texts), float64_in_jax():
            try:
                homes = [self.module(self.track.modules[name]) for name in names]
                model, loss, as_params, train = map(getattr, homes, names)
                params, steps = as_params(recorded.params), len(recorded.losses)
                batch, step_size = (recorded.x, recorded.y), recorded.learning_rate
                _, losses = train(params, model, loss, *batch, steps=steps, step_size=step_size)
                return {"losses": list(map(float, losses)), "why_none": ""}
            except Exception as error:
                return {"losses": [], "why_none": first_line(f"{type(error).__name__}: {error}")}


def encoded(value) -> dict:
    """Write an answer in JSON's terms; what cannot be written becomes a few words about it."""
    if value is None or isinstance(value, bool | int | float | str):
        return {"value": value}
    if isinstance(value, Mapping):
        return {"dict": [[str(key), encoded(inner)] for key, inner in value.items()]}
    if isinstance(value, tuple | list):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [encoded(inner) for inner in value]}
    try:
        array = as_array(value, "")
    except Refusal:
        array = np.array(None)
    if array.dtype.kind not in "biufc":
        return {"other": [type(value).__name__, shorten(value).partition(" ")[2]]}
    data = base64.b64encode(array.tobytes()).decode()
    return {"array": [array.dtype.str, array.shape, data]}


def main(folder: str, name: str) -> None:
    """Answer requests from standard input until it ends."""
    limit_this_process()
    replies = take_output()  # what a package prints goes elsewhere

    def send(reply):
        replies.write(json.dumps(reply) + "\n")
        replies.flush()

    import jax  # noqa: F401  before the first answer, or that would be in float32

    answerer = SandboxWorker(Store(Track.at_end(name), Path(folder)), send)
    for line in sys.stdin:
        request = json.loads(line)
        reply = getattr(answerer, request.pop("do"))(**request)
        send({"done": True, **reply})


if __name__ == "__main__":
    main(*sys.argv[1:])
