"""`reimpl export` makes a project that installs and passes its tests without the workbook."""

import ast
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from errno import ENOSPC
from pathlib import Path

import numpy as np
import pytest
import yaml

from reimpl_helpers.base.places import NOTEBOOKS, ROOT
from reimpl_helpers.card.writing import CARD, write_card
from reimpl_helpers.cli import main
from reimpl_helpers.export import project as export
from reimpl_helpers.judge import client as judge
from reimpl_helpers.pair.log import Log
from reimpl_helpers.pair.store import Store
from reimpl_helpers.texts import package
from reimpl_helpers.tracks.track import Track, tracks

CODE = "shapes", "model", "params", "data", "losses", "training"  # of steps 1 to 5
SHAPES = '''"""What must stay true."""

import numpy as np
from model import encoder
from params import make_autoencoder_params


def test_shapes():
    assert encoder(make_autoencoder_params(), np.ones((3, 64))).shape == (3, 8)
'''


class Pair:
    """Two people with a folder of their own."""

    def __init__(self, folder):
        self.work, self.out = folder / "work", folder / "out"
        self.out.mkdir()

    def copy(self, name="autoencoder", modules=None):
        """Let the workbook's package be theirs, but for the training loop."""
        store = Store(track := Track.at_end(name), self.work / name)
        texts = track.given_texts(in_jax=True)
        for function in ("not_finite", "where_it_broke", "train"):
            marked = f"{package.GIVEN}\ndef {function}("
            texts["training"] = texts["training"].replace(f"def {function}(", marked)
        wanted = {module: texts[module] for module in modules or texts}
        package.write_texts(store.folder, wanted, {})
        return store

    def turn(self, driver, navigator):
        Log(self.work).append("turn", number=1, driver=driver, navigator=navigator, why="")

    def path(self, module, name="autoencoder"):
        return self.work / name / f"{module}.py"

    def state(self):
        return {path: path.read_bytes() for path in self.work.rglob("*") if path.is_file()}


@pytest.fixture
def pair(tmp_path, monkeypatch):
    monkeypatch.setenv("REIMPL_WORK", str(tmp_path / "work"))
    return Pair(tmp_path)


@pytest.fixture
def quick(monkeypatch):
    """Leave training and scoring out, which take long."""
    monkeypatch.setattr(export, "training_losses", lambda track, texts: ([], "left out."))
    score = {"score": "no score: left out.", "failing": "", "findings": []}
    monkeypatch.setattr(export, "score_package", lambda track: score)


def run(*arguments):
    return main(["export", *map(str, arguments)])


def exported(pair):
    """Export to a new folder; return it, and its README."""
    assert run(pair.out / "project") == 0
    return pair.out / "project", (pair.out / "project/README.md").read_text("utf-8")


def test_a_project_whose_own_test_fails_says_so(pair, quick, monkeypatch, capsys):
    pair.copy()
    score = {"score": "no score: test_shapes fails.", "failing": "test_shapes", "findings": []}
    monkeypatch.setattr(export, "score_package", lambda track: score)
    assert run(pair.out / "project") == 1
    assert "Its own tests fail: test_shapes. Mend that in work/" in capsys.readouterr().out
    assert (pair.out / "project/README.md").exists()


# --- imports ------------------------------------------------------------------------------

IMPORTS = {
    "from params import a": "from ours.params import a",
    "from params import a as b  # from params": "from ours.params import a as b  # from params",
    "from \\\n  params import (\n    a,\n)": "from \\\n  ours.params import (\n    a,\n)",
    "import params": "import ours.params as params",
    "import params as p": "import ours.params as p",
    "import numpy, params,model as m": "import numpy, ours.params as params,ours.model as m",
    "é = 1; import params; é = 2\r\n": "é = 1; import ours.params as params; é = 2\r\n",
    "def f():\r\n\tfrom params import a\r\n": "def f():\r\n\tfrom ours.params import a\r\n",
    "try: import params\nexcept ImportError: from model import *": (
        "try: import ours.params as params\nexcept ImportError: from ours.model import *"
    ),
    "x = '''\nfrom params import a\n'''\n": "x = '''\nfrom params import a\n'''\n",
    **{
        same: same
        for same in ("from paramsx import a", "from . import params", "from mistakes import params")
    },
}


