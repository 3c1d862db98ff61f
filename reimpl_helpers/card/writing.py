"""Write MODEL_CARD.md for a pair's package, and beside it the test that measures it anew."""

import ast
import hashlib
import importlib
from pathlib import Path

from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.base.files import add_file, locked, replace_files
from reimpl_helpers.base.tables import markdown_table
from reimpl_helpers.base.words import first_line
from reimpl_helpers.knowing import estimate
from reimpl_helpers.pair.store import Store
from reimpl_helpers.texts import package

CARD, RECORDING = "MODEL_CARD.md", "recording.safetensors"
MEASURES = "measured", "test_card"  # the modules that measure a card anew, the workbook's
LET_PASS = 4  # a time that is so many times as long, or as short, is let pass
CALLS = "half of 200 calls after the first"

TEXT = """\
# {name}, re-implemented

{about}

## Model details

- **Developed by:** {by}
- **Model type:** {name}, written again in JAX from its PyTorch source
- **License:** none chosen yet

## Uses

### Direct use

{use}

### Out-of-scope use

{not_for}

## Bias, risks, and limitations

Not looked at: {not_looked_at}

## Training details

{trained}

## Evaluation

An interval holds the true number 19 times of 20, as far as luck in drawing these inputs goes.

{numbers}

## Technical specifications

Microseconds of a call, on one machine; {times} times as long, or as short, is let pass.

{timed}

## Measured anew

`test_card.py` measures every number above anew, and fails where one has left its interval. Times
are asked only on the machine that is named.
"""
FRONT = """\
---
library_name: jax
license: other
license_name: none-chosen-yet
tags:
- {name}
- re-implementation
---

"""
UNCHANGED = "<!-- as it was measured: {} -->\n"  # ends a card, with what tells a change by hand


class Card(str):
    """Text of a card, which a notebook shows as it will look."""

    def _repr_markdown_(self):
        return self


def write_card(store: Store, by: str) -> Card:
    """Measure a pair's model, and write its card, and the modules that measure it anew.

    Pieces that the measuring uses and the pair has not written are put into their package as the
    workbook's. A file that somebody changed is kept beside the new one, under a number.

    Raises: WorkbookError when the pair's model cannot be measured, or the files not be written;
    PackageError when the package does not import.
    """
    sources = {name: source_of(store, name) for name in MEASURES}
    before = store.texts()
    texts = with_measured(store, before, sources["measured"])
    try:
        add_file(store.folder / RECORDING, (store.track.home / RECORDING).read_bytes())
        text = card_of(store, {**texts, **sources}, by)
        store.write(texts, before)
        contents = {f"{name}.py": source.encode() for name, source in sources.items()}
        with locked(store.folder.parent):
            put(store.folder, contents | {CARD: whole(store.track.name, text)})
    except OSError as error:
        raise WorkbookError(
            f"the card cannot be written in {store.folder} ({error.strerror}). Make room or allow "
            "writing there, then run this cell again."
        ) from error
    return Card(text)


def source_of(store, module) -> str:
    """Read a module that measures: the track's own, or the test that all share."""
    home = store.track.home if module == "measured" else Path(__file__).parent
    return (home / f"{module}.py").read_text("utf-8")


def with_measured(store, texts, source) -> dict[str, str]:
    """Put the pieces that the measuring uses into the texts of a package, where they are not."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module in package.MODULES:
            for name in (alias.name for alias in node.names):
                if not store.is_written(name, texts):
                    found = store.found(store.track.piece(name), texts)
                    texts = store.with_given(texts, found.function)
    return texts


def card_of(store, texts, by) -> str:
    """Measure, and say in the form of a card what came out.

    Raises: WorkbookError when that fails.
    """
    package.load_pieces(store.folder, "test_card", texts)  # says what does not import
    try:
        with package.imported_from(store.folder, texts):
            measures, words = map(importlib.import_module, ("test_card", "card"))
            numbers = [row_of(what, n) for what, n in measures.measured().items()]
            timed = [
                time_row(what, measures.microseconds_of(function))
                for what, function in measures.timed().items()
            ]
            machine, trained = measures.this_machine(), importlib.import_module("measured").TRAINED
            said = {key: " ".join(text.split()) for key, text in words.in_words().items()}
    except Exception as error:
        raise WorkbookError(
            f"your package cannot be measured: {type(error).__name__}: {first_line(str(error))} "
            "Run the checks of the pieces above again, then this cell."
        ) from error
    heads = ("value", "from", "to", "how")
    return TEXT.format(
        name=store.track.name,
        about=store.track.about,
        by=by,
        trained=trained,
        numbers=markdown_table(("measured", *heads), numbers),
        timed=markdown_table((f"on {machine}", *heads), timed),
        times=LET_PASS,
        **said,
    )


def row_of(what, numbers):
    found, how = estimate(numbers)
    return what, *map(written, (found.value, found.low, found.high)), how


def time_row(what, value):
    return what, *map(written, (value, value / LET_PASS, value * LET_PASS)), CALLS


def written(number) -> str:
    """Write a number: counted ones in full, measured ones with four digits or more."""
    return f"{number:.4g}" if isinstance(number, float) and number < 1e4 else f"{number:,.0f}"


def whole(name, text) -> bytes:
    """Give all of a card, with the front matter of Hugging Face's model cards."""
    content = FRONT.format(name=name) + text + "\n"
    return (content + UNCHANGED.format(digest_of(content.encode()))).encode()


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def put(folder: Path, contents: dict[str, bytes]) -> None:
    """Write files whole, and keep what somebody changed beside them, under a number."""
    for name in contents:
        path = folder / name
        if path.exists() and not is_ours(path, contents[name]):
            numbered = (folder / f"{name}.{number}" for number in range(1, 10_000))
            path.rename(next(kept for kept in numbered if not kept.exists()))
    replace_files({folder / name: content for name, content in contents.items()})


def is_ours(path, content) -> bool:
    """Tell whether a file is as the workbook wrote it: this content, or a card nobody changed."""
    there = path.read_bytes()
    card, _, last = there.rpartition(b"<!--")
    return there == content or b"<!--" + last == UNCHANGED.format(digest_of(card)).encode()
