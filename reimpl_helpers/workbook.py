"""Open a notebook of a track for a pair: all that a notebook calls on what `start` returns."""

import filecmp
import inspect
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import FunctionType

from IPython import get_ipython

from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.base.places import work_folder
from reimpl_helpers.base.words import sentences, shorten
from reimpl_helpers.card.writing import CARD, Card, write_card
from reimpl_helpers.checks.cases import Piece
from reimpl_helpers.checks.verdict import NOT_WRITTEN, PREDICT, Verdict, judge, shadowed_names
from reimpl_helpers.judge.pieces import judge_and_save
from reimpl_helpers.originals.recording import Recording, RecordingError
from reimpl_helpers.pair.log import Log
from reimpl_helpers.pair.pairing import HAND_IS_UP, Pair, log_check, move_hand, names_here
from reimpl_helpers.pair.store import MARKER, Store
from reimpl_helpers.pair.summary import Summary
from reimpl_helpers.scoring.score import Score, own_mistake, planted_mistake, said_of, score_tests
from reimpl_helpers.scoring.testing import TestRun, run_tests
from reimpl_helpers.texts import package
from reimpl_helpers.tracks.track import Track, refuse_no_track

SWAP = "Swap: the navigator drives now."
NAME_THE_TWO = (
    'make lab PAIR="Ada,Grace" names the two of you. Then this says who drove, how your '
    "predictions fared, and what took longest."
)


class Note(str):
    """String whose repr has no quotes: a notebook shows it as it is."""

    def __repr__(self):
        return str(self)


