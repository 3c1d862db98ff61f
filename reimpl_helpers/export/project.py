"""Make a project of its own of a pair's package, to take away: what `reimpl export` does.

No line of the pair's runs here: training and scoring are done in a process of their own.
"""

import ast
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import packages_distributions, version
from io import BytesIO
from itertools import accumulate
from pathlib import Path

from reimpl_helpers import pictures
from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.base.files import add_file
from reimpl_helpers.base.places import ROOT, work_folder
from reimpl_helpers.base.words import first_line
from reimpl_helpers.card.writing import CARD, MEASURES, RECORDING
from reimpl_helpers.export.readme import BOTH, PYTHON, readme
from reimpl_helpers.judge.client import score_package, training_losses
from reimpl_helpers.pair.log import Log
from reimpl_helpers.pair.store import Store
from reimpl_helpers.texts import package
from reimpl_helpers.tracks.track import Track, refuse_no_track, tracks

BESIDE = "test_model", "mistakes", *MEASURES  # modules that go to tests/, and stay plain there
LONGEST_NAME = 100
SECONDS_FOR_GIT = 60
IGNORED = "__pycache__/ *.egg-info/ build/ dist/ .pytest_cache/ .venv/ .DS_Store"


def export_package(target: Path, name: str | None, say: Callable[[str], None]) -> bool:
    """Make a project of a pair's package in a new folder, where there is nothing until it is whole.

    Returns whether no test of the pair's fails on their own model.

    Raises: WorkbookError when there is nothing to export, or no room for it.
    """
    target = place_for(target)
    try:
        store = package_to_export(name)
        project = Project(store, modules_of(store), authors())
    except package.PackageError as error:
        raise WorkbookError(str(error)) from error
    say(f"Training your {project.track.name} and scoring its tests, which takes a few minutes.")
    project.losses, why_none = training_losses(store, project.texts)
    if why_none:
        say(f"No loss curve: {why_none}")
    failing = ""
    if "test_model" in project.texts:
        reply = score_package(store)
        project.findings, failing = reply["findings"], reply["failing"]
        say(reply["score"].partition("\n")[0])
    say(write_project(target, project))
    if failing:
        say(f"Its own tests fail: {failing}. Mend that in work/, and export again.")
    return not failing


# --- what is exported, and where to --------------------------------------------------------


def place_for(target: Path) -> Path:
    """Return the whole path of a folder that is to be made.

    Raises: WorkbookError when something is there, or nothing can be.
    """
    target = Path(os.path.realpath(target))
    another = "Name a folder that is not there yet, or is empty; nothing was touched."
    if target.is_relative_to(work_folder()):
        raise WorkbookError(f"{target} is in {work_folder()}, where your own work is. {another}")
    try:
        if target.exists() and not (target.is_dir() and not any(target.iterdir())):
            what = "a folder with something in it" if target.is_dir() else "a file"
            raise WorkbookError(f"{target} is {what}. {another}")
        if not target.parent.is_dir():
            raise WorkbookError(f"{target.parent} is no folder. Make it first, then export again.")
        with tempfile.TemporaryDirectory(dir=target.parent):
            return target
    except OSError as error:
        raise cannot_be_written(target, error) from error


def cannot_be_written(target, error):
    return WorkbookError(
        f"{target} cannot be written ({error.strerror}). Make room or allow writing in "
        f"{target.parent}, or name another place; nothing was left there."
    )


def package_to_export(name: str | None) -> Store:
    """Find the one package to export: of the track that is named, or has pieces of the pair's own.

    Raises: WorkbookError when there is none, or more than one.
    """
    named = tracks() if name is None else [name]
    refuse_no_track(*named)
    found = [Store(Track.at_end(name), work_folder() / name) for name in named]
    found = [store for store in found if has_own_pieces(store)]
    if not found:
        raise WorkbookError(
            f"nothing of yours is saved in {work_folder() / (name or '')} yet. Solve an exercise, "
            "run its check, then export again."
        )
    if len(found) > 1:
        names = ", ".join(store.track.name for store in found)
        raise WorkbookError(
            f"there are pieces of yours in {len(found)} tracks: {names}. Say which one to export, "
            f"such as --track {found[0].track.name}."
        )
    return found[0]


def has_own_pieces(store: Store) -> bool:
    """Tell whether a pair wrote something in a track; what cannot be read counts as theirs."""
    try:
        texts = store.texts()
        return any(store.is_own(p.name, texts) for p in store.track.pieces if p.module)
    except package.PackageError:
        return True