@pytest.mark.parametrize("before, after", IMPORTS.items(), ids=map(repr, IMPORTS))
def test_imports_name_the_package_and_nothing_else_changes(before, after):
    assert export.with_package(before, ["params", "model"], "ours") == after.encode()


@pytest.mark.slow(but=1)
@pytest.mark.parametrize("name", tracks())
def test_no_plain_import_is_left(name, pair, quick):
    store = pair.copy(name)
    project, _ = exported(pair)
    files = sorted(path.relative_to(project).as_posix() for path in project.rglob("*.py"))
    modules = store.texts().keys()
    code = modules - {"test_model", "mistakes"}
    assert files == sorted(
        [f"{name}/__init__.py", *(f"{name}/{module}.py" for module in code)]
        + ["reference/original.py", "tests/mistakes.py", "tests/test_model.py"]
    )
    for module in modules:
        folder = name if module in code else "tests"
        text = (project / folder / f"{module}.py").read_text("utf-8")
        assert not export.imports_of(text) & code
        lines = (store.folder / f"{module}.py").read_text("utf-8").splitlines()
        for before, after in zip(lines, text.splitlines(), strict=True):
            assert after.replace(f"from {name}.", "from ") == before


# --- a project that stands on its own -----------------------------------------------------


@pytest.fixture
def elsewhere(tmp_path):
    """Give a Python that has what is installed here, but not the workbook."""
    home = tmp_path / "elsewhere"
    venv.create(home, symlinks=os.name != "nt")
    site = sysconfig.get_path("purelib", "venv", {"base": str(home)})
    (Path(site) / "installed.pth").write_text(sysconfig.get_path("purelib"), "utf-8")
    python = Path(sysconfig.get_path("scripts", "venv", {"base": str(home)})) / "python"
    env = {
        name: value for name, value in os.environ.items() if name[:6] not in ("PYTHON", "REIMPL")
    }
    env |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PIP_CONFIG_FILE": os.devnull}

    def call(*command, cwd=tmp_path, using=(str(python),)):
        return subprocess.run(
            [*using, *map(str, command)],
            cwd=cwd,
            env=env,
            capture_output=True,
            text=True,
            timeout=90,
        )

    assert "No module named 'reimpl_helpers'" in call("-c", "import reimpl_helpers").stderr
    call.pip = (sys.executable, "-m", "pip", "--python", str(python))
    return call


@pytest.mark.slow
def test_project_installs_and_passes_its_tests_without_the_workbook(pair, quick, elsewhere):
    write_card(pair.copy(), "Ada and Grace")
    card = pair.work / "autoencoder" / CARD
    card.write_text(card.read_text("utf-8").replace("| on ", "| on another than "), "utf-8")
    text = pair.path("model").read_bytes().replace(b"\n", b"\r\n")
    pair.path("model").write_bytes(b"\xef\xbb\xbf" + text)
    pair.turn('"], evil = [","</h1>', "D\u202egit\n\\u0022 '''")
    before = pair.state()
    project, readme = exported(pair)
    assert pair.state() == before and "](MODEL_CARD.md)" in readme
    own = (project / "autoencoder/model.py").read_bytes()
    assert own == before[pair.path("model")]  # it imports nothing of theirs
    install = ["install", "--no-index", "--no-build-isolation", f"{project}[test]"]
    installed = elsewhere(*install, using=elsewhere.pip)
    assert installed.returncode == 0, installed.stderr
    where = elsewhere("-c", "import autoencoder.training as t; print(t.__file__)").stdout
    assert "elsewhere" in where and "site-packages" in where
    tested = elsewhere("-m", "pytest", "-q", cwd=project)
    count = package.functions_of(pair.path("test_model").read_text("utf-8"))
    count = sum(name.startswith("test_") for name in count)
    assert f"{count + 1} passed, 1 skipped" in tested.stdout, tested.stdout + tested.stderr
    status = elsewhere("status", "--porcelain", cwd=project, using=[shutil.which("git")])
    assert status.returncode == 0 and not status.stdout, "what installing leaves is not ignored"