class Workbook:
    """What a notebook calls `track`: one track, at one step.

    original, recording         the model's PyTorch source, and what it computed
    use("encoder", ...)         pieces to go on with: yours where saved, else the workbook's
    check(encoder)              judge a piece or a test, and save it when it is right
    whose("encoder")            "ours" or "the workbook's"
    run_tests(), score()        run your saved tests; count the mistakes that they catch
    wrong(...), caught_by(...)  a piece with a known mistake; which of your tests catches one
    add_mistake(encoder__...)   save a mistake of your own
    predict(...), swap()        what the navigator expects of a check; the other one drives
    raise_hand(), lower_hand()  call the facilitator, or no longer
    card()                      measure the model, and write its card
    summary()                   who drove, how your predictions fared, what took longest
    """

    def __init__(self, store: Store):
        self.store, self.track, self.log = store, store.track, Log(store.folder.parent)

    @cached_property
    def pair(self) -> Pair | None:
        """Find the two at this notebook, where `reimpl lab` was told of two."""
        names = names_here()
        return Pair(self.track, names, self.log) if names else None

    @property
    def original(self) -> Path:
        """Return the file of the original model, in PyTorch."""
        return self.track.original

    @property
    def recording(self) -> Recording:
        """Return what the original computed, with its parameters."""
        return self.track.recording

    def use(self, *names):
        """Hand out pieces to go on with: the pair's own where saved, else the workbook's.

        Raises: WorkbookError for a name that is no piece; PackageError when the pair's file does
        not import.
        """
        texts = self.store.texts()
        found = [self.store.found(self.track.piece(name), texts) for name in names]
        for _, whose in sorted({(not piece.is_ours, piece.whose) for piece in found}):
            theirs = [n for n, piece in zip(names, found, strict=True) if piece.whose == whose]
            print(f"{whose}: {', '.join(theirs)}")
        functions = [piece.function for piece in found]
        return functions[0] if len(functions) == 1 else functions

    def check(self, function) -> Verdict:
        """Judge a piece or a test, and save it to the pair's package when it is right.

        Raises: WorkbookError when it is no piece of this track; PackageError when it comes from a
        file of the pair's that is no text any more.
        """
        plain = inspect.unwrap(function)
        if not isinstance(plain, FunctionType) or plain.__name__ == "<lambda>":
            raise WorkbookError(
                f"check was handed {shorten(function)}, expected a function written with `def`. "
                "Run the cell that defines it, then this one again."
            )
        piece, origin = self.track.piece(plain.__name__), self.store.origin(function)
        if piece.from_track:
            raise WorkbookError(
                f"`{piece.name}` is no exercise of this track: it comes from {piece.from_track}. "
                f"Go on with track.use({piece.name!r})."
            )
        is_own = origin == "notebook" or (
            origin == "package" and self.store.is_own(piece.name, self.store.texts())
        )
        if not is_own:
            return Verdict(
                piece.label,
                NOT_WRITTEN,
                "not written yet: this one is the workbook's. Run the cell with your own.",
            )
        if self.pair and origin == "notebook" and not is_stub(function):
            if question := self.pair.asked_first(piece.name):
                return Verdict(piece.label, PREDICT, question)
        verdict, saved = judge_and_save(self.store, piece, function)
        if self.pair:
            swap = self.pair.checked(piece, verdict, source_text(function))
        else:
            log_check(self.log, self.track, piece, verdict, source_text(function))
            swap = SWAP if saved else ""
        return replace(verdict, note=sentences(verdict.note, swap))

    def predict(self, name: str, said: str = "") -> str:
        """Keep what the navigator expects of a check, before it runs; without words they pass.

        Raises: WorkbookError when nobody is named.
        """
        return Note(self._require_pair().predict(name, said))

    def swap(self) -> str:
        """Let the navigator drive.

        Raises: WorkbookError when nobody is named.
        """
        self._require_pair().swap()
        return Note(self.pair)

    def raise_hand(self) -> str:
        """Ask for help: the facilitator's board shows it, until one more piece is right."""
        return self._move_hand(True)

    def lower_hand(self) -> str:
        """Ask for no help any more."""
        return self._move_hand(False)

    def _move_hand(self, raised):
        if self.pair:
            self.pair.move_hand(raised)
        else:
            move_hand(self.log, self.track, raised)
        return Note(
            f"{HAND_IS_UP} Lower it: track.lower_hand()" if raised else "Your hand is down."
        )

    def _require_pair(self) -> Pair:
        if self.pair is None:
            raise WorkbookError(f"nobody is named here. {NAME_THE_TWO}")
        return self.pair

    def summary(self):
        """Sum up the notebook: who drove, how the predictions fared, what took longest."""
        return Summary(self.pair) if self.pair else Note(NAME_THE_TWO)

    def card(self) -> Card | Note:
        """Measure the model, write its card and the test that measures it anew; show the card.

        Raises: WorkbookError when the model cannot be measured, or the card not be written;
        PackageError when the pair's package does not import.
        """
        if not self.store.is_own("in_words", self.store.texts()):
            return Note("No card yet: write in_words, and run its check.")
        print("Training and measuring your package anew: that may take a minute.", flush=True)
        card = write_card(self.store, " and ".join(self.pair.names) if self.pair else "a pair")
        print(f"Written to {self.store.folder.parent.name}/{self.track.name}: {CARD}.")
        return card

    def whose(self, name) -> str:
        """Say whose piece `use` hands out: "ours" or "the workbook's"."""
        found = self.store.found(self.track.piece(name), self.store.texts())
        return "ours" if found.is_ours else "the workbook's"

    def run_tests(self) -> TestRun:
        """Run the pair's saved tests with pytest, and show its report.

        Raises: PackageError for a file that is no text.
        """
        texts = self.store.texts()
        if "test_model" not in texts:
            return TestRun({}, {}, "no tests yet: test_model.py is written by step 4.")
        return run_tests(texts["test_model"], self.store.folder, texts)

    def score(self, **more) -> Score:
        """Score the pair's saved tests: how many mistakes they catch, and which they miss.

        Raises: PackageError for a file that is no text.
        """
        score = score_tests(self.store, self.store.texts(), **more)
        if score.findings:
            here = {"track": self.track.name, "step": self.track.step}
            counts = {"caught": len(score.caught), "mistakes": len(score.findings)}
            self.log.append("score", **here, **counts)
        return score

    def add_mistake(self, function) -> str:
        """Save a mistake of the pair's own, and say which of their tests catches it.

        `encoder__codes_doubled` is an `encoder` that is wrong in the way its name says.

        Raises: WorkbookError when it is no mistake in a piece of this track.
        """
        piece = mistaken_piece(self.track, function)
        name = function.__name__
        verdict = judge(piece, function, self.track.cases(piece))
        if verdict.state == NOT_WRITTEN:
            return Note(f"{name} · not written yet")
        if verdict.right:
            raise WorkbookError(
                f"{name} is {verdict.headline} No check can tell it from a right {piece.name}, "
                "and no test should. Make a mistake that shows."
            )
        before = self.store.texts()
        texts = self.track.with_piece(before, function)
        self.store.write(texts, before)
        mistake = own_mistake(self.store.completed(texts), self.track.modules, name)
        return Note(f"{said_of(self.store, texts, mistake)} Swap.")

    def caught_by(self, mistake: str) -> str:
        """Say which of the pair's tests catches a planted bug.

        Raises: WorkbookError when there is none of this name.
        """
        texts, bug = self.store.texts(), self.track.bug(mistake)
        whole, ported = self.store.completed(texts), self.store.is_ported(texts)
        wrong = planted_mistake(self.track, whole, bug, ported)
        return Note(said_of(self.store, texts, wrong))

    def wrong(self, name: str, mistake: str):
        """Hand out a piece as it is with a planted bug in it.

        Raises: WorkbookError when there is no such piece, or no such bug.
        """
        piece = self.track.piece(name)
        return self.track.as_made_by(self.track.bug(mistake), piece)


