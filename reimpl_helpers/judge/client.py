"""Judge a pair's whole package without running a line of it here: what `reimpl check` does.

A process of its own runs the pair's code and hands back what it answers, on the probes and on
inputs that nobody has seen. All comparing is done here.
"""

import base64
import contextlib
import json
import os
import queue
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from reimpl_helpers.base.clocks import TIME_LIMIT, TookTooLong
from reimpl_helpers.base.compiling import COMPILATION, float64_in_jax
from reimpl_helpers.checks.cases import Piece, Refusal
from reimpl_helpers.checks.equivalence import same_values, unseen_cases
from reimpl_helpers.checks.structure import answered
from reimpl_helpers.checks.verdict import NOT_WRITTEN, RIGHT, WRONG, Verdict, judge_answers
from reimpl_helpers.judge.pieces import judge_alone
from reimpl_helpers.judge.worker import PARTS, TRAINING
from reimpl_helpers.pair.store import Store
from reimpl_helpers.texts import package

SILENCE = 120  # seconds without a reply after which the process is ended
NONSENSE = (
    "the check was answered with something else. What does a module of yours write, and where?"
)
LONGEST = 2**28  # characters of one reply


class WorkerDied(Exception):
    """Say that the process that runs the pair's code is there no more, and why."""


class SandboxClient:
    """Talk to a process that runs the pair's code; start it where there is none."""

    def __init__(self, store: Store, hashed="0"):
        self.store, self.track = store, store.track
        self.process, self.reader = None, None
        self.hashed = hashed  # by which Python's hash() of a text differs between processes

    def __enter__(self):
        self.said = tempfile.TemporaryFile()
        return self

    def __exit__(self, *_):
        self.end()
        self.said.close()

    def start(self):
        # -P: nothing in the folder that this was called from hides a module of Python's
        command = [sys.executable, "-P", "-m", "reimpl_helpers.judge.worker"]
        self.said.truncate(0)
        self.process = subprocess.Popen(
            [*command, str(self.store.folder.resolve()), self.track.name],
            cwd=self.store.folder,  # what it writes, it writes there
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.said,
            env={**COMPILATION, **os.environ, "PYTHONHASHSEED": self.hashed},
            start_new_session=True,  # what it starts is ended with it
        )

    def end(self):
        if self.process:
            with contextlib.suppress(OSError, AttributeError):  # Windows has no groups
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.kill()
            self.process.wait()
            with contextlib.suppress(OSError):  # what it did not take
                self.process.stdin.close()
            if self.reader:
                self.reader.join(1)
            if not (self.reader and self.reader.is_alive()):  # something else holds its end
                self.process.stdout.close()
            self.process = None

    def replies(self, do: str, **request) -> Iterator[dict]:
        """Send a request and yield the replies to it; the last one is done.

        Raises: WorkerDied when the process ends, or says nothing for too long.
        """
        if self.process is None:
            self.start()
        try:
            self.process.stdin.write(json.dumps({"do": do, **request}).encode() + b"\n")
            self.process.stdin.flush()
            while True:
                reply = json.loads(self.next_line())
                yield reply
                if reply.get("done"):
                    return
        except queue.Empty:
            why = f"said nothing for {SILENCE} seconds"
        except (OSError, ValueError, AttributeError, RecursionError):  # a reply that is none
            why = "ended before it was done"
        self.end()
        raise WorkerDied(f"the check {why}. Does a module of yours exit, or never return?")

    def next_line(self) -> bytes:
        """Read one line of what the process says, and no more: it may say anything.

        Raises: queue.Empty when it says nothing for too long.
        """
        lines, stream = queue.Queue(), self.process.stdout
        self.reader = threading.Thread(target=read_line, args=(stream, lines), daemon=True)
        self.reader.start()
        return lines.get(timeout=SILENCE)

    def ask(self, do: str, **request) -> dict:
        """Send a request and return the one reply to it.

        Raises: WorkerDied, as replies does, or when there are more.
        """
        for reply in self.replies(do, **request):
            if reply.get("done"):
                return reply
            self.end()
            raise WorkerDied(NONSENSE)

    def last_words(self) -> str:
        """Return the last line that the process wrote to standard error."""
        self.said.seek(0)
        lines = self.said.read()[-10_000:].decode("utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else ""


def read_line(stream, lines):
    """Hand on one line, an empty one at the end."""
    lines.put(stream.readline(LONGEST))


def decoded(tree):
    """Read an answer back; what could not be written is an object that says what it was."""
    ((kind, value),) = tree.items()
    if kind == "dict":
        return {key: decoded(inner) for key, inner in value}
    if kind in ("tuple", "list"):
        return (tuple if kind == "tuple" else list)(map(decoded, value))
    if kind == "array":
        dtype, shape, data = value
        return np.frombuffer(base64.b64decode(data), np.dtype(dtype)).reshape(shape)
    if kind == "other":
        name, words = value
        return type(name, (), {"__repr__": lambda self: words})()
    return value


def judge_package(
    store: Store, is_asked: Callable[[Piece], bool] = lambda piece: True
) -> Iterator[Verdict]:
    """Judge the pieces of a pair's package, all or some; give each verdict as it is found."""
    track = store.track
    try:
        texts = store.texts()
    except package.PackageError as error:
        yield Verdict(track.name, WRONG, str(error))
        return
    with SandboxClient(store) as answers, SandboxClient(store, hashed="1") as others:
        broken = {module: why for module in texts if (why := why_broken(answers, module))}
        for number, piece in enumerate(track.pieces):
            if not piece.module or not is_asked(piece):
                continue
            if piece.module in broken:
                yield Verdict(piece.label, WRONG, broken[piece.module])
                continue
            try:
                verdict = why_not_there(store, piece, texts)
                verdict = verdict or confirmed(answers, number, piece, texts)
                if verdict.right and package.depends_on_process(texts[piece.module]):
                    verdict = drawn_otherwise(answers, others, number, verdict) or verdict
            except WorkerDied as gone:
                verdict = Verdict(piece.label, WRONG, str(gone), answers.last_words())
            yield verdict


def why_broken(answers, module) -> str:
    """Say why a module does not import, or nothing."""
    try:
        return str(answers.ask("import_module", module=module).get("broken", ""))
    except WorkerDied:
        return (
            f"{module}.py ends the check while it is imported. Does it exit, or never return? "
            f"{answers.last_words()}"
        ).strip()


def why_not_there(store, piece, texts) -> Verdict | None:
    """Say that a piece is not written, or not the pair's own; None where it is there to judge."""
    at = f"(step {piece.step})"
    if not store.is_written(piece.name, texts):
        return Verdict(piece.label, NOT_WRITTEN, f"not written yet {at}")
    if package.is_given(texts[piece.module], piece.name):
        return Verdict(piece.label, NOT_WRITTEN, f"the workbook's, yours not written yet {at}")
    if piece.port and package.is_in_numpy(texts[piece.module], piece.name, store.track.modules):
        return Verdict(piece.label, NOT_WRITTEN, f"not written yet: still in NumPy {at}")
    return None


def confirmed(answers, number, piece, texts) -> Verdict:
    """Judge one piece by what it answers in the other process.

    Raises: WorkerDied when that process ends.
    """
    if piece.is_test:  # in other processes anyway
        return judge_alone(answers.store, piece, texts)
    cases = answers.track.cases(piece)
    verdict = judge_answers(piece, cases, asking(answers, number, range(len(cases))))
    if verdict.right:
        return judged_unseen(answers, number, piece, cases) or verdict
    if verdict.refused is not None:  # else it never ends: once is enough
        with contextlib.suppress(WorkerDied):  # the words are its own, the verdict is not
            words = words_of(answers, number)
            return replace(verdict, **words) if words["state"] == WRONG else verdict
    return verdict


def words_of(answers, number) -> dict:
    reply = answers.ask("verdict", piece=number)
    words = {key: str(reply.get(key, "")) for key in PARTS}
    if words["state"] not in (NOT_WRITTEN, WRONG, RIGHT):
        answers.end()
        raise WorkerDied(NONSENSE)
    return words


def asking(answers, number, places: Sequence[int], seed: int | None = None):
    """Return a function that puts the n-th of some cases to a piece in the other process.

    `places` are where they stand among those that the other process makes, of the same seed.
    """

    def answer_to(case_number):
        reply = answers.ask("answer", piece=number, case=places[case_number], seed=seed)
        try:
            if "refusal" not in reply:
                return decoded(reply["answer"])
            refusal = Refusal(*map(str, reply["refusal"]))
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
            answers.end()
            raise WorkerDied(NONSENSE) from error
        raise refusal from (TookTooLong(TIME_LIMIT) if reply.get("too_long") else None)

    return answer_to


def drawn_otherwise(answers, others, number, verdict) -> Verdict | None:
    """Say that a piece which draws at random does so otherwise in another process, if it does.

    Raises: WorkerDied when one of the processes ends.
    """
    piece = answers.track.pieces[number]
    cases = answers.track.cases(piece)
    place = next((place for place, case in enumerate(cases) if case.complaint), None)
    if place is None:
        return None
    said = []
    for them in (answers, others):
        try:
            said.append(asking(them, number, [place])(0))
        except Refusal as refusal:
            said.append(str(refusal))
    if same_values(*said):
        return None
    seen = (
        f"right, but in another process it answers otherwise on “{cases[place].probe}”, with "
        "the same key."
    )
    question = "What differs from one run of Python to the next: hash(), a set's order, the time?"
    return replace(verdict, state=WRONG, seen=seen, question=question)


def judged_unseen(answers, number, piece, cases) -> Verdict | None:
    """Judge a piece on fresh random inputs, against the workbook's own; None where it is right."""
    seed, given = secrets.randbits(32), answers.track.given(piece)
    unseen, places = [], []
    with float64_in_jax(), np.errstate(all="ignore"):
        for place, case in unseen_cases(cases, seed):
            if made := answered(given, case):
                unseen.append(made)
                places.append(place)
    if not unseen:
        return None
    verdict = judge_answers(piece, unseen, asking(answers, number, places, seed))
    if verdict.right:
        return None
    seen = f"right on every probe, but not on inputs it has not seen: {verdict.seen}"
    return replace(verdict, state=WRONG, seen=seen)


def score_package(store: Store) -> dict:
    """Score a pair's tests in the other process; return the words, and whether all is caught.

    A run that never ends is given up with its process; the next one goes on without it.
    """
    never_ends, running = [], ""
    with SandboxClient(store) as answers:
        while True:
            try:
                for reply in answers.replies("score", never_ends=never_ends):
                    running = reply.get("running", running)
                return reply
            except WorkerDied as gone:
                if not running or running in never_ends:
                    words = f"no score: {gone} {answers.last_words()}".strip()
                    return {"score": words, "all_caught": False, "failing": "", "findings": []}
                never_ends.append(running)


def training_losses(store: Store, texts) -> tuple[list[float], str]:
    """Train a pair's model in the other process, as the original was trained.

    Returns the loss before each step, and where there is none, why.
    """
    track = store.track
    *_, model = [piece.name for piece in track.pieces if piece.step == 1 and piece.module]
    *_, loss = [piece.name for piece in track.listed if piece.module == "losses"]
    if not all(store.is_written(name, texts) for name in (model, loss, *TRAINING)):
        return [], "training is not written yet."
    with SandboxClient(store) as answers:
        try:
            reply = answers.ask("losses", model=model, loss=loss)
            return reply["losses"], reply["why_none"]
        except WorkerDied as gone:
            return [], f"{gone} {answers.last_words()}".strip()