def test_what_is_imported_is_required(pair, quick):
    pair.copy(modules=["model", "data", "test_model"])
    pair.path("data").write_text(
        "import sys, yaml\nimport nonesuch\nfrom model import x\n", "utf-8"
    )
    pair.path("test_model").write_text("import packaging.markers\nimport yaml\n", "utf-8")
    project, text = exported(pair)
    declared = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]
    names = [requirement.partition(">=")[0] for requirement in declared["dependencies"]]
    assert names == ["PyYAML", "jax"]
    tests = [
        requirement.partition(">=")[0] for requirement in declared["optional-dependencies"]["test"]
    ]
    assert tests == ["packaging", "pytest"]
    assert "The code also imports `nonesuch`: install what you need of it." in text


def test_modules_beside_the_package_that_it_imports_come_along(pair, quick):
    pair.copy(modules=["model"])
    pair.path("model").write_text(
        "import numpy\n\ndef encoder(params, x):\n    import ours\n", "utf-8"
    )
    pair.path("ours").write_text("from further import a\n", "utf-8")
    pair.path("further").write_text("a = 1\n", "utf-8")
    pair.path("unused").write_text("import model\n", "utf-8")
    pair.path("numpy").write_text("", "utf-8")  # to what runs there, numpy stays numpy
    project, _ = exported(pair)
    assert (
        (project / "autoencoder/model.py").read_text().endswith("import autoencoder.ours as ours\n")
    )
    assert (project / "autoencoder/ours.py").read_text() == "from autoencoder.further import a\n"
    assert (project / "autoencoder/further.py").exists()
    assert not [*project.rglob("unused.py"), *project.rglob("numpy.py")]


def test_recording_goes_where_their_tests_look_for_it(pair, quick):
    pair.copy()
    whole = (NOTEBOOKS / "autoencoder/recording.safetensors").read_bytes()
    with pair.path("test_model").open("a") as file:
        file.write("HERE = 'recording.safetensors'\n")
    with pair.path("data").open("a") as file:
        file.write("HERE = __file__ + '/../recording.safetensors'\n")
    project, text = exported(pair)
    assert (project / "recording.safetensors").read_bytes() == whole
    assert (project / "autoencoder/recording.safetensors").read_bytes() == whole
    assert "not the data in it: the handwritten digits are from the UCI" in text
    assert "Zachary" not in text


# --- the README, and the picture ----------------------------------------------------------


@pytest.mark.slow(but=1)
@pytest.mark.parametrize("name", tracks())
def test_losses_are_the_originals(name, pair):
    store = pair.copy(name)
    losses, why_none = judge.training_losses(store, store.texts())
    assert not why_none
    np.testing.assert_allclose(losses, store.track.recording.training.losses, rtol=1e-9)


