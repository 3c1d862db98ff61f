"""Every piece of every track: never right unsolved, never refused when right, never right wrong.

A new track is held to this by having a folder. Each test notes what it found for the line that
begins with CHECKS at the end of the run (see conftest.py). `make test` tries one example of each
direction for each piece, and `make test-all` every one.
"""

import ast
import functools
import inspect
from pathlib import Path
from types import FunctionType

import numpy as np
import pytest

from reimpl_helpers.authoring import check_track
from reimpl_helpers.base.compiling import float64_in_jax
from reimpl_helpers.checks.cases import Refusal
from reimpl_helpers.checks.compare import compare_answer
from reimpl_helpers.checks.equivalence import outcome, same_values, unseen_cases
from reimpl_helpers.checks.verdict import NOT_WRITTEN, WRONG, first_refusal, little_printed
from reimpl_helpers.judge.pieces import judge_alone, judge_piece
from reimpl_helpers.pair.store import Store
from reimpl_helpers.texts import package
from reimpl_helpers.texts.mutations import mutations_of
from reimpl_helpers.tracks.notebooks import cells_of, exercise_of, notebooks_of, step_of
from reimpl_helpers.tracks.track import Track, tracks


@functools.cache
def track_at(name, step):
    return Track(name, step)


@functools.cache
def texts_at(name, step):
    """Return the workbook's package as a pair has it at this step: before or after the port."""
    track = track_at(name, step)
    return track.given_texts(track.in_jax)


@functools.cache
def variants_of(name):
    return check_track.variants_of(track_at(name, 0))


def every(of_piece, tests):
    """Parametrize over what there is for every piece: of code to write, or of tests to write.

    Of each piece, all but the first are left to `make test-all`, and so are tests in JAX, which
    take long.
    """
    found = []
    for name in tracks():
        for piece in track_at(name, 0).pieces:
            is_long = piece.is_test and track_at(name, piece.step).in_jax
            if piece.is_test == tests:
                for number, (key, value) in enumerate(of_piece(name, piece).items()):
                    marks = [pytest.mark.slow] if number or is_long else []
                    label = f"{name}, {piece.label}, {key}"
                    found.append(pytest.param(name, piece, value, id=label, marks=marks))
    return pytest.mark.parametrize("name, piece, case", found)


def the_piece(name, piece):
    return {"": None}


def once_a_step(name, piece):
    """Stand for all tests of a step, where what is tried has nothing to do with what they test."""
    tests = [other for other in track_at(name, 0).pieces if other.is_test]
    return {"": None} if piece == next(t for t in tests if t.step == piece.step) else {}


def its_variants(name, piece):
    return check_track.ways_to_write(track_at(name, 0), piece, variants_of(name))


def its_bugs(name, piece):
    return {bug.name: bug for bug in track_at(name, 0).bugs if bug.piece == piece.name}


def stub(name, piece):
    """Find the cell in which the notebook asks for a piece."""
    for path in notebooks_of(name):
        for cell in cells_of(path):
            if exercise_of(cell) == piece.name and step_of(path) == piece.step:
                return cell["source"]
    raise AssertionError(f"no notebook of step {piece.step} asks for {piece.name}")


def verdict_on(name, piece, function):
    return judge_piece(track_at(name, piece.step), piece, function)


@functools.cache
def cases_of(name, piece):
    return track_at(name, piece.step).cases(piece)


def verdict_on_test(name, piece, source):
    """Judge the source of a test, with what it uses of the solution's tests and their variants."""
    track, texts = track_at(name, piece.step), texts_at(name, piece.step)
    above, used = [], package.names_in([ast.parse(source)])
    for node in reversed(around_tests(name, piece.step)):  # each comes after what it uses
        if package.names_given(node) & used:
            above.insert(0, ast.unparse(node))
            used |= package.names_in([node])
    return judge_alone(
        Store(track, Path("work") / name),
        piece,
        {**texts, "test_model": "\n".join([*above, source])},
    )


@functools.cache
def around_tests(name, step):
    """List the imports of the solution's tests and of the variants, and small functions there."""
    variants = (track_at(name, step).home / "variants.py").read_text("utf-8")
    trees = ast.parse(texts_at(name, step)["test_model"]), ast.parse(variants)
    return [node for tree in trees for node in tree.body if is_around_tests(node)]


