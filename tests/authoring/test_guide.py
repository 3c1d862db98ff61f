"""The facilitators' guide is true: what is built is up to date, and what is written names what is.

In a track's page what stands in italics is the name of a planted bug. Code in backquotes is a
command, a file, a method of a track, or stands in what people read.
"""

import argparse
import re
from functools import cache

import nbformat
import pytest

from reimpl_helpers.authoring import catalogue, guide
from reimpl_helpers.authoring.guide import GUIDE, built_into, page_of
from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.base.places import NOTEBOOKS, ROOT
from reimpl_helpers.base.tables import markdown_table
from reimpl_helpers.cli import build_parser, main
from reimpl_helpers.lab.copies import BACKUPS
from reimpl_helpers.pair.log import NAME as LOG
from reimpl_helpers.texts import package
from reimpl_helpers.tracks.notebooks import notebooks_of, step_of
from reimpl_helpers.tracks.track import Track, tracks
from reimpl_helpers.workbook import Workbook

PAGE = ROOT / "docs" / "facilitating.md"
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
PARTS = "> ", "**What will surprise.**", "**On the board.**", "**Listen for**", "**To close"
WORDS = 170, 400  # of half a page
CHOSEN = {
    "roster.csv",
    "logs/oak",
    "logs/oak.jsonl",
    "hub/logs",
}  # named by facilitators, or made by a hub


def by_hand(text):
    """Leave out what is built."""
    return re.sub(r"<!-- built: .*?<!-- end -->", "", text, flags=re.DOTALL)


def half_pages(name):
    """Split what is written by hand about a track: its opening, and half a page a notebook."""
    return re.split(r"^(?=## )", by_hand(page_of(name)), flags=re.MULTILINE)


# ---- what is built


@pytest.mark.parametrize("name", tracks())
def test_what_is_built_is_up_to_date(name):
    page = page_of(name)
    assert built_into(page, name) == page, "run `reimpl guide`"


@pytest.mark.parametrize("kept", [{}, {"counts": {}}, {"counts": {"planted bugs": [1, 2]}}])
def test_a_score_that_counts_not_both_kinds_is_left_out(kept, tmp_path):
    output = nbformat.v4.new_output("execute_result", metadata={"text/html": kept})
    cell = nbformat.v4.new_code_cell("track.score()", outputs=[output])
    (tmp_path / "solved").mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "solved/04.ipynb")
    assert guide.score_of(tmp_path / "04.ipynb") == []


@pytest.mark.parametrize("name", tracks())
def test_every_planted_bug_stands_at_its_piece(name):
    track, missing = Track.at_end(name), []
    for notebook in notebooks_of(name):
        _, _, rest = page_of(name).partition(f"<!-- built: {notebook.stem} -->")
        sections = re.split(r"^### ", rest.partition("<!-- end -->")[0], flags=re.MULTILINE)[1:]
        about = {section.partition(" · ")[0]: section for section in sections}
        asked = [piece for piece in track.pieces if piece.step == step_of(notebook)]
        assert list(about) == [piece.label for piece in asked]
        for piece in asked:
            bugs = [bug for bug in track.bugs if bug.piece == piece.name and not piece.port]
            missing += [
                (piece.name, bug.name)
                for bug in bugs
                if f"| {bug.question} | {bug.name} | {bug.why} |" not in about[piece.name]
            ]
            assert bugs or piece.port or f"| {piece.catches[0]} | " in about[piece.label]
    assert missing == []


def test_a_change_of_a_bug_or_of_minutes_is_noticed():
    page = page_of("gnn")
    assert (
        built_into(page.replace("| last message wins |", "| first message wins |"), "gnn") == page
    )
    assert built_into(page.replace("· 7 minutes", "· 8 minutes"), "gnn") == page


def test_a_page_without_a_place_for_a_notebook_is_refused():
    page = page_of("mlstm").replace("<!-- built: 03_params -->", "")
    with pytest.raises(WorkbookError, match="no place for what is built about 03_params. Put two"):
        built_into(page, "mlstm")
    with pytest.raises(WorkbookError, match="about 06_know_your_model"):
        built_into(page_of("mlstm").rpartition("<!-- end -->")[0], "mlstm")


