"""Judge a piece of a track: a function, or as it stands on its own in a pair's package."""

from dataclasses import replace
from functools import partial

from reimpl_helpers.checks.compare import WRONG, Piece, Verdict, judge
from reimpl_helpers.checks.suspects import with_explanation
from reimpl_helpers.pair.store import Store
from reimpl_helpers.scoring.blind import judge_test
from reimpl_helpers.texts import package
from reimpl_helpers.tracks.track import Track


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


def judge_and_save(store: Store, piece: Piece, function) -> tuple[Verdict, bool]:
    """Judge a piece, and save it where it is right; tell whether it is new in the package."""
    if not piece.is_test:
        with package.imported_from(store.folder):
            verdict = judge_piece(store.track, piece, function)
        if not verdict.right:
            return verdict, False
    note, is_new = "", True
    try:
        if piece.module:
            verdict, note, is_new = save(store, piece, function)
    except package.PackageError as error:
        return Verdict(piece.label, WRONG, f"not saved: {error}"), False
    if not verdict.right:
        return verdict, False
    is_asked_for = piece.name in {piece.name for piece in store.track.pieces}
    way = package.source_of_piece(store.track.given(piece)) if is_asked_for else ""
    return replace(verdict, note=note, another_way=way), is_new


def save(store: Store, piece: Piece, function) -> tuple[Verdict, str, bool]:
    """Judge a piece as it stands on its own in the pair's package; save it there if right.

    Returns the verdict, a note that says what became of it, and whether it was written.

    Raises: PackageError when it cannot be saved; nothing is written then.
    """
    before, file = store.texts(), f"{piece.module}.py"
    if store.origin(function) == "package":
        return judge_alone(store, piece, before), f"It is saved in {file}.", False
    if not piece.port and store.keeps_port(piece.name, function, before):
        return judge_alone(store, piece, before), f"{file} keeps your JAX version.", False
    texts = store.texts_with(before, piece, function, partial(judge_piece, store.track))
    verdict = judge_alone(store, piece, texts)
    if verdict.right:
        package.write_texts(store.folder, texts, before)
    elif not piece.is_test:
        raise package.PackageError(
            f"it is right here, but not on its own in {file}: {verdict.headline} "
            "Does it use something that only the notebook has?"
        )
    return verdict, f"Saved to {file}.", True
