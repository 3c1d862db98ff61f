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
    """Judge a piece as it is in the notebook: one that no text of the package could stand for."""
    with package.imported_from(store.folder):
        return judge_piece(store.track, piece, function)


def judge_and_save(store: Store, piece: Piece, function) -> tuple[Verdict, bool]:
    """Judge a piece, and save it where it is right; tell whether it is new in the package.

    What is judged is its text in the pair's package, as everywhere else.
    """
    note, is_new = "", True
    try:
        if piece.module:
            verdict, note, is_new = judge_in_package(store, piece, function)
        else:
            verdict = judge_here(store, piece, function)
    except package.PackageError as error:
        if piece.is_test or (verdict := judge_here(store, piece, function)).right:
            verdict = Verdict(piece.label, WRONG, f"not saved: {error}")
        return verdict, False
    if not verdict.right:
        return verdict, False
    is_asked_for = piece.name in {piece.name for piece in store.track.pieces}
    way = package.source_of_piece(store.track.given(piece)) if is_asked_for else ""
    return replace(verdict, note=note, another_way=way), is_new


def judge_in_package(store: Store, piece: Piece, function) -> tuple[Verdict, str, bool]:
    """Judge a piece as it stands on its own in the pair's package; save it there if right.

    Returns the verdict, a note that says what became of it, and whether it was written.

    Raises: PackageError when it cannot be put there; nothing is written then.
    """
    before, file = store.texts(), f"{piece.module}.py"
    if store.origin(function) == "package":
        return judge_alone(store, piece, before), f"It is saved in {file}.", False
    if not piece.port and store.keeps_port(piece.name, function, before):
        return judge_here(store, piece, function), f"{file} keeps your JAX version.", False
    texts = store.texts_with(before, piece, function)
    verdict = judge_alone(store, piece, texts)
    if verdict.right:
        refuse_wrong_beside(store, piece, before, texts)
        store.write(texts, before)
    elif verdict.stage == "raised" and answers_here(store, piece, function, verdict.refused):
        verdict = replace(verdict, question=NOTEBOOK_ONLY.format(file))
    return verdict, f"Saved to {file}.", True


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


def answers_here(store: Store, piece: Piece, function, refused: int | None) -> bool:
    """Tell whether a piece is right in the notebook on the case on which its text is not."""
    if piece.is_test or refused is None:
        return False
    with package.imported_from(store.folder):
        return first_refusal(function, [list(piece.cases(store.track.recording))[refused]]) is None