def modules_of(store: Store) -> dict[str, str]:
    """Read the modules of a pair's package, and those beside it that they import.

    Raises: PackageError for one that is no text, has a syntax error, or needs this workbook.
    """
    texts = store.texts()
    if (store.folder / CARD).is_file():
        texts |= package.read_texts(store.folder, MEASURES)
    queue = list(texts)
    for module in queue:
        imported = imports_of(texts[module], f"{module}.py")
        if "reimpl_helpers" in imported:
            raise package.PackageError(
                f"{module}.py imports reimpl_helpers, which is not where your package goes. Write "
                "what you need of it yourselves, then export again."
            )
        beside = [name for name in sorted(imported - {*texts}) if not package.hidden_by(name)]
        texts |= (more := package.read_texts(store.folder, beside))
        queue += more
    return texts


def imports_of(text, filename="the text") -> set[str]:
    """Name the top-level modules that a text imports, its functions included.

    Raises: PackageError when it has a syntax error.
    """
    nodes = list(ast.walk(package.parse(text, filename)))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [n.module for n in nodes if isinstance(n, ast.ImportFrom) and not n.level]
    return {name.partition(".")[0] for name in names}


def authors() -> list[str]:
    """Name who took turns to the last, in one line each, as far as they said who they are.

    A turn before that counts if it has somebody in common: three take turns, or one was relieved.
    """
    typed = set()
    for event in reversed(Log(work_folder()).read()):
        if event["event"] == "turn":
            who = {event["driver"], event["navigator"]}
            if typed and not typed & who:
                break
            typed |= who
    shown = ["".join(c if c.isprintable() else " " for c in name) for name in typed]
    return sorted({" ".join(name.split())[:LONGEST_NAME] for name in shown} - {""})


# --- the files of a project ----------------------------------------------------------------


@dataclass
class Project:
    """A pair's package on its way out."""

    store: Store
    texts: dict[str, str]  # by module
    authors: list[str]
    losses: list[float] = field(default_factory=list)  # of the pair's model, in training
    findings: list[list] = field(default_factory=list)  # kind, piece, mistake, test or None

    @property
    def track(self) -> Track:
        return self.store.track

    @property
    def by(self) -> str:
        return " and ".join(self.authors) or "a pair"

    @property
    def paths(self) -> dict[str, str]:
        """Say where each module goes."""
        homes = {module: "tests" if module in BESIDE else self.track.name for module in self.texts}
        return {f"{home}/{module}.py": module for module, home in homes.items()}

    @property
    def code(self) -> list[str]:
        return [module for module in self.texts if module not in BESIDE]

    @property
    def language(self) -> str:
        return "JAX" if "jax" in self.imported(self.code) else "NumPy"

    def imported(self, modules) -> set[str]:
        """Name what some modules import that is neither theirs nor Python's."""
        names = [imports_of(self.texts[module]) for module in modules if module in self.texts]
        return set().union(*names) - {*self.texts} - sys.stdlib_module_names

    def files(self) -> dict[str, bytes]:
        """Give the content of every file."""
        original = self.track.original
        files = {
            f"{self.track.name}/__init__.py": f'"""{self.track.about}"""\n',
            "reference/original.py": original.read_bytes(),
            "reference/LICENSE": (ROOT / "LICENSE").read_bytes(),
            ".gitignore": IGNORED.replace(" ", "\n") + "\n",
        }
        for path, module in self.paths.items():
            mark = package.byte_order_mark(self.store.folder / f"{module}.py")
            text = self.texts[module]
            files[path] = mark + with_package(text, self.code, self.track.name)
            if RECORDING in text:  # it goes where the text will look for it
                beside = Path(path).with_name(RECORDING).as_posix()
                whole = (self.track.home / RECORDING).read_bytes()
                files[beside if "__file__" in text else RECORDING] = whole
        if (card := self.store.folder / CARD).is_file():
            files[CARD] = card.read_bytes()
        if "test_model" in self.texts:
            files[".github/workflows/test.yml"] = WORKFLOW.format(python=PYTHON)
        if self.losses:
            files["loss_curve.png"] = png_of(self.curve())
        files["pyproject.toml"], files["README.md"] = pyproject(self), readme(self, files)
        return {
            path: content.encode() if isinstance(content, str) else content
            for path, content in files.items()
        }

    def curve(self):
        return pictures.loss_curve(self.losses, self.track.recording.training.losses, labels=BOTH)