def is_around_tests(node):
    """Tell whether a statement is an import, or a small function that tests call."""
    if isinstance(node, ast.FunctionDef):
        return not node.name.startswith("test_") and "__" not in node.name
    return isinstance(node, ast.Import | ast.ImportFrom)


def source_in_solution(name, piece):
    tree = ast.parse(texts_at(name, piece.step)["test_model"])
    return next(node for node in tree.body if getattr(node, "name", "") == piece.name)


def function_from(name, piece, modules):
    """Load the workbook's piece, with some of its modules replaced, as it is at its step."""
    track = track_at(name, piece.step)
    module = piece.module or "before_port"
    texts = {**texts_at(name, piece.step), **modules}
    return getattr(package.load_pieces(track.solution, module, texts), piece.name)


def assert_readable(headline):
    """A message is a few sentences, and ends by saying or asking what to do."""
    assert 20 < len(headline) < 450, headline
    assert headline.endswith((".", "?")), headline


@pytest.fixture
def count(record_property):
    """Count one more of a kind for the line of the checks; fail where it is not as it should."""

    def count(kind, is_so, why=""):
        record_property("CHECKS", [kind, bool(is_so)])
        assert is_so, why

    return count


# --- an unsolved piece is never called right ---


@every(the_piece, tests=False)
def test_unsolved(name, piece, case, count):
    namespace = {}
    exec(compile(stub(name, piece), "<ipython-input-1>", "exec"), namespace)
    verdict = verdict_on(name, piece, namespace[piece.name])
    count("unsolved", verdict.state == NOT_WRITTEN, repr(verdict))
    assert str(verdict) == f"{piece.label} · {NOT_WRITTEN}"


@every(the_piece, tests=True)
def test_unsolved_test(name, piece, case, count):
    verdict = verdict_on_test(name, piece, stub(name, piece))
    count("unsolved", verdict.state == NOT_WRITTEN, repr(verdict))
    assert str(verdict) == f"{piece.label} · {NOT_WRITTEN}"


# --- a correct answer is never refused ---


@every(its_variants, tests=False)
def test_variant(name, piece, case, count):
    verdict = verdict_on(name, piece, case)
    count("variants", verdict.right, repr(verdict))


@every(its_variants, tests=True)
def test_variant_test(name, piece, case, count):
    source = inspect.getsource(case).replace(f"def {case.__name__}(", f"def {piece.name}(")
    verdict = verdict_on_test(name, piece, source)
    count("variants", verdict.right, repr(verdict))


# --- a planted bug is refused, and named ---


@every(its_bugs, tests=False)
def test_planted_bug(name, piece, case, count):
    track = track_at(name, piece.step)
    planted = track.planted(case, piece.port or track.in_jax)
    verdict = verdict_on(name, piece, function_from(name, piece, planted))
    count("planted bugs refused", verdict.state == WRONG, repr(verdict))
    assert_readable(verdict.headline)
    mend, mistake = case.old.strip(), case.new.strip()
    assert mend not in verdict.headline and not (mistake and mistake in case.question)
    count("named", verdict.headline.endswith(f" {case.question}"), verdict.headline)


def without_asserts(name, piece):
    test = source_in_solution(name, piece)
    test.body = [ast.parse("pass").body[0] if asserts(n) else n for n in test.body]
    return ast.unparse(ast.fix_missing_locations(test))


def comparing_with_itself(name, piece):
    model = [other.name for other in track_at(name, 0).pieces if other.step == 1][-1]
    return f"def {piece.name}():\n    model = {model}\n    assert model == model"


def always_false(name, piece):
    return f"def {piece.name}():\n    assert not True"


def weak_tests(name, piece):
    """List ways to write a test that guards nothing, and how each is named."""
    passes, fails = "passes on your model, and also on", "fails on your own model"
    ways = {
        "asserts left out": (without_asserts, passes),
        "always false": (always_false, fails),
        "compares with itself": (comparing_with_itself, passes),
    }
    return ways if once_a_step(name, piece) else {}


def asserts(statement):
    return any(
        isinstance(node, ast.Assert) or "assert_" in getattr(node, "attr", "")
        for node in ast.walk(statement)
    )


@every(weak_tests, tests=True)
def test_weak_test(name, piece, case, count):
    write, words = case
    verdict = verdict_on_test(name, piece, write(name, piece))
    count("planted bugs refused", verdict.state == WRONG, repr(verdict))
    assert_readable(verdict.headline)
    count("named", words in verdict.headline, verdict.headline)


