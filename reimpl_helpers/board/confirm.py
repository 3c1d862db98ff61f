"""Judge anew what the pairs' logs call right, by the packages that the pairs saved.

They run in a fresh and limited process, as `reimpl check` does; nothing of them is imported here.
"""

import json
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path

from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.base.files import replace_file, scratch_folder
from reimpl_helpers.base.words import plural
from reimpl_helpers.board import CONFIRMED
from reimpl_helpers.board.facts import Key, digest_of, name_of, shown_labels, summarise_log
from reimpl_helpers.board.logs import Files, PairLog, end_of, logs_in, package_in, plain_file
from reimpl_helpers.checks.cases import Piece
from reimpl_helpers.checks.verdict import RIGHT, WRONG
from reimpl_helpers.judge.client import judge_package
from reimpl_helpers.pair.store import Store
from reimpl_helpers.texts import package
from reimpl_helpers.tracks.track import Track

BEWARE = (
    "What the pairs wrote runs now, in processes of its own, but as you: it may read and change "
    "whatever you may."
)
CHANGED = "its package holds another text by now"
PORTED = "its package holds a port by now, which is not right"
PATIENCE = 20 * 60  # seconds for one pair's package; what is left then waits for the next time

# A claim, what is said of it, and the judgement as it is kept: nothing where none was given.
Judged = tuple[Key, str, dict[str, dict]]


# --- what was confirmed -------------------------------------------------------------------


def confirmed_in(folder: Path) -> dict[str, dict[str, dict]]:
    """Read what was judged of each pair: {pair: {piece: {"state": ..., "of": digest}}}."""
    try:
        names = sorted(os.listdir(folder / CONFIRMED))
    except OSError:
        return {}
    return {
        name.removesuffix(".json"): judged_in(folder, Path(CONFIRMED, name))
        for name in names
        if name.endswith(".json") and not name.startswith(".")
    }


def judged_in(folder: Path, place: Path) -> dict[str, dict]:
    """Read what was judged of one pair; nothing where the file is not as it was written."""
    try:
        with plain_file(folder, place) as (descriptor, _):
            return parse_judgements(end_of(descriptor, 0))
    except OSError:
        return {}


def parse_judgements(said: bytes) -> dict[str, dict]:
    """Take from what was said of one pair what are judgements; nothing where it is damaged."""
    try:
        return {
            str(key): {"state": judged["state"], "of": str(judged["of"])}
            for key, judged in json.loads(said).items()
            if judged["state"] in (RIGHT, WRONG)
        }
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}


def confirm(folder: Path, say: Callable[[str], None], hidden: bool = False) -> bool:
    """Judge what is claimed and not judged yet, pair by pair; tell whether all of it is right.

    Raises: WorkbookError when there is no log, or what was judged cannot be kept.
    """
    logs, judged = logs_in(folder), defaultdict(dict, confirmed_in(folder))
    claims = {label: claims_in(kept) for label, kept in logs.items()}
    if any(unjudged(claims[label], judged[label]) for label in logs):
        say(BEWARE)
    for label, shown in shown_labels(logs, hidden).items():
        files_of = partial(package_beside, folder, logs[label])
        for key, words, judgement in judge_new(claims[label], judged[label], files_of):
            if judgement:  # kept before it is said: who is interrupted loses none
                judged[label] |= judgement
                keep(folder, label, judged[label])
            say(f"{shown}  {name_of(key)}: {words}")
    states = [
        state_of(judged[label], key, source)
        for label, theirs in claims.items()
        for key, source in theirs.items()
    ]
    say(f"{states.count(RIGHT)} of {plural(len(states), 'claim')} confirmed.")
    return states.count(RIGHT) == len(states)


def package_beside(folder: Path, kept: PairLog, track: str) -> Files:
    """Read the package of a track that lies beside a log; nothing where a log came alone."""
    return package_in(folder, kept.work / track) if kept.work else {}


def unjudged(claims: dict[Key, str], judged: dict[str, dict]) -> set[Key]:
    """Find the claims that nobody judged as they are now."""
    return {key for key, source in claims.items() if state_of(judged, key, source) is None}


