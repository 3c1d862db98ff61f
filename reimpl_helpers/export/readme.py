"""Say in a README what a project is that `reimpl export` made."""

import re
import sys
from importlib.metadata import packages_distributions

import numpy as np

from reimpl_helpers.authoring.catalogue import about_track
from reimpl_helpers.base.tables import markdown_table
from reimpl_helpers.base.words import plural
from reimpl_helpers.card.writing import CARD
from reimpl_helpers.judge.client import why_not_there
from reimpl_helpers.scoring.score import KINDS, MUTATION
from reimpl_helpers.texts import package
from reimpl_helpers.training import NOISE

PYTHON = "{}.{}".format(*sys.version_info)
BOTH = "this package", "the original"  # whose losses are beside each other
KINDS_OF_THEIRS = "planted bugs", "mutations of the pair's code", "mistakes of the pair's own"

README = """\
# {name}, re-implemented

{about}

Re-implemented in {language} by {by}, from its [PyTorch source](reference/original.py).{card}

## Install and test

    python -m pip install ".[test]"
{how_to_test}
It needs Python {python} or newer.{not_installed}

## Whose code this is

{whose}

{marks}

## Training, beside the original

{training}

## What the tests catch

{caught}

## Licence

No licence yet: choose one.

`reference/original.py` and what is the workbook's: MIT, see [reference/LICENSE](reference/LICENSE).
{data}"""
MARKS = (
    "The workbook is “Re-implementing models, in pairs”. In the code, the line "
    f"`{package.GIVEN}` stands above each function that is the workbook's, and "
    f"`{package.FROM_TRACK}…` above each that the pair wrote for another model."
)
ITS_CARD = " [Its card](MODEL_CARD.md) says where it may be used, and what was measured."
DATA = "\n`recording.safetensors` is the workbook's too{}.\n"
SCORE = (
    "Models that are wrong on purpose were put in the place of this one. The tests catch {}. "
    "A mutation is a small change made by a program."
)


def readme(project, files) -> str:
    missing = sorted(project.imported(project.texts) - packages_distributions().keys())
    not_installed = f" The code also imports {in_code(missing)}: install what you need of it."
    has_recording = any(path.endswith(".safetensors") for path in files)
    return README.format(
        name=project.track.name,
        about=project.track.about,
        language=project.language,
        by=" and ".join(map(in_markdown, project.authors)) or "a pair",
        card=ITS_CARD if CARD in files else "",
        python=PYTHON,
        how_to_test="    python -m pytest\n" if "test_model" in project.texts else "",
        not_installed=not_installed if missing else "",
        whose=whose(project),
        marks=MARKS,
        training=training(project),
        caught=what_tests_catch(project),
        data=DATA.format(whose_data(project.track)) if has_recording else "",
    )


def whose_data(track) -> str:
    """Say whose the data in a recording are, where they are somebody's."""
    credit = about_track(track.name)["credit"]
    return f", but not the data in it: {credit}" if credit else ""


def whose(project) -> str:
    """Say of each function whose it is, as the line above it does."""
    texts, rows = project.texts, []
    for path, module in project.paths.items():
        names = package.functions_of(texts[module])
        given = [name for name in names if is_workbooks(texts[module], name)]
        theirs = in_code(name for name in names if name not in given)
        if module == "test_model":
            theirs = plural(sum(name.startswith("test_") for name in names), "test")
        rows.append((in_code([path]), theirs, in_code(given)))
    listed = markdown_table(("file", "the pair's own", "the workbook's"), rows)
    asked = [piece for piece in project.track.pieces if piece.module]
    missing = [piece.label for piece in asked if why_not_there(project.store, piece, texts)]
    return f"{listed}\n\nNot the pair's own yet: {in_code(missing)}." if missing else listed


def is_workbooks(text, name) -> bool:
    first, _ = package.find_definition(text, name)
    return package.lines_of(text)[first - 1].strip() == package.GIVEN


def training(project) -> str:
    if not project.losses:
        return "There is no loss curve: this package does not train yet."
    original = project.track.recording.training.losses
    both = np.array(list(zip(project.losses, original, strict=False)))
    largest = np.abs(both[:, 0] - both[:, 1]).max()
    far = f"below {NOISE:.0e}" if largest < NOISE else f"{largest:.2g}"
    rows = [
        (who, len(losses), f"{losses[0]:.6g}", f"{losses[-1]:.6g}")
        for who, losses in zip(BOTH, (project.losses, original), strict=True)
    ]
    return (
        "The same steps of Adam, from the same parameters on the same batch.\n\n"
        f"![{project.curve().alt}](loss_curve.png)\n\n"
        f"{markdown_table(('', 'steps', 'first loss', 'last loss'), rows)}\n\n"
        f"Largest difference between the two losses of a step: {far}."
    )


def what_tests_catch(project) -> str:
    if not project.findings:
        why = "were not scored" if "test_model" in project.texts else "are not written yet"
        return f"The tests {why}."
    tests = {kind: [found[3] for found in project.findings if found[0] == kind] for kind in KINDS}
    counts = [
        f"{sum(test is not None for test in tests[kind])} of {len(tests[kind])} {words}"
        for kind, words in zip(KINDS, KINDS_OF_THEIRS, strict=True)
        if tests[kind]
    ]
    named = [found[1:] for found in project.findings if found[0] != MUTATION]
    missed = [(in_code([piece]), what) for piece, what, test in named if test is None]
    caught = [(in_code([p]), what, in_code([test])) for p, what, test in named if test is not None]
    passages = [SCORE.format(", ".join(counts))]
    if missed:
        passages.append("Missed:\n\n" + markdown_table(("in", "mistake"), missed))
    if caught:
        listed = markdown_table(("in", "mistake", "caught by"), caught)
        passages.append(f"<details><summary>Caught</summary>\n\n{listed}\n\n</details>")
    return "\n\n".join(passages)


def in_code(names) -> str:
    return ", ".join(f"`{name}`" for name in names)


def in_markdown(text) -> str:
    """Write what people typed so that it reads as they typed it."""
    return re.sub(r"[!-&(-+./:-@\[-`{-~]", r"\\\g<0>", text)