def test_finished_project_has_its_losses_and_its_score(pair):
    """All is written, but little by the pair and in its tests: that does not take long to score."""
    store = pair.copy(modules=[*CODE, "mistakes"])
    for module in CODE:
        text = pair.path(module).read_text("utf-8").replace(f"{package.GIVEN}\n", "")
        text = text.replace("\ndef ", f"\n{package.GIVEN}\ndef ")
        text = text.replace(f"{package.GIVEN}\ndef encoder(", "def encoder(")
        text = text.replace(f"{package.GIVEN}\ndef mse", f"{package.FROM_TRACK}gnn\ndef mse")
        pair.path(module).write_text(text, "utf-8")
    pair.path("test_model").write_text(SHAPES, "utf-8")
    pair.turn("Grace", "Ada")
    project, text = exported(pair)
    assert "Re-implemented in JAX by Ada and Grace, from its [PyTorch source]" in text
    first, last = store.track.recording.training.losses[[0, -1]]
    assert f"| this package | 20 | {first:.6g} | {last:.6g} |\n| the original | 20 |" in text
    assert f"![Loss curve. this package: {first:.3g} at first, " in text
    assert "Largest difference between the two losses of a step: below 1e-12." in text
    assert (project / "loss_curve.png").read_bytes()[:4] == b"\x89PNG"
    assert "| `autoencoder/model.py` | `encoder` | `nn_layer`, `decoder`, `autoencoder` |" in text
    assert "| `autoencoder/losses.py` | `mse_loss` |  |" in text
    assert "| `tests/test_model.py` | 1 test |  |" in text
    assert "planted bugs, " in text and " 0 of 1 mistakes of the pair's own." in text
    missed, caught = text.split("Missed:")[1].split("<details><summary>Caught")
    assert "| `encoder` | tanh left out |" in missed
    assert "| `encoder` | blank images skipped |" in missed
    assert "| `encoder` | mean taken over the batch | `test_shapes` |" in caught
    assert "Not the pair's own yet: `nn_layer`, `decoder`, " in text


def test_step_one_alone(pair, capsys):
    track = Track("autoencoder", 1)
    package.write_texts(
        pair.work / "autoencoder", {"model": track.given_texts(in_jax=False)["model"]}, {}
    )
    project, text = exported(pair)
    assert "No loss curve: training is not written yet.\n" in capsys.readouterr().out
    assert {path.name for path in project.iterdir()} == {
        *(".git", ".gitignore", "README.md", "autoencoder", "pyproject.toml", "reference")
    }
    assert "Re-implemented in NumPy by a pair, " in text and "python -m pytest" not in text
    assert "There is no loss curve: this package does not train yet." in text
    assert "The tests are not written yet." in text
    assert "Not the pair's own yet: `param_shapes`, " in text and "`nn_layer in JAX`" in text
    assert "`encoder`, " not in text.partition("Not the pair's own yet: ")[2]
    declared = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]
    assert [name.partition(">=")[0] for name in declared["dependencies"]] == ["numpy"]


def test_workflow_tests_the_project_with_this_python(pair, quick):
    pair.copy()
    project, _ = exported(pair)
    flow = yaml.safe_load((project / ".github/workflows/test.yml").read_text("utf-8"))
    steps = flow["jobs"]["test"]["steps"]
    python = "{}.{}".format(*sys.version_info)
    assert steps[1]["with"]["python-version"] == python
    assert [step["run"] for step in steps[2:]] == [
        'python -m pip install ".[test]"',
        "python -m pytest",
    ]


def test_licence_is_left_to_them_and_the_originals_goes_along(pair, quick):
    pair.copy()
    project, text = exported(pair)
    assert "\nNo licence yet: choose one.\n" in text and not (project / "LICENSE").exists()
    for here, there in (("LICENSE", ROOT), ("original.py", NOTEBOOKS / "autoencoder")):
        assert (project / "reference" / here).read_bytes() == (there / here).read_bytes()


ENDINGS = {
    "raises": "    raise ValueError('ours')\n",
    "exits": "    import os; os._exit(3)\n",
    "endless": "    import time\n    while True: time.sleep(0.1)\n",
    "answers nonsense": "    return params, 'nonsense'\n",
}