def test_a_track_without_a_page_is_refused(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(guide, "GUIDE", tmp_path)
    assert main(["guide"]) == 2
    assert "autoencoder has no page for facilitators" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_command_builds_every_page_and_keeps_what_is_written(monkeypatch, tmp_path, capsys):
    pages = {f"{name}.md": page_of(name) for name in tracks()}
    for name, page in pages.items():
        (tmp_path / name).write_text(page.replace(" minutes", " hours"), encoding="utf-8")
    lists = {"README": catalogue.README, "START": catalogue.START}
    for name, path in lists.items():
        pages[path.name] = path.read_text("utf-8")
        (tmp_path / path.name).write_text(pages[path.name].replace("| 01", "| 00"), "utf-8")
        monkeypatch.setattr(catalogue, name, tmp_path / path.name)
    monkeypatch.setattr(guide, "GUIDE", tmp_path)
    assert main(["guide"]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / name) for name in pages]
    assert {path.name: path.read_text("utf-8") for path in tmp_path.iterdir()} == pages


def test_a_bar_in_a_text_breaks_no_table():
    assert markdown_table(("a", "b"), [("x | y", "z")]).endswith(r"| x \| y | z |")


# ---- what is written: half a page for each notebook


def faults_in(half_page, notebook):
    """Say what is amiss with the half page on a notebook."""
    title = re.search(r'"# (.*?)\\n"', notebook.read_text("utf-8"))[1]
    lines = half_page.splitlines()
    places = [half_page.find(f"\n{part}") for part in PARTS]
    closing = half_page.rstrip().splitlines()[-1]
    return [
        what
        for what, is_so in {
            f"is not headed {title}": lines[0] != f"## {title}",
            f"lacks one of {PARTS}, or their order": -1 in places or places != sorted(places),
            "is no half page": not WORDS[0] <= len(half_page.split()) <= WORDS[1],
            "shows nothing for the board": half_page.count("```") != 2,
            "closes on no question": not (closing.startswith("> ") and closing.endswith("?")),
        }.items()
        if is_so
    ]


@pytest.mark.parametrize("name", tracks())
def test_there_is_half_a_page_for_each_notebook(name):
    notebooks, written = notebooks_of(name), half_pages(name)[1:]
    assert len(written) == len(notebooks) == Track.at_end(name).step
    found = {n.stem: faults_in(text, n) for n, text in zip(notebooks, written, strict=True)}
    assert not any(found.values()), found


def test_a_poor_half_page_is_noticed():
    notebook, good = notebooks_of("gnn")[1], half_pages("gnn")[2]
    assert faults_in(good, notebook) == []
    assert faults_in(good.replace("## 2", "## 3"), notebook) == ["is not headed 2 · Shapes"]
    assert "no half page" in str(faults_in(good.partition("**Listen")[0], notebook))
    assert "lacks one of" in str(faults_in(good.replace("**On the board.**", ""), notebook))
    assert faults_in(good.rstrip() + "\n> Good.", notebook) == ["closes on no question"]


# ---- what is written: the names in it