def passes_at_first(name, piece):
    """Write a test that names every piece it may be asked about, and fails from its second run."""
    names = [other.name for other in track_at(name, 0).pieces if not other.is_test]
    return (
        f"def {piece.name}():\n    import pathlib\n    names = {names}\n"
        "    pathlib.Path({!r}).touch(exist_ok=False)"
    )


@every(once_a_step, tests=True)
def test_judged_blind(name, piece, case, count, tmp_path):
    source = passes_at_first(name, piece).format(str(tmp_path / "has run"))
    verdict = verdict_on_test(name, piece, source)
    count("tests judged blind", verdict.state == WRONG, repr(verdict))


# --- what all cases of a piece share, it may rely on ---

FIXED = (  # in every model of a track, or in every call
    "len(shapes)",
    "len(layer)",
    "bias",  # an array, or left out: there is no other number
)


class Note(ast.NodeTransformer):
    """Have every expression of a function noted that uses what it was given or has computed."""

    def __init__(self, names):
        self.names = names

    def visit_expression(self, node):
        source = ast.unparse(node)
        self.generic_visit(node)
        if not is_read(node) or not self.names & package.names_in([node]):
            return node
        return ast.Call(ast.Name("_noted", ast.Load()), [ast.Constant(source), node], [])

    visit_Compare = visit_BoolOp = visit_Call = visit_Subscript = visit_expression
    visit_BinOp = visit_Name = visit_Attribute = visit_expression


def noting(name, piece, seen):
    """Load the workbook's piece, so that it notes the numbers, texts and conditions in it."""
    track, module = track_at(name, piece.step), piece.module or "before_port"
    early = (track.solution / "before_port.py").read_text("utf-8")
    tree = ast.parse({"before_port": early, **texts_at(name, piece.step)}[module])
    (function,) = (node for node in tree.body if getattr(node, "name", "") == piece.name)
    given = track.given(piece)
    names = {*given.__code__.co_varnames, *given.__code__.co_cellvars}
    function.body = [Note(names).visit(statement) for statement in function.body]
    changed = ast.unparse(ast.fix_missing_locations(tree))
    noted = function_from(name, piece, {module: changed})

    def note(source, value):
        if isinstance(value, bool | int | float | str | np.bool_ | np.integer):
            seen.setdefault(source, set()).add(value)
        elif isinstance(value, np.ndarray) and value.dtype == np.bool_:
            seen.setdefault(source, set()).update(value.ravel().tolist())
        return value

    noted.__globals__["_noted"] = note
    return noted


@every(the_piece, tests=False)
def test_no_size_or_condition_is_the_same_in_all_cases(name, piece, case):
    seen = {}
    noted = noting(name, piece, seen)
    with float64_in_jax(), np.errstate(all="ignore"), little_printed():
        for asked in cases_of(name, piece):
            if not asked.probe.startswith("gradients"):
                outcome(noted, asked)
    shared = {source: values for source, values in seen.items() if len(values) < 2}
    assert {source for source in shared if source not in FIXED} == set(), shared


# --- a default that is not the signature's is refused, and named ---


@every(the_piece, tests=False)
def test_defaults(name, piece, case, count):
    given = track_at(name, piece.step).given(piece)
    defaults = given.__defaults__ or ()
    asked = [case for case in cases_of(name, piece) if case.probe == "arguments left out"]
    assert len(asked) == bool(defaults)
    for place, default in enumerate(defaults):
        wrong = FunctionType(given.__code__, given.__globals__, given.__name__)
        wrong.__defaults__ = (*defaults[:place], other(default), *defaults[place + 1 :])
        argument = list(inspect.signature(given).parameters)[place - len(defaults)]
        refusal = first_refusal(wrong, asked)
        count("defaults", refusal and refusal.order, argument)


def other(default):
    """Give another value than a default, of the same kind."""
    if isinstance(default, int | float):
        return default + 1
    return "tanh" if default is None else f"{default}{default}"


# --- a port that keeps gradients back is refused, though it is right forward ---


class KeepBack(ast.NodeTransformer):
    """Hand the value of every expression of a function to `_kept`, with its number."""

    def __init__(self):
        self.sources = []

    def visit(self, node):
        if not is_read(node):
            return node  # nor what is written into: it must stay the same object
        if isinstance(node, ast.BinOp | ast.Call | ast.Subscript | ast.Name):
            number = ast.Constant(len(self.sources))
            self.sources.append(ast.unparse(node))
            return ast.Call(ast.Name("_kept", ast.Load()), [number, self.generic_visit(node)], [])
        return self.generic_visit(node)