@pytest.mark.slow(but=1)
@pytest.mark.parametrize("body", ENDINGS.values(), ids=ENDINGS)
def test_training_that_does_not_end_well_leaves_the_curve_out(body, pair, monkeypatch):
    monkeypatch.setattr(judge, "SILENCE", 12)
    store = pair.copy()
    with pair.path("training").open("a") as file:
        file.write(f"\n\ndef train(params, *_, **__):\n{body}")
    losses, why_none = judge.training_losses(store, store.texts())
    assert losses == [] and why_none
    if "ours" in body:
        assert why_none == "ValueError: ours."


def test_module_that_exits_is_exported_as_it_is(pair, capsys):
    pair.copy()
    with pair.path("model").open("a") as file:
        file.write("import sys\nsys.exit(0)\n")
    project, text = exported(pair)
    said = capsys.readouterr().out
    assert (
        "No loss curve: PackageError: autoencoder/model.py cannot be imported: SystemExit" in said
    )
    assert "\nno score: " in said
    assert "does not train yet" in text and "The tests were not scored." in text


# --- names --------------------------------------------------------------------------------

NAMES = {
    ("Grace", "Ada"): "Ada and Grace",
    ("Ada", " Ada\t"): "Ada",
    ("", "\n"): "a pair",
    ("Jean-Luc", "O'Brien, jr"): "Jean-Luc and O'Brien, jr",
    ('"], evil', "x\ny"): r"\"\]\, evil and x y".replace("\\,", ","),
    ("../x", "*a* [b](c)"): r"\*a\* \[b\]\(c\) and \.\./x".replace(r"\.\./x", r"\.\.\/x"),
    ("<script>", "a|b`c`"): r"\<script\> and a\|b\`c\`",
    ("{about}", "\\"): r"\\ and \{about\}",
    ("...", "..."): r"\.\.\.",
}


def test_three_who_took_turns_are_three_authors(pair):
    for two in ("Somebody", "Else"), ("Ada", "Grace"), ("Grace", "Joan"), ("Joan", "Ada"):
        pair.turn(*two)
    assert export.authors() == ["Ada", "Grace", "Joan"]


@pytest.mark.slow(but=1)
@pytest.mark.parametrize("typed, shown", NAMES.items(), ids=map(repr, NAMES))
def test_names_are_shown_as_they_were_typed(typed, shown, pair, quick, capsys):
    pair.copy(modules=["model"])
    pair.turn("Somebody", "Else")
    pair.turn(*typed)
    project, text = exported(pair)
    assert f"\nRe-implemented in JAX by {shown}, from its [" in text
    assert "one commit" in capsys.readouterr().out
    declared = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]
    names = [author["name"] for author in declared["authors"]]
    assert names == export.authors() and declared.keys() >= {"name", "dependencies"}
    (author,) = git(project, "log", "--format=%an <%ae>")
    assert author.endswith(" <pair@localhost>") and author.count("<") == 1
    assert git(project, "log", "--format=%B") == ["The autoencoder, re-implemented in JAX"]


def test_a_very_long_name_is_cut(pair):
    pair.turn("a" * 10_000, "b")
    assert export.authors() == ["a" * 100, "b"]


# --- git ----------------------------------------------------------------------------------


def git(project, *arguments):
    command = ["git", "-C", str(project), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if line]