def judge_new(
    claims: dict[Key, str],
    judged: dict[str, dict],
    files_of: Callable[[str], Files],
) -> Iterator[Judged]:
    """Judge what a pair claims and nobody judged, track by track; give each as it is found.

    `files_of` gives the files of the package that the pair saved of a track.
    """
    wanted = unjudged(claims, judged)
    for track in sorted({key[0] for key in wanted}):
        theirs = {key: claims[key] for key in wanted if key[0] == track}
        yield from judge_claims(theirs, files_of(track))


def state_of(judged: dict[str, dict], key: Key, source: str) -> str | None:
    """Say how this very text was judged; None where it was not."""
    found = judged.get(name_of(key), {})
    return found["state"] if found.get("of") == digest_of(source) else None


def claims_in(kept: PairLog) -> dict[Key, str]:
    """Find the text of every piece that a log calls right, and can be judged."""
    return {
        key: tally.source
        for key, tally in summarise_log(kept).pieces.items()
        if tally.claimed == RIGHT and tally.source and piece_of(key).module
    }


def piece_of(key: Key) -> Piece:
    return next(p for p in track_at(key[0]).pieces if (p.step, p.name) == key[1:])


@lru_cache
def track_at(name: str) -> Track:
    """Open a track, once."""
    return Track.at_end(name)


def keep(folder: Path, label: str, known: dict) -> None:
    """Write down what was judged of a pair.

    Raises: WorkbookError when that cannot be done.
    """
    try:
        (folder / CONFIRMED).mkdir(exist_ok=True)
        replace_file(folder / CONFIRMED / f"{label}.json", json.dumps(known, indent=1).encode())
    except OSError as error:
        raise WorkbookError(
            f"{folder / CONFIRMED} cannot be written ({error.strerror}), and so nothing that is "
            "judged is kept. Make room or allow writing there, then run this again."
        ) from error


# --- judging one pair ---------------------------------------------------------------------


def judge_claims(claims: dict[Key, str], files: Files) -> Iterator[Judged]:
    """Judge what a pair claims of one track by the package that they saved, as `reimpl check` does.

    A claim from before the port is confirmed by a port that is right and stands in its place.
    """
    (name,) = {key[0] for key in claims}
    left, until = set(claims), time.monotonic() + PATIENCE
    with scratch_folder() as scratch:
        store = Store(track_at(name), scratch / name)
        store.folder.mkdir()
        for filename, content in files.items():
            (store.folder / filename).write_bytes(content)
        shutil.copy(store.track.home / "recording.safetensors", store.folder)
        troubles = {key: why_not_in(store, key, claims[key]) for key in claims}
        asked = {piece_of(key).label: key for key in claims if troubles[key] in ("", PORTED)}

        def is_asked(piece):
            return piece.label in asked and time.monotonic() < until

        for verdict in judge_package(store, is_asked) if asked else ():
            key = asked.get(verdict.label)
            if key and (verdict.right or not troubles[key]):
                left.discard(key)
                state = RIGHT if verdict.right else WRONG
                yield key, state, {name_of(key): {"state": state, "of": digest_of(claims[key])}}
    for key in sorted(left):
        too_long = f"its package took more than {PATIENCE // 60} minutes"
        yield key, f"not judged: {troubles[key] or too_long}", {}


def why_not_in(store: Store, key: Key, source: str) -> str:
    """Say why a package does not hold the text that a pair calls right; nothing if it does."""
    piece, track = piece_of(key), store.track
    try:
        texts = store.texts()
        package.parse(texts.get(piece.module, ""), f"{piece.module}.py")
        text = package.definition_of(texts.get(piece.module, ""), piece.name)
    except package.PackageError as error:
        return str(error)
    if not texts:
        return f"no {track.name}/ lies beside its log. Copy the pair's whole work/"
    if text is None:
        return "its package does not hold it"
    if text == source:
        return ""
    return PORTED if track.has_port(piece.name) and not piece.port else CHANGED