def is_read(node):
    return isinstance(getattr(node, "ctx", ast.Load()), ast.Load)


def keeping_back(name, piece):
    """Load the workbook's port so that it can keep gradients back; list its expressions."""
    tree, keep_back = ast.parse(texts_at(name, 5)[piece.module]), KeepBack()
    (function,) = (n for n in tree.body if getattr(n, "name", "") == piece.name)
    function.body = [keep_back.visit(statement) for statement in function.body]
    changed = ast.unparse(ast.fix_missing_locations(tree))
    return function_from(name, piece, {piece.module: changed}), keep_back.sources


def gradients_kept_back(port, case, count):
    """Ask for gradients, each time with `stop_gradient` around another expression.

    Which one it is goes in as flags, so that all of them are one program.
    """
    import jax

    def kept(flags, number, value):
        def leaf_kept(leaf):
            is_floats = isinstance(leaf, jax.Array) and jax.numpy.issubdtype(leaf.dtype, float)
            back = jax.lax.stop_gradient
            return jax.numpy.where(flags[number], back(leaf), leaf) if is_floats else leaf

        return jax.tree.map(leaf_kept, value)

    @jax.jit
    def gradients(flags):
        port.__globals__["_kept"] = functools.partial(kept, flags)
        return case.call(port, *case.args)

    return [gradients(flags) for flags in np.eye(count, dtype=bool)]


def is_refused(case, answer):
    try:
        with np.errstate(all="ignore"):
            compare_answer(answer, case)
    except Refusal:
        return True
    return False


def to_be_differentiated(name, piece):
    is_port = piece.port and piece.module != "params"
    return {"": None} if is_port or piece.module == "losses" else {}


@pytest.mark.slow(but=1)
@every(to_be_differentiated, tests=False)
def test_gradients(name, piece, case, count):
    asked = [case for case in cases_of(name, piece) if case.probe.startswith("gradients")]
    port, expressions = keeping_back(name, piece)
    refused = {}
    with float64_in_jax():
        for case in asked[:1] + asked[1:][-1:]:
            ours = outcome(track_at(name, 5).given(piece), case)
            kept_back = gradients_kept_back(port, case, len(expressions))
            for expression, theirs in zip(enumerate(expressions), kept_back, strict=True):
                if not same_values(theirs, ours):
                    refused[expression] = refused.get(expression) or is_refused(case, theirs)
    for (_, expression), so in refused.items():
        count("gradients", so, expression)
    assert refused


# --- an automatic mutation is refused, or computes the same ---


def its_mutations(name, piece):
    """Make every mutation of the workbook's piece as it stands at its step."""
    track = track_at(name, piece.step)
    if piece.module is None:
        text = (track.solution / "before_port.py").read_text("utf-8")
    else:
        text = texts_at(name, 5 if piece.port else piece.step)[piece.module]
    return list(mutations_of(text, [piece.name]))


def first_and_others(name, piece):
    return {"the first": slice(1), "the others": slice(1, None)}


@every(first_and_others, tests=False)
def test_mutations(name, piece, case, count):
    for mutation in its_mutations(name, piece)[case]:
        mutant = function_from(name, piece, {piece.module or "before_port": mutation.text})
        refusal = first_refusal(mutant, cases_of(name, piece))
        if refusal is None and is_same(name, piece, mutant):
            continue
        change = f"line {mutation.line}: {mutation.before} → {mutation.after}"
        count("mutations refused", refusal is not None, change)
        assert_readable(str(refusal))


def is_same(name, piece, mutant):
    """Prove that a mutation computes what the workbook's piece does, on inputs never seen."""
    with float64_in_jax(), np.errstate(all="ignore"):
        answers = given_answers(name, piece)
        return all(same_values(answer, outcome(mutant, case)) for case, answer in answers)


@functools.cache
def given_answers(name, piece):
    """List inputs never seen, and draws, with what the workbook's piece answers to each."""
    cases, given = cases_of(name, piece), function_from(name, piece, {})
    drawn = [case for case in cases if not case.has_one_answer]
    unseen = [case for seed in range(3) for _, case in unseen_cases(cases, seed)]
    unseen = [case for case in unseen if case.has_one_answer]
    return [(case, outcome(given, case)) for case in unseen + drawn]