def test_one_commit_whatever_the_machine_is_set_to(pair, quick, tmp_path, monkeypatch, capsys):
    hooks = tmp_path / "hooks/hooks"
    hooks.mkdir(parents=True)
    for name in ("pre-commit", "commit-msg", "post-commit", "prepare-commit-msg"):
        (hooks / name).write_text(f"#!/bin/sh\necho hooked >> {tmp_path}/hooked\nexit 1\n")
        (hooks / name).chmod(0o755)
    (tmp_path / "ignored").write_text("*.py\n*.md\n")
    (tmp_path / ".gitconfig").write_text(
        f"[core]\n hooksPath = {hooks}\n excludesFile = {tmp_path}/ignored\n autocrlf = true\n"
        f"[init]\n templateDir = {hooks.parent}\n defaultBranch = odd\n"
        "[commit]\n gpgSign = true\n[user]\n useConfigOnly = true\n signingKey = none\n"
    )
    (tmp_path / "git").mkdir()
    (tmp_path / "git/ignore").write_text("*.toml\n")
    for name, value in {
        "HOME": tmp_path,
        "XDG_CONFIG_HOME": tmp_path,
        "GIT_DIR": tmp_path / "other",
        "GIT_AUTHOR_NAME": "Somebody",
        "GIT_TEMPLATE_DIR": hooks.parent,
    }.items():
        monkeypatch.setenv(name, str(value))
    pair.copy()
    pair.path("model").write_bytes(pair.path("model").read_bytes().replace(b"\n", b"\r\n"))
    pair.turn("Ada", "Grace")
    project, _ = exported(pair)
    assert "It is a git repository with one commit." in capsys.readouterr().out
    assert not (tmp_path / "hooked").exists() and not (tmp_path / "other").exists()
    assert not (project / ".git/hooks").exists()
    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(pair.out))
    for name in ("GIT_DIR", "GIT_AUTHOR_NAME", "GIT_TEMPLATE_DIR"):
        monkeypatch.delenv(name)
    assert git(project, "log", "--format=%an %cn %D") == [
        "Ada and Grace Ada and Grace HEAD -> main"
    ]
    assert git(project, "status", "--porcelain") == []
    listed = {project / name for name in git(project, "ls-files")}
    assert listed == {p for p in project.rglob("*") if p.is_file() and ".git" not in p.parts}
    assert b"\r\n" in (project / "autoencoder/model.py").read_bytes()


def test_plain_folder_without_git(pair, quick, monkeypatch, capsys):
    monkeypatch.setattr(export.shutil, "which", lambda name: None)
    pair.copy()
    project, _ = exported(pair)
    assert "git is not installed here, so it is a plain folder." in capsys.readouterr().out
    assert not (project / ".git").exists()