def mistaken_piece(track: Track, function) -> Piece:
    """Find the piece that a function is a wrong version of.

    Raises: WorkbookError when its name does not say, or the piece is no code of the package.
    """
    name = getattr(function, "__name__", shorten(function))
    wrong, named, what = name.partition("__")
    names = dict.fromkeys(p.name for p in track.pieces if track.is_reached(p.name))
    if not (named and what and wrong in names and isinstance(function, FunctionType)):
        raise WorkbookError(
            f"`{name}` names no mistake. Name the piece, two underscores, and what is wrong, "
            f"as in def {next(iter(names))}__bias_left_out(...). "
            f"The pieces so far are: {', '.join(names)}."
        )
    return track.piece(wrong)


# --- opening a notebook -------------------------------------------------------------------


def start(name: str, step: int) -> Workbook:
    """Open a track at one step, and say where the pair stands.

    Raises: WorkbookError for an unknown track, or when its recording is missing or damaged.
    """
    refuse_no_track(name)
    workbook = Workbook(Store(Track(name, step), work_folder() / name))
    try:
        workbook.recording  # noqa: B018  read now: every check needs it
    except RecordingError as error:
        raise WorkbookError(str(error)) from error
    print(f"{name}, step {step}. {where_the_pair_stands(workbook.store)}")
    for warning in warnings_about(workbook.store):
        print(warning)
    explain_errors(workbook)
    workbook.log.append("start", track=name, step=step)
    if workbook.pair and step:
        show_roles(workbook.pair)
    return workbook


def show_roles(pair: Pair):
    """Show the bar of the two roles."""
    from IPython.display import display

    from reimpl_helpers.widgets import RolesBar

    display(RolesBar(pair))


def is_stub(function) -> bool:
    """Tell whether the body of an exercise is still as it was found."""
    return "raise NotImplementedError" in source_text(function)


def source_text(function) -> str:
    """Return the text of a function; nothing where there is none to be had."""
    try:
        return package.source_of_piece(function)
    except package.PackageError:
        return ""


def where_the_pair_stands(store: Store) -> str:
    """Say what of the pair's own is in their package by this step."""
    track = store.track
    asked = [piece.name for piece in track.pieces if piece.module and piece.step <= track.step]
    try:
        texts = store.texts()
        saved = [name for name in dict.fromkeys(asked) if store.is_own(name, texts)]
    except package.PackageError as error:
        return str(error)
    folder = f"{store.folder.parent.name}/{store.folder.name}"
    if not saved:
        return f"Nothing of yours is saved in {folder} yet."
    return f"Yours, saved in {folder}: {', '.join(saved)}."


def warnings_about(store: Store) -> Iterator[str]:
    """Say what in the pair's folder would bite later."""
    for path in sorted(store.folder.glob("*.py")):
        hidden = package.hidden_by(path.stem)
        if hidden:
            yield f"{path.name} in your folder hides {hidden} from what runs there. Rename it."
    ours, theirs = (f / "recording.safetensors" for f in (store.folder, store.track.home))
    if ours.exists() and not filecmp.cmp(ours, theirs, shallow=False):
        yield (
            "recording.safetensors in your folder is not the workbook's: damaged or changed. "
            "Move it away and run `reimpl work`, which copies it again. Checks use the workbook's."
        )
    elif (store.folder / MARKER).exists() and not ours.exists():
        yield "recording.safetensors is missing in your folder. `reimpl work` copies it again."


def explain_errors(workbook: Workbook) -> None:
    """Add a line of advice below an exception that a mixed-up notebook raises."""
    shell = get_ipython()
    if shell is None:
        return

    def explain(shell, kind, error, trace, tb_offset=None):
        shell.showtraceback((kind, error, trace), tb_offset=tb_offset)
        advice = advice_for(error, shell.user_ns, workbook)
        if advice:
            print(advice)

    shell.set_custom_exc((Exception,), explain)


def advice_for(error, namespace, workbook: Workbook) -> str:
    """Say what may have caused an exception in a mixed-up notebook; nothing where nobody knows."""
    if isinstance(error, NameError) and error.name:  # an UnboundLocalError has no name
        return (
            f"`{error.name}` means nothing in this kernel. Is it misspelt? If not, a cell above "
            "was not run: choose Run › Run All Above Selected Cell, then run this one again."
        )
    if type(error).__name__ == "TracerArrayConversionError":
        return (
            "JAX handed a placeholder to NumPy: one of your functions still computes with np. The "
            "traceback says which. Write it with jnp, run its check, then this cell again."
        )
    for name, ours in {"check": workbook.check, "track": workbook}.items():
        if type(namespace.get(name, ours)) is not type(ours):
            return f"`{name}` is no longer the workbook's. Run the first code cell again."
    return shadowed_names(namespace)
