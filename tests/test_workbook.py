"""What a pair writes is kept, whose piece is whose is said, and nothing of theirs is lost."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from cells import Notebook
from nbclient import NotebookClient

from reimpl_helpers import workbook
from reimpl_helpers.base import compiling
from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.base.places import NOTEBOOKS, ROOT, work_folder
from reimpl_helpers.checks import verdict as checks
from reimpl_helpers.checks.verdict import RIGHT, Verdict
from reimpl_helpers.judge import pieces
from reimpl_helpers.lab.copies import copy_work
from reimpl_helpers.pair.store import Store, track_of
from reimpl_helpers.texts import package
from reimpl_helpers.tracks.track import Track, tracks
from reimpl_helpers.workbook import Workbook, start

IMPORTS = """
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy
from safetensors.numpy import load_file
"""
NN_LAYER = '''
def nn_layer(weights, data, bias=0.0, nonlinearity=None):
    """Ours."""
    output = data @ weights + bias
    if nonlinearity == "relu":
        return np.where(output > 0, output, 0)
    if nonlinearity == "tanh":
        return np.tanh(output)
    if nonlinearity == "sigmoid":
        return 1 / (1 + np.exp(-output))
    return output
'''.lstrip()
ENCODER = '''
def encoder(params, x):
    """Ours."""
    hidden = nn_layer(params["enc_hidden"]["weight"].T, x, params["enc_hidden"]["bias"], "relu")
    return nn_layer(params["enc_code"]["weight"].T, hidden, params["enc_code"]["bias"], "tanh")
'''.lstrip()


class Pair:
    """Two people at a notebook of the autoencoder track, with an empty folder of their own."""

    def __init__(self, work):
        self.work, self.folder = work, work / "autoencoder"
        self.at(1)

    def at(self, step):
        """Open the notebook of a step in a fresh kernel."""
        self.track = Track("autoencoder", step)
        self.store = Store(self.track, self.folder)
        self.workbook = Workbook(self.store)
        self.notebook = Notebook(IMPORTS)

    def check(self, cell):
        """Run a cell that defines a piece, then the check below it."""
        self.notebook.run(cell)
        return self.workbook.check(self.notebook[re.findall(r"^def (\w+)", cell, re.M)[-1]])

    def text(self, module="model"):
        return (self.folder / f"{module}.py").read_text("utf-8")

    def files(self):
        return {path.name: path.read_bytes() for path in self.folder.glob("*")}


@pytest.fixture
def pair(tmp_path, monkeypatch):
    monkeypatch.setenv("REIMPL_WORK", str(tmp_path / "work"))
    return Pair(tmp_path / "work")


def in_jax(source):
    return source.replace("np.", "jnp.")


def solve(pair, *steps):
    """Write the workbook's pieces of some steps as the pair's own; their tests are not judged."""
    for step in steps:
        pair.at(step)
        for piece in pair.track.pieces:
            if piece.step == step:
                given = pair.track.given(piece)
                for name in package.dependencies_of(given, pair.track.modules).homes:
                    pair.notebook.setdefault(name, pair.workbook.use(name))
                verdict = pair.check(package.source_of_piece(given))
                assert verdict.right, verdict


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A package that came about by saving one piece after the other, in a copy of the project."""
    root = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / "pyproject.toml", root)
    pair = Pair(root / "work")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "judge_test", lambda piece, *_: Verdict(piece.label, RIGHT, "."))
        solve(pair, *range(1, Track.at_end("autoencoder").step + 1))
    return pair


# --- the package that comes out ---------------------------------------------------------------


def test_saving_every_piece_gives_the_solution(finished):
    solution = finished.track.given_texts(in_jax=True)
    saved = package.read_texts(finished.folder)
    assert set(finished.files()) == {f"{name}.py" for name in saved}
    asked, tests = solution.pop("test_model"), saved.pop("test_model")
    del solution["mistakes"]  # it and some of the tests are the pair's own ideas
    saved["training"] = saved["training"].replace(f"{package.GIVEN}\n", "")
    assert saved == solution
    names = package.functions_of(tests)
    assert names == [piece.name for piece in finished.track.pieces if piece.is_test]
    for name in names:
        assert package.definition_of(tests, name) == package.definition_of(asked, name)


@pytest.fixture(scope="module")
def without_helpers(tmp_path_factory):
    """The environment of a process for which there is no reimpl_helpers."""
    folder = tmp_path_factory.mktemp("without")
    (folder / "reimpl_helpers.py").write_text("raise ImportError('there are no helpers here')\n")
    return {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}