def test_plain_folder_where_git_fails(pair, quick, tmp_path, monkeypatch, capsys):
    broken = tmp_path / "git.sh"
    broken.write_text("#!/bin/sh\nmkdir -p .git\necho no room >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(export.shutil, "which", lambda name: str(broken))
    pair.copy()
    project, _ = exported(pair)
    assert "It is a plain folder, as git failed: no room. Begin" in capsys.readouterr().out
    assert not (project / ".git").exists()


def test_no_repository_within_another(pair, quick, capsys):
    (pair.out / ".git").mkdir()
    pair.copy()
    project, _ = exported(pair)
    assert "It is inside a git repository already" in capsys.readouterr().out
    assert not (project / ".git").exists()


# --- refusals -----------------------------------------------------------------------------


def refused(capsys, *arguments):
    """Return what is said of a call that exports nothing."""
    assert run(*arguments) == 2
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    return printed.err


def test_place_that_is_taken(pair, quick, capsys):
    pair.copy()
    (pair.out / "file").write_text("ours")
    (pair.out / "full").mkdir()
    (pair.out / "full/.hidden").write_text("ours")
    assert "file is a file. Name a folder that is not there" in refused(capsys, pair.out / "file")
    assert "full is a folder with something in it." in refused(capsys, pair.out / "full")
    assert "file is no folder. Make it" in refused(capsys, pair.out / "file/x")
    assert "no is no folder. Make it first" in refused(capsys, pair.out / "no/x")
    assert "cannot be written (File name too long)" in refused(capsys, pair.out / ("x" * 300))
    assert {path.name for path in pair.out.rglob("*")} == {"file", "full", ".hidden"}


def test_no_place_inside_their_work(pair, quick, capsys):
    pair.copy()
    before = pair.state()
    (pair.out / "link").symlink_to(pair.work, target_is_directory=True)
    for place in (pair.work, pair.work / "x", pair.work / "autoencoder/x", pair.out / "link/x"):
        assert "where your own work is. Name a folder" in refused(capsys, place)
    assert pair.state() == before


def test_an_empty_folder_is_as_good_as_none(pair, quick):
    pair.copy()
    (pair.out / "project").mkdir(mode=0o700)
    project, _ = exported(pair)
    assert project.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in pair.out.iterdir()] == ["project"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_folder_that_cannot_be_written(pair, monkeypatch, capsys):
    monkeypatch.setattr(export, "training_losses", None)  # what takes minutes comes after
    pair.copy()
    pair.out.chmod(0o555)
    assert "cannot be written (Permission denied)" in refused(capsys, pair.out / "x")
    pair.out.chmod(0o755)


@pytest.mark.slow(but=1)
@pytest.mark.parametrize("stop", [OSError(ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["add_file", "commit"])
def test_nothing_is_left_of_half_an_export(step, stop, pair, quick, monkeypatch, capsys):
    calls, true_step = [], getattr(export, step)

    def stopped(*arguments):
        calls.append(arguments)
        if step == "commit" or len(calls) == 5:
            raise stop
        return true_step(*arguments)

    monkeypatch.setattr(export, step, stopped)
    pair.copy()
    before = pair.state()
    status = run(pair.out / "project")
    assert status == (2 if isinstance(stop, OSError) else 130)
    assert not list(pair.out.iterdir()) and pair.state() == before
    if status == 2:
        assert "cannot be written (No space left on device). Make room" in capsys.readouterr().err


def test_nothing_saved_yet(pair, capsys):
    assert "nothing of yours is saved in " in refused(capsys, pair.out / "x")
    store = pair.copy(modules=["training"])
    text = pair.path("training").read_text().replace("def adam", f"{package.GIVEN}\ndef adam")
    pair.path("training").write_text(text)
    assert not store.is_own("adam_steps", store.texts())
    assert "nothing of yours is saved in " in refused(capsys, pair.out / "x")
    said = refused(capsys, pair.out / "x", "--track", "gnn")
    assert "gnn yet. Solve an exercise, run its check, then export again." in said


def test_track_is_asked_for_where_there_are_several(pair, quick, capsys):
    pair.copy("gnn")
    pair.copy("mlstm", modules=["model"])
    said = refused(capsys, pair.out / "x")
    assert "pieces of yours in 2 tracks: gnn, mlstm. Say which one to export, such as" in said
    said = refused(capsys, pair.out / "x", "--track", "../gnn")
    assert "there is no track `../gnn`. The tracks are: autoencoder, " in said
    assert not list(pair.out.iterdir())
    assert run(pair.out / "x", "--track", "mlstm") == 0
    assert (pair.out / "x/mlstm/model.py").exists()


BROKEN = {
    "syntax": (b"def a(:\n", "model.py has a syntax error on line 1: "),
    "bytes": (b"# gr\xf6sse\n", "autoencoder/model.py is not UTF-8 text (byte 4)."),
    "null": (b"a = 1\0\n", "model.py has a syntax error"),
    "workbook": (
        b"def encoder(): from reimpl_helpers.checks.compare import judge\n",
        "model.py imports reimpl_helpers, which is not where your package goes.",
    ),
}


@pytest.mark.parametrize("content, said", BROKEN.values(), ids=BROKEN)
def test_package_that_cannot_be_read(content, said, pair, quick, capsys):
    pair.copy(modules=["shapes"])
    pair.path("model").write_bytes(content)
    before = pair.state()
    assert said in refused(capsys, pair.out / "x")
    assert pair.state() == before and not list(pair.out.iterdir())


def test_nothing_of_the_pairs_runs_in_the_command(pair, quick):
    pair.copy(modules=["model"])
    with pair.path("model").open("a") as file:
        file.write(f"open({str(pair.out / 'run')!r}, 'w')\n")
    exported(pair)
    assert not (pair.out / "run").exists()
    assert ast.parse((pair.out / "project/autoencoder/model.py").read_text())