def with_package(text, modules, name) -> bytes:
    """Let imports of some modules name the package that they are in; all else stays as it is."""
    lines = [line.encode() for line in package.lines_of(text)]
    starts, source, added = list(accumulate(map(len, lines), initial=0)), b"".join(lines), []
    for node in ast.walk(package.parse(text)):
        if isinstance(node, ast.ImportFrom) and not node.level and node.module in modules:
            start = starts[node.lineno - 1] + node.col_offset
            added.append((re.compile(rb"from[\s\\]+").match(source, start).end(), f"{name}."))
        for alias in node.names if isinstance(node, ast.Import) else ():
            if alias.name in modules:
                added.append((starts[alias.lineno - 1] + alias.col_offset, f"{name}."))
                end = starts[alias.end_lineno - 1] + alias.end_col_offset
                added += [] if alias.asname else [(end, f" as {alias.name}")]
    for place, words in sorted(added, reverse=True):
        source = source[:place] + words.encode() + source[place:]
    return source


def png_of(picture) -> bytes:
    content = BytesIO()
    picture.savefig(content, format="png", dpi=160)
    return content.getvalue()


def requirements(imported) -> list[str]:
    """List what is imported as requirements: the versions installed here, or newer."""
    known = packages_distributions()
    names = {name for top in imported for name in known.get(top, ())}
    return sorted(f"{name}>={version(name).partition('+')[0]}" for name in names)


def pyproject(project) -> str:
    needed = project.imported(project.code)
    tests = {"pytest", *project.imported(BESIDE)} - needed
    names = ", ".join(f"{{ name = {in_toml(name)} }}" for name in project.authors)
    return f"""\
[build-system]
requires = ["setuptools>=80"]
build-backend = "setuptools.build_meta"

[project]
name = "{project.track.name}-reimplemented"
version = "0.1.0"
description = {in_toml(project.track.about)}
readme = "README.md"
authors = [{names}]
requires-python = ">={PYTHON}"
dependencies = {in_toml(requirements(needed))}

[project.optional-dependencies]
test = {in_toml(requirements(tests))}

[tool.setuptools]
packages = ["{project.track.name}"]
package-data = {{ "*" = ["{RECORDING}"] }}

[tool.pytest.ini_options]
testpaths = ["tests"]
"""


def in_toml(value) -> str:
    return json.dumps(value, ensure_ascii=False)


WORKFLOW = """\
name: test

on: [push, pull_request]

permissions:
  contents: read

jobs:
  test:
    runs-on: ubuntu-latest
    timeout-minutes: 30
    steps:
      - uses: actions/checkout@v5
      - uses: actions/setup-python@v6
        with:
          python-version: "{python}"
      - run: python -m pip install ".[test]"
      - run: python -m pytest
"""


# --- writing it ----------------------------------------------------------------------------


def write_project(target: Path, project) -> str:
    """Write a project beside its place, then move it there; return what was made.

    Raises: WorkbookError when it cannot be written; nothing is left then.
    """
    stage = target.with_name(f".export-{secrets.token_hex(4)}")
    try:
        for path, content in project.files().items():
            add_file(stage / path, content)
        note = commit(stage, target, project)
        if target.is_dir():
            shutil.copymode(target, stage)
            target.rmdir()  # Windows moves nothing onto a folder, not even an empty one
        stage.rename(target)
    except OSError as error:
        raise cannot_be_written(target, error) from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return f"{target}: {project.track.name}, by {project.by}. {note} Begin with its README.md."


def commit(stage, target, project) -> str:
    """Make the first commit of a project that will be moved; say what became of it."""
    if any((above / ".git").exists() for above in target.parents):
        return "It is inside a git repository already, so it has none of its own."
    git = shutil.which("git")
    if git is None:
        return "git is not installed here, so it is a plain folder."
    who = project.by.strip(" .,:;<>\"\\'") or "a pair"  # git takes these off, and wants a rest
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env |= {"GIT_CONFIG_NOSYSTEM": "1", "HOME": str(stage), "XDG_CONFIG_HOME": str(stage)}
    for role in ("AUTHOR", "COMMITTER"):
        env |= {f"GIT_{role}_NAME": who, f"GIT_{role}_EMAIL": "pair@localhost"}
    message = f"The {project.track.name}, re-implemented in {project.language}"
    begin = ["-c", "init.defaultBranch=main", "init", "--quiet", "--template="]
    how = {"cwd": stage, "env": env, "capture_output": True, "timeout": SECONDS_FOR_GIT}
    try:
        for command in (begin, ["add", "--all"], ["commit", "--quiet", "-m", message]):
            subprocess.run([git, *command], check=True, **how)
    except (OSError, subprocess.SubprocessError) as error:
        shutil.rmtree(stage / ".git", ignore_errors=True)
        said = getattr(error, "stderr", None) or str(error).encode()
        return f"It is a plain folder, as git failed: {first_line(said.decode(errors='replace'))}"
    return "It is a git repository with one commit."
