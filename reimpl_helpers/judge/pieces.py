"""Judge a piece of a track: a function, or as it stands on its own in a pair's package."""

from dataclasses import replace

from reimpl_helpers.checks.cases import Piece
from reimpl_helpers.checks.suspects import with_explanation
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
    verdict = judge(piece, function, track.recording)
    if verdict.right and (why := track.why_not_in_jax(piece, function)):
        seen = f"right, but not yet in JAX, where it is to be differentiated: it {why}"
        return replace(verdict, state=WRONG, seen=seen)
    if verdict.refused is None:
        return verdict
    suspects = track.suspects_asked(piece, verdict.refused)
    return with_explanation(verdict, piece, function, track.recording, suspects)


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
        before = store.texts() if piece.module else {}
        texts, note, is_new = texts_to_judge(store, piece, function, before)
        if texts is None:
            verdict = judge_here(store, piece, function)
        else:
            verdict = judge_alone(store, piece, texts)
    except package.PackageError as error:
        if piece.is_test or (verdict := judge_here(store, piece, function)).right:
            verdict = not_saved(piece, error)
        return verdict, False
    is_put_in = texts is not None and is_new
    if not verdict.right:
        if is_put_in and verdict.stage == "raised":
            verdict = with_hint(verdict, store, piece, function)
        return verdict, False
    try:
        if is_put_in:
            refuse_wrong_beside(store, piece, before, texts)
            store.write(texts, before)
    except package.PackageError as error:
        return not_saved(piece, error), False
    is_asked_for = piece.name in {piece.name for piece in store.track.pieces}
    way = package.source_of_piece(store.track.given(piece)) if is_asked_for else ""
    return replace(verdict, note=note, another_way=way), is_new


def texts_to_judge(store: Store, piece: Piece, function, before) -> tuple[dict | None, str, bool]:
    """Give the texts of the package in which a piece is judged, None for the notebook's function.

    Returns them, what is said where it is right, and whether it is new then.

    Raises: PackageError when it cannot be put there.
    """
    file = f"{piece.module}.py"
    if piece.module is None:
        return None, "", True
    if store.origin(function) == "package":
        return before, f"It is saved in {file}.", False
    if not piece.port and store.keeps_port(piece.name, function, before):
        return None, f"{file} keeps your JAX version.", False
    return store.texts_with(before, piece, function), f"Saved to {file}.", True


def not_saved(piece: Piece, why: package.PackageError) -> Verdict:
    return Verdict(piece.label, WRONG, f"not saved: {why}")


def refuse_wrong_beside(store: Store, piece: Piece, before, texts) -> None:
    """Refuse pieces that came into the package with the one that uses them, and are not right.

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
    """Ask for what only the notebook has, where a piece raises in the package and not there."""
    if piece.is_test or verdict.refused is None:
        return verdict
    case = list(piece.cases(store.track.recording))[verdict.refused]
    with package.imported_from(store.folder):
        is_right_here = first_refusal(function, [case]) is None
    question = NOTEBOOK_ONLY.format(f"{piece.module}.py") if is_right_here else verdict.question
    return replace(verdict, question=question)