def python(*arguments, cwd, env):
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)


def test_without_helpers_there_are_none(without_helpers, tmp_path):
    done = python("-c", "import reimpl_helpers.texts.package", cwd=tmp_path, env=without_helpers)
    assert done.returncode == 1 and "there are no helpers here" in done.stderr


def test_package_imports_alone_and_quietly(finished, without_helpers):
    modules = ", ".join(package.read_texts(finished.folder))
    done = python(
        "-W", "error", "-c", f"import {modules}", cwd=finished.folder, env=without_helpers
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


TESTS = "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"


def test_wrong_package_fails_its_own_tests_alone(finished, without_helpers, tmp_path):
    wrong = tmp_path / "autoencoder"
    shutil.copytree(finished.folder, wrong)
    text = (wrong / "model.py").read_text("utf-8")
    (wrong / "model.py").write_text(text.replace(" + bias", ""), "utf-8")
    done = python(*TESTS, "-k", "bias or relu", cwd=wrong, env=without_helpers)
    assert "1 failed, 1 passed" in done.stdout, done.stdout


# --- checking and saving ----------------------------------------------------------------------


def test_right_piece_is_saved_and_says_so(pair):
    verdict = pair.check(NN_LAYER)
    assert str(verdict) == (
        "nn_layer · right on every probe, to within 1e-12. Saved to model.py. "
        "Swap: the navigator drives now."
    )
    assert pair.text() == (
        f'"""The autoencoder\'s forward pass."""\n\nimport numpy as np\n\n\n{NN_LAYER}'
    )
    assert "def nn_layer" in verdict.another_way and "def nn_layer" not in str(verdict)
    before = pair.files()
    assert str(pair.check(NN_LAYER)) == str(verdict)
    assert pair.files() == before


WRONG_OR_MISSING = {
    "wrong": (NN_LAYER.replace(" + bias", ""), "wrong"),
    "not written": (
        NN_LAYER.replace('"""Ours."""', "raise NotImplementedError"),
        "not written yet",
    ),
}


@pytest.mark.parametrize("cell, state", WRONG_OR_MISSING.values(), ids=WRONG_OR_MISSING)
def test_wrong_piece_is_not_saved(cell, state, pair):
    verdict = pair.check(cell)
    assert verdict.state == state and not verdict.another_way
    assert not pair.folder.exists()
    pair.check(NN_LAYER)
    before = pair.files()
    assert pair.check(cell).state == state
    assert pair.files() == before


def test_warm_up_is_right_and_not_saved(pair):
    pair.notebook.run(package.source_of_piece(pair.track.given(pair.track.pieces[0])))
    verdict = pair.workbook.check(pair.notebook["numpy_counterparts"])
    assert str(verdict).endswith("Swap: the navigator drives now.")
    assert "Saved" not in str(verdict) and not pair.folder.exists()


def test_pieces_that_a_piece_uses_are_saved_with_it(pair):
    pair.notebook.run(NN_LAYER)
    assert pair.check(ENCODER).right
    assert pair.text().endswith(f"import numpy as np\n\n\n{NN_LAYER}\n\n{ENCODER}")


def test_piece_that_uses_a_wrong_one_is_not_saved(pair):
    wrong = NN_LAYER.replace('"sigmoid"', '"Sigmoid"')
    pair.notebook.run(wrong)
    verdict = pair.check(ENCODER)
    assert not verdict.right
    assert str(verdict).startswith(
        "encoder · not saved: encoder uses nn_layer, which is not right yet. "
        "Mend that one first: nn_layer · "
    )
    assert not pair.folder.exists()


def test_piece_of_the_workbook_that_a_piece_uses_is_marked(pair, capsys):
    pair.notebook["nn_layer"] = pair.workbook.use("nn_layer")
    assert pair.check(ENCODER).right
    assert capsys.readouterr().out == "the workbook's, until yours are saved: nn_layer\n"
    texts = pair.store.texts()
    assert f"\n\n\n{package.GIVEN}\ndef nn_layer(" in pair.text()
    assert pair.store.is_own("encoder", texts) and not pair.store.is_own("nn_layer", texts)
    assert pair.workbook.whose("encoder") == "ours"
    assert pair.workbook.whose("nn_layer") == "the workbook's"
    with package.imported_from(pair.folder):
        from model import nn_layer
    assert pair.workbook.check(nn_layer).state == "not written yet"
    assert package.GIVEN in pair.text()
    assert pair.check(NN_LAYER).right
    assert package.GIVEN not in pair.text() and pair.text().count("def nn_layer") == 1
    assert pair.workbook.whose("nn_layer") == "ours"


HIDDEN_STATE = ENCODER.replace("encoder(params, x):", "encoder(params, x):\n    encoder.calls += 1")


def test_piece_that_leans_on_the_notebook_is_not_saved(pair):
    pair.notebook.run(NN_LAYER)
    pair.notebook.run(HIDDEN_STATE + "\nencoder.calls = 0\n")
    verdict = pair.workbook.check(pair.notebook["encoder"])
    assert str(verdict) == (
        "encoder · raised AttributeError on “ordinary”: 'function' object has no attribute "
        "'calls'. It is right in the notebook, but not on its own in model.py: does it use "
        "something that only the notebook has?"
    )
    assert not pair.folder.exists()


@pytest.mark.parametrize("last", ["tanh", "relu"], ids=["right", "wrong"])
def test_piece_is_judged_once(last, pair, monkeypatch):
    pair.check(NN_LAYER)
    judge, judged = pieces.judge, []

    def counted(piece, function, cases):
        judged.append(function.__code__.co_filename)
        return judge(piece, function, cases)

    monkeypatch.setattr(pieces, "judge", counted)
    pair.check(ENCODER.replace("tanh", last))
    (filename,) = judged
    assert filename.startswith(f"{pair.folder / 'model.py'} #")


def test_piece_that_answers_otherwise_in_the_notebook_is_told_so(pair):
    pair.check(NN_LAYER)
    pair.notebook.run("one = np.zeros(1)")
    pair.notebook.run("one[0] = 1")
    verdict = pair.check(ENCODER.replace("hidden, params", "hidden, one * params"))
    assert not verdict.right and verdict.question.startswith("It is right in the notebook, but")
    assert not verdict.mistake  # that of a bias left out, which nobody made


@pytest.mark.parametrize(
    "broken, seen",
    [
        (ENCODER.replace('"enc_hidden"', '"enc"'), "raised KeyError on “ordinary”: 'enc'."),
        (ENCODER.replace("    return", "    left.pop()\n    return"), "IndexError"),
        (ENCODER.replace("    return", "    while True: pass\n    return"), "still running after"),
        (ENCODER.replace('"tanh"', "tahn"), "raised NameError"),
    ],
    ids=["raises", "raises the second time", "endless", "misspelt"],
)
def test_piece_that_is_wrong_in_the_notebook_too_is_not_told_otherwise(
    broken, seen, pair, monkeypatch
):
    monkeypatch.setattr(checks, "TIME_LIMIT", 0.5)
    pair.check(NN_LAYER)
    pair.notebook.run("left = [1]")
    verdict = pair.check(broken)
    assert seen in verdict.seen and "in the notebook" not in str(verdict)
    assert "def encoder" not in pair.text()


def test_lines_of_another_module_on_the_way_to_an_exception_are_shown(pair):
    pair.folder.mkdir(parents=True)
    (pair.folder / "shapes.py").write_text("def param_shapes():\n    return 1 / 0\n")
    pair.at(3)
    pair.notebook["param_shapes"] = pair.workbook.use("param_shapes")
    verdict = pair.check("def make_autoencoder_params(*sizes):\n    return param_shapes()\n")
    assert verdict.details.startswith(
        "line 2 of make_autoencoder_params: return param_shapes()\n"
        "line 2 of param_shapes: return 1 / 0\n"
    )


def test_piece_that_would_not_import_is_not_saved(pair):
    pair.check(NN_LAYER)
    before = pair.files()
    pair.notebook.run(NN_LAYER + "\nnn_layer.version = 3\n")
    verdict = pair.check(
        "def encoder(params, x, version=nn_layer.version):" + ENCODER.partition(":")[2]
    )
    assert str(verdict).startswith("encoder · not saved: autoencoder/model.py cannot be imported: ")
    assert pair.files() == before


def test_import_inside_a_piece_finds_the_pairs_own_files(pair):
    pair.check(NN_LAYER)
    inside = ENCODER.replace("x):\n", "x):\n    from model import nn_layer\n")
    assert pair.check(inside).right
    assert pair.text().endswith(inside)


HANDED = {
    "number": "5",
    "nothing": "None",
    "built-in function": "len",
    "class": "dict",
    "partial": "__import__('functools').partial(print)",
    "lambda": "lambda params, x: x",
    "vectorized": "__import__('numpy').vectorize(print)",
    "module": "__import__('math')",
    "bound method": "[].append",
}


@pytest.mark.parametrize("what", HANDED.values(), ids=HANDED)
def test_check_is_handed_no_piece(what, pair):
    with pytest.raises(WorkbookError, match="check was handed .*, expected a function written"):
        pair.workbook.check(eval(what))


def test_check_is_handed_a_function_of_another_name(pair):
    pair.notebook.run("def my_encoder(params, x): return x")
    with pytest.raises(WorkbookError, match="`my_encoder` is no piece of this track. Its pieces"):
        pair.workbook.check(pair.notebook["my_encoder"])


def test_check_is_handed_the_workbooks_own(pair):
    for wrap in (lambda function: function, pair.notebook["jax"].jit):
        verdict = pair.workbook.check(wrap(pair.workbook.use("nn_layer")))
        assert verdict.state == "not written yet"
        assert "this one is the workbook's. Run the cell with your own." in str(verdict)
    assert not pair.folder.exists()


def test_check_is_handed_a_piece_from_the_file(pair):
    pair.check(NN_LAYER)
    before = pair.files()
    verdict = pair.workbook.check(pair.workbook.use("nn_layer"))
    assert verdict.right and str(verdict).endswith("It is saved in model.py.")
    assert pair.files() == before


WRAPPED = {
    "jitted": "from functools import partial\n@partial(jax.jit, static_argnames='nonlinearity')\n",
    "wrapped": "import functools\n\ndef same(function):\n    @functools.wraps(function)\n"
    "    def inner(*args, **named):\n        return function(*args, **named)\n    return inner\n"
    "\n@same\n",
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_decorated_piece_is_saved_with_its_decorators(kind, pair):
    pair.at(5)
    pair.check(WRAPPED[kind] + in_jax(NN_LAYER))
    decorator = WRAPPED[kind].splitlines()[-1]
    assert pair.text().endswith(f"\n\n\n{decorator}\n{in_jax(NN_LAYER)}")


def test_use_in_any_order(pair, capsys):
    solve(pair, 1)
    pair.at(2)
    capsys.readouterr()
    encoder, param_shapes, decoder = pair.workbook.use("encoder", "param_shapes", "decoder")
    assert (encoder.__name__, param_shapes.__name__) == ("encoder", "param_shapes")
    assert capsys.readouterr().out == (
        "yours: encoder, decoder\nthe workbook's, until yours are saved: param_shapes\n"
    )
    assert pair.store.origin(encoder) == "package" and pair.store.origin(param_shapes) == "given"
    with pytest.raises(WorkbookError, match="`deocder` is no piece of this track."):
        pair.workbook.use("encoder", "deocder")


def test_use_of_a_file_that_does_not_import(pair):
    pair.check(NN_LAYER)
    (pair.folder / "model.py").write_text(f"{pair.text()}\n\nx = nowhere\n")
    with pytest.raises(package.PackageError, match="model.py cannot be imported: NameError in"):
        pair.workbook.use("nn_layer")
    (pair.folder / "model.py").write_text(f"{pair.text()}\n\nx = (\n")
    with pytest.raises(package.PackageError, match="model.py has a syntax error on line"):
        pair.workbook.use("nn_layer")
    assert "syntax error" in str(pair.check(NN_LAYER))
    assert pair.text().endswith("x = (\n")


def test_edit_made_while_a_piece_is_checked_is_kept(pair, monkeypatch):
    pair.check(NN_LAYER)
    judged = pieces.judge_alone

    def edit_then_judge(*args):
        (pair.folder / "model.py").write_text("# edited meanwhile\n")
        return judged(*args)

    monkeypatch.setattr(pieces, "judge_alone", edit_then_judge)
    verdict = pair.check(ENCODER)
    assert "not saved: autoencoder/model.py was changed while your piece" in str(verdict)
    assert pair.text() == "# edited meanwhile\n"


def test_full_disk_says_so_and_loses_nothing(pair, monkeypatch):
    pair.check(NN_LAYER)
    before = pair.files()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    verdict = pair.check(ENCODER)
    assert not verdict.right
    assert str(verdict).startswith(
        "encoder · not saved: model.py cannot be written in work/autoencoder (No space left on"
    )
    assert "your piece is safe in its cell" in str(verdict)
    assert pair.files() == before


# --- tests of the pair ------------------------------------------------------------------------

TEST_BIAS = """
def test_bias_shifts_the_output():
    weights, data, bias = np.eye(3), np.arange(6.0).reshape(2, 3), np.arange(3.0)
    shift = nn_layer(weights, data, bias) - nn_layer(weights, data)
    np.testing.assert_allclose(shift, [bias, bias], atol=1e-5)
""".lstrip()


def test_exact_test_of_a_numpy_model_is_refused_as_it_fails_in_float32(pair):
    pair.check(NN_LAYER)
    pair.at(4)
    pair.notebook["nn_layer"] = pair.workbook.use("nn_layer")
    exact = TEST_BIAS.replace("atol=1e-5", "rtol=0, atol=1e-14").replace("3.0)", "3.0) / 7")
    assert exact != TEST_BIAS and "but not in float32" in pair.check(exact).headline


def test_pieces_of_the_workbook_bring_what_they_use_themselves(pair):
    pair.at(4)
    for name in ("autoencoder", "make_autoencoder_params"):
        pair.notebook[name] = pair.workbook.use(name)
    test = """
def test_shapes():
    params = make_autoencoder_params(key=1, pixels=6, hidden=5, code=2)
    assert autoencoder(params, np.ones((3, 6))).shape == (3, 6)
""".lstrip()
    assert pair.check(test).right
    assert set(pair.files()) == {"shapes.py", "model.py", "params.py", "test_model.py"}
    assert pair.text().count(package.GIVEN) == 4  # nn_layer, encoder, decoder, autoencoder
    run = pair.workbook.run_tests()
    assert run.outcomes == {"test_shapes": "passed"}, run.report
    done = python(*TESTS, cwd=pair.folder, env=os.environ)
    assert "1 passed" in done.stdout, done.stdout


def test_test_is_saved_with_what_it_tests(pair):
    pair.check(NN_LAYER)
    pair.at(4)
    pair.notebook["nn_layer"] = pair.workbook.use("nn_layer")
    weak = TEST_BIAS.replace("assert_allclose(shift, [bias, bias]", "assert_allclose(shift, shift")
    verdict = pair.check(weak)
    assert not verdict.right and "answers nonsense" in str(verdict)
    assert not (pair.folder / "test_model.py").exists()
    verdict = pair.check(TEST_BIAS)
    assert verdict.right and "Saved to test_model.py." in str(verdict)
    assert pair.text("test_model") == (
        '"""What must stay true of the autoencoder."""\n\n'
        f"import numpy as np\nfrom model import nn_layer\n\n\n{TEST_BIAS}"
    )
    assert "1 passed" in repr(pair.workbook.run_tests())


def test_no_tests_yet(pair):
    assert repr(pair.workbook.run_tests()) == "no tests yet: test_model.py is written by step 4."


# --- the port to JAX --------------------------------------------------------------------------


@pytest.fixture
def ported(pair):
    solve(pair, 1)
    pair.at(5)
    assert pair.check(in_jax(NN_LAYER)).right
    return pair


def test_port_takes_the_place_of_the_version_in_numpy(ported):
    text = ported.text()
    assert text.startswith(
        '"""The autoencoder\'s forward pass."""\n\nimport jax.numpy as jnp\n\n\n'
    )
    assert in_jax(NN_LAYER) in text and text.count("def nn_layer") == 1
    assert ported.workbook.whose("encoder") == "ours"


def test_check_of_step_1_keeps_the_port(ported):
    before = ported.files()
    ported.at(1)
    assert str(ported.check(NN_LAYER)).endswith(" model.py keeps your JAX version.")
    assert ported.check(ENCODER).right
    assert in_jax(NN_LAYER) in ported.text() and NN_LAYER not in ported.text()
    assert ENCODER in ported.text()
    assert before != ported.files()


def test_check_of_step_1_judges_both_its_own_and_the_port(ported):
    ported.at(1)
    assert "wrong" in ported.check(NN_LAYER.replace("+ bias", "- bias")).state
    (ported.folder / "model.py").write_text(ported.text().replace("jnp.tanh", "jnp.sinh"))
    verdict = ported.check(NN_LAYER)
    assert not verdict.right
    assert verdict.seen.startswith("right here, but your JAX version in model.py is not: ")


def test_port_that_is_called_np(pair):
    solve(pair, 1)
    pair.at(5)
    pair.notebook.run("import jax.numpy as np")
    assert pair.check(NN_LAYER).right
    assert "import jax.numpy as np\n" in pair.text() and "import numpy" not in pair.text()
    pair.at(1)
    assert "keeps your JAX version" in str(pair.check(NN_LAYER))


def test_version_in_numpy_is_no_port(pair):
    pair.at(5)
    verdict = pair.check(NN_LAYER)
    assert verdict.label == "nn_layer in JAX" and not verdict.right


def test_half_ported(pair, capsys):
    solve(pair, 1)
    pair.at(5)
    capsys.readouterr()
    encoder = pair.workbook.use("encoder")
    assert capsys.readouterr().out == "the workbook's, until yours are ported: encoder\n"
    assert (
        pair.store.origin(encoder) == "given" and pair.workbook.whose("encoder") == "the workbook's"
    )
    pair.at(4)
    pair.workbook.use("encoder")
    assert capsys.readouterr().out == "yours: encoder\n"


def test_test_that_needs_the_port_waits_for_it(pair):
    solve(pair, 1)
    pair.at(5)
    pair.notebook["nn_layer"] = pair.workbook.use("nn_layer")
    assert str(pair.check(TEST_BIAS)) == (
        "test_bias_shifts_the_output · not saved: test_bias_shifts_the_output uses nn_layer, and "
        "model.py has nn_layer in NumPy still. Port nn_layer to JAX first."
    )
    assert not (pair.folder / "test_model.py").exists()


# --- opening a notebook -----------------------------------------------------------------------


def test_start_says_where_the_pair_stands(pair, capsys):
    start("autoencoder", 2)
    assert capsys.readouterr().out == (
        "autoencoder, step 2. Nothing of yours is saved in work/autoencoder yet.\n"
    )
    pair.check(NN_LAYER)
    start("autoencoder", 2)
    assert capsys.readouterr().out == (
        "autoencoder, step 2. Yours, saved in work/autoencoder: nn_layer.\n"
    )
    with pytest.raises(WorkbookError, match="no track `nonesuch`. The tracks are: autoencoder, "):
        start("nonesuch", 1)


def test_all_that_a_notebook_can_ask_is_on_one_screen():
    asked = {name for name in vars(Workbook) if not name.startswith("_")} - {"pair"}
    listed = Workbook.__doc__.partition("\n\n")[2]
    names = re.findall(r"\w+", " ".join(re.findall(r"^    (\S.*?)  ", listed, re.M)))
    assert asked <= {*names}
    assert all(getattr(Workbook, name).__doc__ for name in asked)


def test_start_goes_on_where_a_file_cannot_be_read(pair, capsys):
    pair.folder.mkdir(parents=True)
    (pair.folder / "model.py").write_text("def a(:\n")
    assert start("autoencoder", 2).track.step == 2
    assert "step 2. model.py has a syntax error on line 1" in capsys.readouterr().out
    (pair.folder / "model.py").write_bytes(b"# gr\xf6sse\n")
    assert start("autoencoder", 2).track.step == 2
    assert "model.py is not UTF-8 text" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name, hidden",
    [("random", "Python's own module `random`"), ("numpy", "the installed package `numpy`")],
)
def test_start_warns_of_files_that_hide_modules(name, hidden, pair, capsys):
    pair.folder.mkdir(parents=True)
    (pair.folder / f"{name}.py").write_text("raise ImportError\n")
    (pair.folder / "ours.py").write_text("")
    track = start("autoencoder", 1)
    assert capsys.readouterr().out.splitlines()[1:] == [
        f"{name}.py in your folder hides {hidden} from what runs there. Rename it."
    ]
    pair.track = track
    assert pair.check(NN_LAYER).right


def test_start_warns_of_the_pairs_recording(pair, capsys):
    copy_work()
    start("autoencoder", 1)
    assert "recording" not in capsys.readouterr().out
    path = pair.folder / "recording.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    start("autoencoder", 1)
    assert "recording.safetensors in your folder is not the workbook's" in capsys.readouterr().out
    path.unlink()
    start("autoencoder", 1)
    assert "recording.safetensors is missing in your folder." in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_start_refuses_a_damaged_recording_of_the_workbook(damage, pair, tmp_path, monkeypatch):
    home = tmp_path / "notebooks" / "autoencoder"
    home.mkdir(parents=True)
    for name in ("05_training_test.ipynb", "recording.safetensors"):
        shutil.copy(NOTEBOOKS / "autoencoder" / name, home)
    monkeypatch.setattr("reimpl_helpers.tracks.track.NOTEBOOKS", tmp_path / "notebooks")
    path = home / "recording.safetensors"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    else:
        path.unlink()
    with pytest.raises(WorkbookError, match=r"(?s)recording.safetensors.*What to do"):
        start("autoencoder", 1)


def test_start_from_another_folder(pair, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pair.track = start("autoencoder", 1)
    assert pair.check(NN_LAYER).right and pair.text()
    monkeypatch.setenv("REIMPL_WORK", "mine")
    assert start("autoencoder", 1).store.folder == tmp_path / "mine" / "autoencoder"
    monkeypatch.setenv("REIMPL_WORK", "")
    assert work_folder() == ROOT / "work"


def failing(cell, notebook):
    with pytest.raises(Exception) as caught:  # noqa: B017  whatever the cell raises
        notebook.run(cell)
    return caught.value


ADVICE = {
    "cell not run": ("encoder(1, 2)", "", "`encoder` means nothing in this kernel."),
    "misspelt": ("def f():\n    return jxa\nf()", "", "`jxa` means nothing in this kernel."),
    "np": ("np.ones(3)", "np = 0", "`np` is int 0 here and hides numpy."),
    "check": ("check(1)", "check = 5", "`check` is no longer the workbook's. Run the first code"),
    "track": ("track.use('a')", "track = 5", "`track` is no longer the workbook's."),
    "local": ("def f():\n    a += 1\nf()", "a = 1", None),
    "placeholder": (
        "import jax\njax.grad(lambda x: np.sin(x))(1.0)",
        "",
        "JAX handed a placeholder",
    ),
    "other": ("1 / 0", "", None),
}


@pytest.mark.parametrize("cell, before, said", ADVICE.values(), ids=ADVICE)
def test_advice(cell, before, said, pair):
    notebook = Notebook(IMPORTS, before)
    notebook.setdefault("check", pair.workbook.check)
    notebook.setdefault("track", pair.workbook)
    advice = workbook.advice_for(failing(cell, notebook), notebook, pair.workbook)
    assert advice.startswith(said) if said else not advice


# --- in a kernel ------------------------------------------------------------------------------

FIRST = """
import numpy as np
from reimpl_helpers.workbook import Workbook, start
track = start("autoencoder", step=1)
check = track.check
"""
WITH_CLASS = """
class Names:
    after = "tanh"
{}"""
CELLS = {
    "first": (FIRST, "ok", "random.py in your folder hides Python's own module `random`"),
    "out of order": ("check(nn_layer)", "error", "`nn_layer` means nothing in this kernel."),
    "number": ("np = 0\nnp.ones(3)", "error", "`np` is int 0 here and hides numpy."),
    "mended": ("import numpy as np", "ok", ""),
    "piece": (NN_LAYER, "ok", ""),
    "saved": ("check(nn_layer)", "ok", "Saved to model.py."),
    "class": (WITH_CLASS.format(ENCODER.replace('"tanh"', "Names.after")), "ok", ""),
    "saved with class": ("check(encoder)", "ok", "Saved to model.py."),
    "hidden text": (f"%%time\n{NN_LAYER.replace('Ours', 'Timed')}", "ok", ""),
    "asked for": ("check(nn_layer)", "ok", "hides its text"),
    "no piece": ("track.use('nn')", "error", "`nn` is no piece of this track."),
    "no check": ("check = 5\ncheck(nn_layer)", "error", "`check` is no longer the workbook's."),
}


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """Run all those cells in a real kernel, in the pair's folder; return its replies."""
    pair = Pair(tmp_path_factory.mktemp("kernel") / "work")
    pair.folder.mkdir(parents=True)
    (pair.folder / "random.py").write_text("raise ImportError('hidden')\n")
    replies = []
    client = NotebookClient(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c, *_ in CELLS.values()]),
        timeout=60,
        kernel_name="python3",
        allow_errors=True,
        resources={"metadata": {"path": str(pair.folder)}},
        on_cell_executed=lambda cell, cell_index, execute_reply: replies.append(execute_reply),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REIMPL_WORK", str(pair.work))
        client.execute()
    pair.cells = {
        name: (reply["content"]["status"], cell.outputs)
        for name, reply, cell in zip(CELLS, replies, client.nb.cells, strict=True)
    }
    return pair


@pytest.mark.parametrize("name", CELLS)
def test_in_a_kernel(name, kernel):
    status, outputs = kernel.cells[name]
    _, expected, said = CELLS[name]
    assert status == expected
    errors = [output for output in outputs if output.output_type == "error"]
    assert len(errors) == (status == "error")
    shown = [line for output in errors for line in output.traceback]
    shown += [
        output.get("text", output.get("data", {}).get("text/plain", "")) for output in outputs
    ]
    assert said in "".join(shown)


def test_traceback_is_still_shown_in_a_kernel(kernel):
    (error,) = (o for o in kernel.cells["number"][1] if o.output_type == "error")
    assert error.ename == "AttributeError"
    assert any("np.ones(3)" in re.sub(r"\x1b\[[0-9;]*m", "", line) for line in error.traceback)


def test_message_of_the_workbook_has_no_traceback_in_a_kernel(kernel):
    (error,) = (o for o in kernel.cells["no piece"][1] if o.output_type == "error")
    assert len(error.traceback) == 1 and error.traceback[0].startswith("`nn` is no piece")


def test_what_a_kernel_saved_runs_alone(kernel):
    module = package.load_pieces(kernel.folder, "model")
    assert module.nn_layer.__doc__ == "Ours." and module.Names.after == "tanh"


# --- a pair's folder --------------------------------------------------------------------------


def state_of(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.suffix != ".pyc"}


def test_notebooks_stay_clean(pair):
    before = state_of(NOTEBOOKS / "autoencoder" / "solution")
    before |= {path: path.stat().st_mtime_ns for path in NOTEBOOKS.rglob("*.ipynb")}
    copy_work()
    for path in pair.work.rglob("*.ipynb"):
        path.write_text("ours")
    solve(pair, 1)
    after = state_of(NOTEBOOKS / "autoencoder" / "solution")
    assert before == after | {path: path.stat().st_mtime_ns for path in NOTEBOOKS.rglob("*.ipynb")}


def test_track_of_a_folder(tmp_path):
    folder = tmp_path / "autoencoder"
    folder.mkdir()
    assert track_of(folder) == "autoencoder"
    (folder / ".track").write_bytes(b"gr\xf6sse\n")
    with pytest.raises(WorkbookError, match="belongs to no track: there is no `gr.sse`"):
        track_of(folder)
    ours = tmp_path / "ours"
    ours.mkdir()
    with pytest.raises(WorkbookError, match="Write the track's name into ours/.track."):
        track_of(ours)
    (ours / ".track").write_text("autoencoder\n")
    assert track_of(Path(ours)) == "autoencoder"


# --- what costs time ---

WITHOUT_JAX = (
    "autoencoder/solved/01*.ipynb",
    "autoencoder/solved/03*.ipynb",
    "mlstm/solved/01*.ipynb",
)
RUN = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for path in sys.argv[1:]:
    for cell in json.load(open(path, encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            shell.run_cell("".join(cell["source"])).raise_error()
assert (len(shell.user_ns["track"].store.texts()) > 0) and "jax" not in sys.modules
"""


def test_notebooks_in_numpy_do_not_import_jax(tmp_path):
    solved = [path for pattern in WITHOUT_JAX for path in NOTEBOOKS.glob(pattern)]
    assert len(solved) == len(WITHOUT_JAX)
    done = subprocess.run(
        [sys.executable, "-c", RUN, *solved], cwd=ROOT, capture_output=True, text=True, timeout=120,
        env=os.environ | {"REIMPL_WORK": str(tmp_path), "MPLBACKEND": "agg"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("may_write", "least"), [(True, 0), (False, 1e9)])
def test_who_may_not_write_what_was_compiled_only_reads_it(tmp_path, monkeypatch, may_write, least):
    monkeypatch.setattr(os, "access", lambda path, mode: may_write and path == tmp_path)
    said = compiling.compilation_cache(tmp_path / "compiled")
    assert said["JAX_COMPILATION_CACHE_DIR"] == str(tmp_path / "compiled")
    assert float(said["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"]) == least


def test_the_locked_xla_is_the_one_that_quick_compiling_was_tried_with():
    """After an upgrade: run the tests and benchmarks/verdicts.py, then write its version down."""
    locked = re.findall(r"^jaxlib==(\S+)", (ROOT / "requirements.lock").read_text(), re.M)
    assert compiling.JAXLIB in locked


def test_what_is_judged_at_once_is_compiled_in_one_context():
    import jax  # noqa: F401
    from jax._src.interpreters import mlir

    made = mlir.make_ir_context
    with compiling.float64_in_jax():
        context = mlir.make_ir_context()
        with compiling.compiled_quickly():
            assert mlir.make_ir_context() is context
    assert mlir.make_ir_context is made


@pytest.mark.parametrize("name", tracks())
def test_what_is_written_around_a_piece_names_it(tmp_path, name):
    """The text alone tells which of the workbook's pieces come with one of the pair's."""
    track = Track.at_end(name)
    for user in (piece for piece in track.vocabulary.values() if piece.from_track == name):
        needed = package.dependencies_of(track.given(user), track.modules).pieces
        text = track.given_texts(in_jax=True)[user.module]
        assert {*needed} - package.names_used(package.definition_of(text, user.name)) == set()