@cache
def commands():
    """Give the parser of each command of reimpl, by name."""
    (action,) = (
        action
        for action in build_parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return action.choices


@cache
def read_by_people(name):
    """Join what people read at a track; of the main page, all tracks, and what is said to them."""
    folders = [NOTEBOOKS / name] if name else [NOTEBOOKS / track for track in tracks()]
    files = [path for folder in folders for path in folder.glob("*.ipynb")]
    files += [path for folder in folders for path in folder.glob("original.py")]
    files += [path for folder in folders for path in folder.glob("solution/*.py")]
    files += [] if name else [ROOT / "README.md", *(ROOT / "reimpl_helpers").rglob("*.py")]
    return "\n".join(path.read_text("utf-8").replace('\\"', '"') for path in files)


def is_command(words):
    parser = commands().get(words[1]) if len(words) > 1 else None
    options = [word for word in words[2:] if word.startswith("--")]
    return parser is not None and set(options) <= set(parser._option_string_actions)


def is_target(words):
    names = [word.partition("=")[0] for word in words[2:]]
    return bool(re.search(rf"^{re.escape(words[1])}:", MAKEFILE, re.MULTILINE)) and all(
        f"{name}=" in MAKEFILE for name in names
    )


def is_file(code):
    if code in CHOSEN or code in (LOG, "work"):
        return True
    if code.startswith("work/"):
        return code.removeprefix("work/") in {*tracks(), LOG, BACKUPS}
    of_a_package = code.removesuffix(".py") in package.MODULES
    return of_a_package or (ROOT / code).exists() or is_in_every_track(code)


def is_in_every_track(code):
    return all((NOTEBOOKS / name / code).exists() for name in tracks())


def is_true(code, name=""):
    """Tell whether code in the guide is a command, a file, a method, or stands where people read.

    `name` is the track that the page is about; none for the main page.
    """
    words = code.removeprefix(".venv/bin/").split()
    if words[0] == "reimpl":
        return is_command(words)
    if words[0] == "make":
        return is_target(words)
    if method := re.match(r"(?:\w+ = )?track\.(\w+)", code):
        return hasattr(Workbook, method[1])
    if re.fullmatch(r"0\d_\w+", code):
        return (NOTEBOOKS / f"{code}.ipynb").exists() or is_in_every_track(f"{code}.ipynb")
    if re.search(r"^work\b|/|\.(py|md|ipynb|jsonl|csv|toml)$", code):
        return is_file(code)
    return code in read_by_people(name)


def code_in(text):
    """List the code of a page: what stands in backquotes, and the lines that are set off."""
    text = re.sub(r"^```.*?^```", "", by_hand(text), flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"`([^`\n]+)`", text) + re.findall(r"^ {4}(\S.*)$", text, re.MULTILINE)


def headings(path):
    """List the anchors of a page as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", path.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(path):
    broken = []
    for link in re.findall(r"\]\(([^)]+)\)", by_hand(path.read_text("utf-8"))):
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        if not target.is_file() or (anchor and anchor not in headings(target)):
            broken.append(link)
    return broken


PAGES = {"": PAGE, **{name: GUIDE / f"{name}.md" for name in tracks()}}


@pytest.mark.parametrize("name", PAGES)
def test_every_name_in_the_guide_is_one(name):
    code = code_in(PAGES[name].read_text("utf-8"))
    assert code and [each for each in code if not is_true(each, name)] == []
    assert broken_links(PAGES[name]) == []


@pytest.mark.parametrize(
    "code",
    [
        "reimpl restart",
        "reimpl",
        ".venv/bin/reimpl reset",
        "reimpl lab --shared",
        "make labs",
        "make lab PAIRS=2",
        "track.helps()",
        'decoder = track.take("decoder")',
        "06_more_tests",
        "03_parameters",
        "work/log.json",
        "work/rnn",
        "modell.py",
        "docs/facilitate.md",
        "no such words",
    ],
)
def test_a_name_that_is_none_is_noticed(code):
    assert not is_true(code)


@pytest.mark.parametrize("name", tracks())
def test_every_mistake_in_italics_is_planted_and_every_section_exists(name):
    bugs = {bug.name for bug in Track.at_end(name).bugs}
    for notebook, half_page in zip(notebooks_of(name), half_pages(name)[1:], strict=True):
        text = re.sub(r"```.*?```|\*\*", "", half_page, flags=re.DOTALL)
        named = re.findall(r"(?<!\*)\*([^*\n]+)\*", text)
        assert len(named) > 2 and set(named) <= bugs, set(named) - bugs
        sections = re.findall(r"\bsection (\d\.\d+)", text)
        titles = re.findall(r'"## (\d\.\d+) ·', notebook.read_text("utf-8"))
        assert set(sections) <= set(titles), set(sections) - set(titles)


def test_no_filler():
    for path in PAGES.values():
        text = path.read_text("utf-8").lower()
        assert not re.findall(r"\b(?:simply|just|obviously|basically|of course)\b", by_hand(text))
