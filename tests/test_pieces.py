"""Every piece of every track: never right unsolved, never refused when right, never right wrong.

A new track is held to this by having a folder.
"""

import ast
import functools
import inspect
import json
from pathlib import Path

import pytest

from reimpl_helpers import package
from reimpl_helpers.checks import NOT_WRITTEN, WRONG, judge
from reimpl_helpers.notebooks import notebooks_of, step_of
from reimpl_helpers.testing import judge_test
from reimpl_helpers.workbook import Track, load_file, tracks


@functools.cache
def track_at(name, step):
    return Track(name, Path("work") / name, step)


@functools.cache
def texts_at(name, step):
    """Return the workbook's package as a pair has it at this step: before or after the port."""
    track = track_at(name, step)
    return track.given_texts(track.in_jax)


@functools.cache
def variants_of(name):
    track = track_at(name, 0)
    with package.imported_from(track.solution):
        module = load_file(track.home / "variants.py")
    return {key: value for key, value in vars(module).items() if "__" in key.strip("_")}


def every(of_piece, tests):
    """Parametrize over what there is for every piece: of code to write, or of tests to write."""
    found = {
        f"{name}, {piece.label}, {key}": (name, piece, value)
        for name in tracks()
        for piece in track_at(name, 0).pieces
        if piece.is_test == tests
        for key, value in of_piece(name, piece).items()
    }
    return pytest.mark.parametrize("name, piece, case", found.values(), ids=found)


def the_piece(name, piece):
    return {"": None}


def its_variants(name, piece):
    """Find the variants of a piece: those in JAX are the port's where there is one."""
    has_port = any(other.port and other.name == piece.name for other in track_at(name, 0).pieces)
    ways = {
        key.split("__")[1]: key for key in variants_of(name) if key.startswith(f"{piece.name}__")
    }
    return {
        way: variants_of(name)[key]
        for way, key in ways.items()
        if not has_port or piece.port == way.startswith("jax")
    }


def its_bugs(name, piece):
    return {bug.name: bug for bug in track_at(name, 0).bugs if bug.piece == piece.name}


def stub(name, piece):
    """Find the cell in which the notebook asks for a piece."""
    for path in notebooks_of(name):
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            if cell["metadata"].get("reimpl", {}).get("exercise") == piece.name:
                if step_of(path) == piece.step:
                    return "".join(cell["source"])
    raise AssertionError(f"no notebook of step {piece.step} asks for {piece.name}")


def verdict_on(name, piece, function):
    return judge(piece, function, track_at(name, piece.step).recording)


def verdict_on_test(name, piece, source):
    """Judge the source of a test, with the imports of the solution's tests above it."""
    track, texts = track_at(name, piece.step), texts_at(name, piece.step)
    imports = imports_of(texts["test_model"]) + imports_of((track.home / "variants.py").read_text())
    texts = {**texts, "test_model": f"{imports}\n\n{source}"}
    bugs = [bug for bug in track.bugs if bug.name in piece.catches]
    return judge_test(piece, texts, track.folder, bugs, texts_at(name, piece.step))


def imports_of(text):
    nodes = [node for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom)]
    return "".join(f"{ast.unparse(node)}\n" for node in nodes)


def source_in_solution(name, piece):
    tree = ast.parse(texts_at(name, piece.step)["test_model"])
    return next(node for node in tree.body if getattr(node, "name", "") == piece.name)


def wrong_function(name, piece, bug):
    """Make a mistake in the workbook's piece, in NumPy where the step is and the edit applies."""
    track = track_at(name, piece.step)
    if piece.module is None:
        text = (track.solution / "before_port.py").read_text("utf-8")
        module, texts = "before_port", {}
    else:
        module, texts = piece.module, texts_at(name, 5 if piece.port else piece.step)
        text = texts[module]
    try:
        wrong = bug.plant(text)
    except ValueError:
        wrong = bug.plant(package.read_texts(track.solution)[module])
    module = package.load_pieces(track.solution, module, {**texts, module: wrong})
    return getattr(module, piece.name)


