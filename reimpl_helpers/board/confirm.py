"""Judge anew what the pairs' logs call right: each pair's package, put together from its log alone.

It runs in a fresh and limited process, as `reimpl check` does; nothing of it is imported here.
"""

import ast
import builtins
import json
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path

import nbformat

from reimpl_helpers import package
from reimpl_helpers.board import CONFIRMED
from reimpl_helpers.board.facts import Key, digest_of, name_of, shown_labels, summarise_log
from reimpl_helpers.board.logs import PairLog, end_of, logs_in, plain_file
from reimpl_helpers.checks import RIGHT, WRONG, Piece, plural
from reimpl_helpers.errors import WorkbookError
from reimpl_helpers.files import replace_file, scratch_folder
from reimpl_helpers.judge import judge_package
from reimpl_helpers.notebooks import exercise_of, notebooks_of
from reimpl_helpers.store import Store
from reimpl_helpers.track import LAST_STEP, Track

BEWARE = (
    "What the pairs wrote runs now, in processes of its own, but as you: it may read and change "
    "whatever you may."
)
LONGEST = 50_000  # characters of one piece; the workbook's longest has 3,000
PATIENCE = 20 * 60  # seconds for one pair's package; what is left then waits for the next time
UNREADABLE = SyntaxError, ValueError, RecursionError, MemoryError, package.PackageError


class Incomplete(Exception):
    """Say that a piece uses what its log does not hold: nobody can judge it from there."""


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
        for found in judge_new(claims[label], judged[label], partial(tell, say, shown)):
            judged[label] = judged[label] | found
            keep(folder, label, judged[label])
    states = [
        state_of(judged[label], key, source)
        for label, theirs in claims.items()
        for key, source in theirs.items()
    ]
    say(f"{states.count(RIGHT)} of {plural(len(states), 'claim')} confirmed.")
    return states.count(RIGHT) == len(states)


def unjudged(claims: dict[Key, str], judged: dict[str, dict]) -> set[Key]:
    """Find the claims that nobody judged as they are now."""
    return {key for key, source in claims.items() if state_of(judged, key, source) is None}


def judge_new(claims: dict[Key, str], judged: dict[str, dict], tell) -> Iterator[dict[str, dict]]:
    """Judge what a pair claims and nobody judged, track by track."""
    wanted = unjudged(claims, judged)
    for track in sorted({key[0] for key in wanted}):
        yield judge_claims(track, claims, wanted, tell)


def tell(say, shown: str, key: Key, words: str) -> None:
    say(f"{shown}  {name_of(key)}: {words}")


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
def track_at(name: str, step: int = LAST_STEP) -> Track:
    """Open a track, once."""
    return Track(name, step)


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


def judge_claims(name: str, claims: dict[Key, str], wanted: set[Key], tell) -> dict[str, dict]:
    """Judge some of what a pair claims of a track: what it wrote in NumPy, and then in JAX."""
    in_jax = min(piece.step for piece in track_at(name).pieces if piece.port)
    wanted = {key for key in wanted if key[0] == name}
    early = {key: source for key, source in claims.items() if key[1] < in_jax}
    before, after = wanted & early.keys(), wanted - early.keys()
    judged = judge_package_of(track_at(name, in_jax - 1), early, before, tell) if before else {}
    return judged | (judge_package_of(track_at(name), claims, after, tell) if after else {})


