"""Judge a piece of a track: a function, or as it stands on its own in a pair's package."""

from dataclasses import replace

from reimpl_helpers.checks.cases import Piece
from reimpl_helpers.checks.suspects import WrongAnswer, naming, with_first_difference
from reimpl_helpers.checks.verdict import WRONG, Verdict, first_refusal, judge
from reimpl_helpers.pair.store import Store
from reimpl_helpers.scoring.blind import judge_test
from reimpl_helpers.texts import package
from reimpl_helpers.tracks.track import Track

NOTEBOOK_ONLY = (
    "It is right in the notebook, but not on its own in {}: does it use something that only the "
    "notebook has?"
)


def judge_piece(track: Track, piece: Piece, function) -> Verdict:
    """Judge a piece of code, and say what is known about an answer that is wrong."""
    cases = track.cases(piece)
    verdict = judge(piece, function, cases)
    if verdict.right and (why := track.why_not_in_jax(piece, function)):
        seen = f"right, but not yet in JAX, where it is to be differentiated: it {why}"
        return replace(verdict, state=WRONG, seen=seen)
    if verdict.refused is None or cases[verdict.refused].complaint_at:
        return verdict  # if all else is right, it is no known mistake, and no line differs
    answer = WrongAnswer(function, cases, verdict.refused)
    for suspect in track.suspects(piece, verdict.refused):
        if answer.is_that_of(suspect):
            return naming(verdict, piece, function, suspect.bug)
    return with_first_difference(verdict, function, cases[verdict.refused], track.recording)


def judge_alone(store: Store, piece: Piece, texts: dict[str, str]) -> Verdict:
    """Judge a piece or a test as it stands on its own in the texts of a package."""
    track = store.track
    if piece.is_test:
        ported, texts = store.is_ported(texts), store.completed(texts)
        given = track.given_texts(ported)  # float64 in NumPy, as long as theirs is
        bugs = [bug for bug in track.bugs if bug.name in piece.catches]
        wrong = {bug: track.planted(bug, ported) for bug in bugs}
        right = {module: given[module] for modules in wrong.values() for module in modules}
        return judge_test(piece, texts, store.folder, right, wrong, not ported)
    with package.imported_from(store.folder, texts):
        module = package.load_pieces(store.folder, piece.module, texts)
        return judge_piece(track, piece, getattr(module, piece.name, None))


def judge_here(store: Store, piece: Piece, function) -> Verdict:
    """Judge a piece as it is in the notebook, where no text of the package stands for it."""
    with package.imported_from(store.folder):
        return judge_piece(store.track, piece, function)


def judge_and_save(store: Store, piece: Piece, function) -> tuple[Verdict, bool]:
    """Judge a piece, and save it where it is right; tell whether it is new then.

    What is judged is its text as it stands on its own in the pair's package.
    """
    try:
        if piece.module:
            verdict, is_new = judge_in_package(store, piece, function)
        else:
            verdict, is_new = judge_here(store, piece, function), True
    except package.PackageError as error:
        if piece.is_test or (verdict := judge_here(store, piece, function)).right:
            verdict = not_saved(piece, error)
        return verdict, False
    if not verdict.right:
        return verdict, False
    is_asked_for = piece.name in {piece.name for piece in store.track.pieces}
    way = package.source_of_piece(store.track.given(piece)) if is_asked_for else ""
    return replace(verdict, another_way=way), is_new


def judge_in_package(store: Store, piece: Piece, function) -> tuple[Verdict, bool]:
    """Judge a piece by the text that the package has of it or gets, and save that if right.

    Raises: PackageError when no text of it can stand there, or what it uses is not right.
    """
    before, file = store.texts(), f"{piece.module}.py"
    if store.origin(function) == "package":
        return noted(judge_alone(store, piece, before), f"It is saved in {file}."), False
    if not piece.port and store.keeps_port(piece.name, function, before):
        return judge_beside_port(store, piece, function, before), False
    texts = store.texts_with(before, piece, function)
    refuse_wrong_beside(store, piece, before, texts)
    verdict = judge_alone(store, piece, texts)
    if not verdict.right:
        return with_hint(verdict, store, piece, function), False
    try:
        store.write(texts, before)
    except package.PackageError as error:
        return not_saved(piece, error), False
    return noted(verdict, f"Saved to {file}."), True


def judge_beside_port(store: Store, piece: Piece, function, before) -> Verdict:
    """Judge a piece in NumPy of which the package has a port, and that one too."""
    verdict, file = judge_here(store, piece, function), f"{piece.module}.py"
    if not verdict.right:
        return verdict
    port = judge_alone(store, piece, before)
    if not port.right:
        return replace(port, seen=f"right here, but your JAX version in {file} is not: {port.seen}")
    return noted(verdict, f"{file} keeps your JAX version.")


def noted(verdict: Verdict, note: str) -> Verdict:
    """Say what became of a piece that is right."""
    return replace(verdict, note=note) if verdict.right else verdict


def not_saved(piece: Piece, why: package.PackageError) -> Verdict:
    return Verdict(piece.label, WRONG, f"not saved: {why}")


def refuse_wrong_beside(store: Store, piece: Piece, before, texts) -> None:
    """Refuse pieces that come into the package with the one that uses them, and are not right.

    Raises: PackageError naming the first of them.
    """
    for name in store.changed(before, texts):
        if name != piece.name:
            verdict = judge_alone(store, store.track.piece(name), texts)
            if not verdict.right:
                raise package.PackageError(
                    f"{piece.name} uses {name}, which is not right yet. Mend that one first: "
                    f"{verdict}"
                )


def with_hint(verdict: Verdict, store: Store, piece: Piece, function) -> Verdict:
    """Ask for what only the notebook has, where a piece is wrong in the package and right there."""
    if verdict.refused is None:  # a test, a stub, or one that never ends
        return verdict
    cases = store.track.cases(piece)
    with package.imported_from(store.folder):
        # the one case first: as a rule it is wrong here too
        case = cases[verdict.refused]
        if first_refusal(function, [case]) or not judge(piece, function, cases).right:
            return verdict
    return replace(verdict, question=NOTEBOOK_ONLY.format(f"{piece.module}.py"), mistake="")