def assert_readable(verdict):
    """A message is a few sentences, and ends by saying or asking what to do."""
    assert 20 < len(verdict.headline) < 450, verdict.headline
    assert verdict.headline.endswith((".", "?")), verdict.headline


# --- an unsolved piece is never called right ---


@every(the_piece, tests=False)
def test_unsolved(name, piece, case):
    namespace = {}
    exec(compile(stub(name, piece), "<ipython-input-1>", "exec"), namespace)
    verdict = verdict_on(name, piece, namespace[piece.name])
    assert str(verdict) == f"{piece.label} · {NOT_WRITTEN}"
    assert verdict.state == NOT_WRITTEN


@every(the_piece, tests=True)
def test_unsolved_test(name, piece, case):
    verdict = verdict_on_test(name, piece, stub(name, piece))
    assert (verdict.state, str(verdict)) == (NOT_WRITTEN, f"{piece.label} · {NOT_WRITTEN}")


# --- a correct answer is never refused ---


@every(the_piece, tests=False)
def test_solution(name, piece, case):
    verdict = verdict_on(name, piece, track_at(name, piece.step).given(piece))
    assert verdict.right, repr(verdict)


@every(the_piece, tests=True)
def test_solution_test(name, piece, case):
    verdict = verdict_on_test(name, piece, ast.unparse(source_in_solution(name, piece)))
    assert verdict.right, repr(verdict)


@every(its_variants, tests=False)
def test_variant(name, piece, case):
    verdict = verdict_on(name, piece, case)
    assert verdict.right, repr(verdict)


@every(its_variants, tests=True)
def test_variant_test(name, piece, case):
    source = inspect.getsource(case).replace(f"def {case.__name__}(", f"def {piece.name}(")
    verdict = verdict_on_test(name, piece, source)
    assert verdict.right, repr(verdict)


@pytest.mark.parametrize("name", tracks())
def test_every_piece_has_variants_and_every_variant_a_piece(name):
    pieces = track_at(name, 0).pieces
    few = [piece.label for piece in pieces if len(its_variants(name, piece)) < 2]
    assert few == []
    names = {piece.name for piece in pieces}
    assert [key for key in variants_of(name) if key.split("__")[0] not in names] == []


# --- a plausible mistake is never accepted ---


@every(its_bugs, tests=False)
def test_planted_bug(name, piece, case):
    verdict = verdict_on(name, piece, wrong_function(name, piece, case))
    assert verdict.state == WRONG, str(verdict)
    assert_readable(verdict)
    assert case.old.strip() not in verdict.headline


@pytest.mark.parametrize("name", tracks())
def test_every_piece_has_bugs_and_every_edit_applies(name):
    track = track_at(name, 0)
    written = [piece for piece in track.pieces if not piece.is_test]
    assert [piece.label for piece in written if len(its_bugs(name, piece)) < 3] == []
    modules = {piece.name: piece.module or "before_port" for piece in written}
    for bug in track.bugs:
        text = (track.solution / f"{modules[bug.piece]}.py").read_text("utf-8")
        assert bug.plant(text) != text
    names = [bug.name for bug in track.bugs]
    for piece in track.pieces:
        for caught in piece.catches:
            assert names.count(caught) == 1, f"{piece.name} is to catch {caught!r}"
        assert bool(piece.catches) == piece.is_test


def weak_tests(name, piece):
    """Write tests that guard nothing: plausible ones, from the solution's own."""
    without = source_in_solution(name, piece)
    without.body = [ast.parse("pass").body[0] if asserts(n) else n for n in without.body]
    start = f"def {piece.name}():\n    "
    return {
        "asserts left out": ast.unparse(ast.fix_missing_locations(without)),
        "compares with itself": f"{start}model = encoder\n    assert model == model",
        "always false": f"{start}assert not True",
    }


def asserts(statement):
    return any(
        isinstance(node, ast.Assert) or "assert_" in getattr(node, "attr", "")
        for node in ast.walk(statement)
    )


@every(weak_tests, tests=True)
def test_weak_test(name, piece, case):
    verdict = verdict_on_test(name, piece, case)
    assert verdict.state == WRONG, str(verdict)
    assert_readable(verdict)