def judge_package_of(track: Track, claims, wanted: set[Key], tell) -> dict[str, dict]:
    """Put a package together, judge what is wanted of it, and tell how each piece fares."""
    texts, troubles = package_of(track, claims)
    asked = {piece_of(key).label: key for key in wanted - troubles.keys()}
    states = {key: WRONG for key in wanted & troubles.keys() if is_wrong(troubles[key])}
    until = time.monotonic() + PATIENCE

    def is_asked(piece):
        return piece.label in asked and time.monotonic() < until

    def report(verdict):
        if key := asked.get(verdict.label):
            states[key] = RIGHT if verdict.right else WRONG
            tell(key, states[key])

    for key in sorted(wanted & troubles.keys()):
        tell(key, f"{states[key]}, it is no such function" if key in states else troubles[key])
    if asked:
        with scratch_folder() as scratch:
            folder = scratch / track.name
            package.write_texts(folder, texts, {})
            shutil.copy(track.home / "recording.safetensors", folder)
            judge_package(Store(Track(track.name, LAST_STEP), folder), report, is_asked)
    for key in sorted(wanted - troubles.keys() - states.keys()):
        tell(key, f"not judged: its package took more than {PATIENCE // 60} minutes")
    return {
        name_of(key): {"state": state, "of": digest_of(claims[key])}
        for key, state in states.items()
    }


def is_wrong(trouble: Exception) -> bool:
    return not isinstance(trouble, Incomplete)


def package_of(track: Track, claims: dict[Key, str]) -> tuple[dict[str, str], dict[Key, Exception]]:
    """Write the modules of a package: the pair's pieces, and the workbook's where they are missing.

    Returns the texts of the modules, and why pieces are not in them.
    """
    texts, troubles = {}, {}
    for piece in track.pieces:
        key = track.name, piece.step, piece.name
        if key in claims:
            try:
                texts = with_source(track, texts, piece, claims[key])
            except (*UNREADABLE, Incomplete) as error:
                troubles[key] = error
    return Store(track, Path(os.devnull)).completed(texts), troubles


def with_source(track: Track, texts, piece: Piece, source: str) -> dict[str, str]:
    """Put the text of one piece into the texts of a package, with what it uses.

    Raises: Incomplete when that is not known; one of UNREADABLE when it is no such piece.
    """
    nodes = package.parse(source).body if len(source) <= LONGEST else []
    if [getattr(node, "name", None) for node in nodes] != [piece.name]:
        raise ValueError(f"no definition of {piece.name}")
    module, filename = piece.module, f"{piece.module}.py"
    given = (track.solution / filename).read_text("utf-8")
    text = texts.get(module, package.docstring_of(given))
    text = package.with_definition(text, piece.name, source, filename)
    for name, statement in needs_of(track, module, source).items():
        text = package.with_name(text, name, statement, [piece.name], filename)
    package.parse(text)
    return {**texts, module: text}


def needs_of(track: Track, module: str, source: str) -> dict[str, str]:
    """Find the imports and the small functions of the notebooks that a text uses.

    Raises: Incomplete when it uses anything else.
    """
    needs, offered = {}, offered_in(track.name)
    for name in sorted(package.names_used(source)):
        home = track.modules.get(name)
        if home and home != module:
            needs[name] = f"from {home} import {name}"
        elif name in offered:
            if not offered[name].startswith(("import ", "from ")):
                needs |= needs_of(track, module, offered[name])
            needs[name] = offered[name]
        elif not home and not hasattr(builtins, name):
            raise Incomplete(f"not judged: it uses {name}, which its log does not hold")
    return needs


@lru_cache
def offered_in(name: str) -> dict[str, str]:
    """List what the cells of a track's notebooks import and define beside the exercises."""
    offered = {}
    for path in notebooks_of(name):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code" and not exercise_of(cell):
                offered = {**statements_in(cell.source), **offered}
    return offered


def statements_in(source: str) -> dict[str, str]:
    """Find the imports and functions in a cell, each name with the statement that makes it."""
    found = {}
    for node in package.parse(source).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            if not (getattr(node, "module", None) or "").startswith("reimpl_helpers"):
                for alias in node.names:
                    alone = ast.Import([alias])
                    if isinstance(node, ast.ImportFrom):
                        alone = ast.ImportFrom(node.module, [alias], 0)
                    found[package.bound_by(alias)] = ast.unparse(alone)
        elif isinstance(node, ast.FunctionDef):
            found[node.name] = package.definition_of(source, node.name)
    return found
