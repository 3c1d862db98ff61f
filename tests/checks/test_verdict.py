"""Verdicts: each stage and its wording, and that nothing a piece does gets past or breaks them."""

import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings

import numpy as np
import pytest

from reimpl_helpers.base import clocks
from reimpl_helpers.base.clocks import TookTooLong, time_limit
from reimpl_helpers.checks import verdict as checks
from reimpl_helpers.checks.cases import Case, Piece, Refusal
from reimpl_helpers.checks.verdict import NOT_WRITTEN, RIGHT, WRONG, Verdict, judge

X = np.arange(1.0, 7.0).reshape(2, 3)
ORDINARY = Case("ordinary", (X,), 2 * X)
ONE_ROW = Case("one row", (X[:1],), 2 * X[:1])
NESTED = Case("nested", ({"layer": {"weight": X.copy(), "bias": X[0]}}, [X]), 2 * X)


def verdict_on(function, *cases, name="double"):
    return judge(Piece(name, "model", 1), function, cases or (ORDINARY, ONE_ROW))


def headline(function, *cases):
    verdict = verdict_on(function, *cases)
    assert verdict.state == WRONG, str(verdict)
    return verdict.headline


def double(x):
    return 2 * x


def written_in_a_cell(source, **namespace):
    exec(compile(textwrap.dedent(source), "/tmp/ipykernel_1/1.py", "exec"), namespace)
    return namespace["double"]


# --- right ---


def test_right():
    verdict = verdict_on(double)
    assert (verdict.state, str(verdict)) == (RIGHT, "double · right on every probe.")
    assert str(verdict_on(lambda x: 2 * x + 1e-13)).endswith(
        "right on every probe, to within 1e-12."
    )
    assert str(verdict_on(lambda x: 2 * x + 1e-10)).endswith(
        "right on every probe, to within 1e-09."
    )


def test_differences_are_measured_against_the_size_of_the_number():
    def half_wrong(x):
        return 2 * x * (1 + 1.5e-9)

    large = Case("large", (1e6 * X,), 2e6 * X)
    assert verdict_on(lambda x: 2 * x * (1 + 5e-10), large).headline.endswith("within 1e-09.")
    assert "differ" in headline(half_wrong, large)
    assert "differ" in headline(half_wrong)


@pytest.mark.parametrize("kind", [float, np.float64, np.array, lambda x: np.array(x, order="F")])
def test_numbers_of_every_kind_are_right(kind):
    case = Case("number", (3.0,), np.float64(6))
    assert verdict_on(lambda x: kind(2 * x), case).right


def test_subclasses_longer_floats_and_other_layouts_are_right():
    assert verdict_on(lambda x: (2 * x).astype(np.longdouble)).right
    assert verdict_on(lambda x: np.repeat(2 * x, 2, axis=0)[::2]).right
    assert verdict_on(lambda x: np.ma.masked_array(2 * x)).right


def test_overflow_on_the_way_warns_nobody():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert verdict_on(lambda x: 2 * x + 1 / (1 + np.exp(1e6 * x))).right


# --- not written, raised ---


def test_not_written():
    def double(x):
        raise NotImplementedError

    assert verdict_on(double) == Verdict("double", NOT_WRITTEN, NOT_WRITTEN)
    assert str(verdict_on(double)) == "double · not written yet"


def test_not_written_further_down():
    def helper(x):
        raise NotImplementedError

    verdict = verdict_on(lambda x: helper(x))
    assert verdict.state == NOT_WRITTEN
    assert str(verdict) == (
        "double · not written yet: it calls helper, which is not. Write that one first."
    )


def test_not_implemented_for_a_reason_is_an_exception_like_others():
    def double(x):
        raise NotImplementedError("no such dtype")

    assert "raised NotImplementedError on “ordinary”: no such dtype." in headline(double)


def test_not_written_comes_before_anything_else():
    def double(x):
        if len(x) == 2:
            return 1 / 0
        raise NotImplementedError

    assert verdict_on(double).state == NOT_WRITTEN


def test_raised():
    double = written_in_a_cell(
        """
        def double(x):
            wider = x + 0
            return x @ wider
        """
    )
    verdict = verdict_on(double)
    assert verdict.headline == (
        "raised ValueError on “ordinary”: a matrix product was asked to sum over axes of sizes 3 "
        "and 2. Which axis of which array should it sum over?"
    )
    assert verdict.details.startswith("line 3 of double:")
    assert "ValueError: matmul" in verdict.details
    assert verdict.details.endswith("\ncalled with x (2, 3)")


def test_raised_in_a_piece_with_nested_arguments():
    verdict = verdict_on(lambda params, z, /: 1 / 0, NESTED)
    assert verdict.headline == "raised ZeroDivisionError on “nested”: division by zero."
    assert verdict.details.endswith(
        "called with params.layer.weight (2, 3), params.layer.bias (3,), z.0 (2, 3)"
    )


def test_details_name_the_probes_that_are_right():
    verdict = verdict_on(lambda x: 2 * x if len(x) == 1 else x[5])
    assert "right on: one row\nwrong on: ordinary" in verdict.details


@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit(), BaseException("anything")])
def test_ending_python_is_caught(error):
    def double(x):
        raise error

    assert headline(double).startswith(f"raised {type(error).__name__} on “ordinary”")


def test_exit_is_explained():
    assert headline(lambda x: sys.exit("done")) == (
        "raised SystemExit on “ordinary”: done. It ends Python altogether: return a result instead."
    )


def test_recursion_stays_short():
    def double(x):
        return double(x)

    verdict = verdict_on(double)
    assert "raised RecursionError" in verdict.headline
    assert len(verdict.details.splitlines()) < 15


def test_exception_that_cannot_be_shown():
    class Mute(Exception):
        def __str__(self):
            raise ValueError

    def double(x):
        raise Mute

    assert "raised Mute on “ordinary”: (cannot be shown)." in headline(double)


def test_shadowed_numpy():
    double = written_in_a_cell("def double(x):\n    return np.multiply(x, 2)", np=0)
    assert headline(double) == (
        "raised AttributeError on “ordinary”: 'int' object has no attribute 'multiply'. "
        "`np` is int 0 here and hides numpy. Run `import numpy as np` again, and give your value "
        "another name."
    )


def test_shadowed_numpy_in_a_compiled_piece():
    import jax

    double = written_in_a_cell("def double(x):\n    return np.multiply(x, 2)", np=0)
    assert "`np` is int 0 here and hides numpy." in headline(jax.jit(double))


def test_numpy_on_a_placeholder():
    import jax

    compiled = Case("compiled", (X,), 2 * X, call=lambda piece, x: jax.jit(piece)(x))
    text = headline(lambda x: np.multiply(x, 2), compiled)
    assert text.endswith("Which line still computes with np instead of jnp?")
    text = headline(lambda x: 2 * x if x[0, 0] > 0 else x, compiled)
    assert text.endswith("Is there an `if`, an `int()` or a loop on a value?")
    assert verdict_on(double, compiled).right


def test_no_function():
    for thing in (None, X, "double", 3):
        assert headline(thing).startswith(f"double is {type(thing).__name__}")
        assert headline(thing).endswith("Run the cell that defines it again.")


# --- changed input ---


def put(tree, *path, value):
    *above, last = path
    for key in above:
        tree = tree[key]
    tree[last] = value


CHANGES = {
    "params.layer.weight": lambda params, z: put(params, "layer", "weight", 0, 0, value=9.0),
    "params.layer.bias": lambda params, z: params["layer"].pop("bias"),
    "params.layer": lambda params, z: params.clear(),
    "params.layer.new": lambda params, z: put(params, "layer", "new", value=X),
    "z.0": lambda params, z: np.negative(z[0], out=z[0]),
    "z.1": lambda params, z: z.append(X),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changed_input(name):
    def double(params, z):
        result = 2 * z[0]
        CHANGES[name](params, z)
        return result

    text = headline(double, NESTED)
    assert text.startswith(f"changes its input in place on “nested”: {name}")
    assert text.endswith(
        "is not what it was before the call. Make a new array or dict instead of writing into it."
    )


@pytest.mark.parametrize("change", ["x *= 1.5", "x[0, 0] = np.nan", "x[:, ::-1].sort()"])
def test_changed_array(change):
    source = f"def double(x):\n    result = 2 * x\n    {change}\n    return result"
    changed = "changes its input in place on “ordinary”: x is not what it was before the call."
    assert headline(written_in_a_cell(source, np=np)).startswith(changed)


def test_a_change_does_not_reach_the_next_probe():
    seen = []

    def double(x):
        seen.append(x.copy())
        x[:] = 0
        return x

    headline(double, ORDINARY, ORDINARY)
    assert all(np.array_equal(x, X) for x in seen)


# --- type ---


class Liar(np.ndarray):
    """Lie about everything that can be asked of an array."""

    shape = property(lambda self: (2, 3))
    dtype = property(lambda self: np.dtype(float))

    def __array__(self, dtype=None, copy=None):
        return 2 * X

    def __array_ufunc__(self, *args, **kwargs):
        return np.zeros((2, 3))

    def __array_function__(self, *args, **kwargs):
        return True

    __eq__ = __ne__ = __sub__ = __rsub__ = __abs__ = lambda self, *other: np.zeros((2, 3))


class EqualToAll:
    def __eq__(self, other):
        return True


class Pretender(EqualToAll):
    __class__ = np.ndarray

    def __array__(self, dtype=None, copy=None):
        return X


class Unspeakable:
    def __repr__(self):
        raise ValueError("no")


TYPES = {
    "a list": lambda x: (2 * x).tolist(),
    "text": lambda x: "2 * x",
    "a generator": lambda x: (row for row in 2 * x),
    "a function": lambda x: lambda: 2 * x,
    "a dict": lambda x: {"x": 2 * x},
    "a tuple": lambda x: (2 * x,),
    "equal to all": lambda x: EqualToAll(),
    "no text": lambda x: Unspeakable(),
    "Ellipsis": lambda x: ...,
}


@pytest.mark.parametrize("name", TYPES)
def test_type(name):
    text = headline(TYPES[name])
    assert text.startswith("wrong type on “ordinary”: ")
    assert text.endswith(", expected an array of numbers.")


def test_generator_function():
    def double(x):
        yield 2 * x

    assert headline(double).startswith("wrong type on “ordinary”: generator <generator")


def test_printed_and_not_returned():
    def double(x):
        print(2 * x)

    assert headline(double).startswith("prints on “ordinary”, and returns nothing. A check sees")


def test_names_of_another_type():
    layers = Case("layers", (), {"0": X, "1": X})
    said = headline(lambda: {0: X, 1: X}, layers)
    assert said.startswith("the names 0, 1 on “layers” are of the type int, the original's are te")


def test_a_dict_where_an_array_belongs():
    def double(x):
        return x @ {"weight": np.eye(3)}

    assert "a matrix product was handed what is no array." in headline(double)


def test_nothing_returned():
    text = "returns nothing on “ordinary”. Does the last line say `return`?"
    assert headline(lambda x: None) == text


def test_liars_are_compared_by_their_numbers():
    assert "differ on “ordinary”, first at [0, 0]: yours 1, the original's 2." in headline(
        lambda x: x.view(Liar)
    )
    assert headline(lambda x: x[:1].view(Liar), ORDINARY).startswith("wrong shape on “ordinary”")
    assert headline(lambda x: x.astype("f4").view(Liar)).startswith("wrong dtype on “ordinary”")
    assert "differ on “ordinary”" in headline(lambda x: Pretender(), ORDINARY)


def test_patched_comparisons_do_not_help(monkeypatch):
    def double(x):
        for name in ("allclose", "array_equal", "isclose"):
            monkeypatch.setattr(np, name, lambda *args, **kwargs: True)
        monkeypatch.setattr(np.testing, "assert_allclose", lambda *args, **kwargs: None)
        return x

    assert "6 of 6 values differ on “ordinary”" in headline(double)


DICTS = Case("ordinary", (X,), {"layer": {"weight": 2 * X, "bias": 2 * X[0]}})


def test_dicts():
    def answer(x, **more):
        return {"layer": {"weight": 2 * x, "bias": 2 * x[0], **more}}

    assert verdict_on(answer, DICTS).right
    assert headline(lambda x: 2 * x, DICTS).startswith("wrong type on “ordinary”: ndarray array([[")
    assert headline(lambda x: {"layer": x}, DICTS).endswith(
        "expected a dict with the keys weight, bias."
    )
    assert headline(lambda x: {"layer": {"weight": x}}, DICTS) == (
        "other names than the original's for layer on “ordinary”: bias missing. "
        "Read the names off the original's __init__."
    )
    assert "layer on “ordinary”: gain not among the original's." in headline(
        lambda x: answer(x, gain=x), DICTS
    )
    assert headline(lambda x: answer(x, bias=x[0]), DICTS).startswith(
        "3 of 3 values differ for layer.bias on “ordinary”, first at [0]: yours 1, "
    )


def test_answer_that_cannot_be_read():
    for case in (
        Case("ordinary", (X,), 2 * X, part=lambda answer: answer["weight"]),
        Case("ordinary", (X,), complaint=lambda answer: answer.nonsense),
    ):
        text = headline(lambda x: [x], case)
        assert text.startswith("wrong type on “ordinary”: list [array([[")
        assert text.endswith(
            "cannot be read. Compare what you return with what the exercise asks for."
        )


def test_leaked_placeholder():
    import jax

    leaked = []
    jax.jit(lambda x: leaked.append(x))(1.0)
    assert "cannot be read" in headline(lambda x: leaked[0])


# --- shape, dtype, finite ---


@pytest.mark.parametrize(
    "function, words",
    [
        (
            lambda x: 2 * x.T,
            "yours (3, 2), the original's (2, 3). The right sizes in the opposite order: "
            "which axis comes first?",
        ),
        (
            lambda x: 2 * x[:, 0],
            "yours (2,), the original's (2, 3). The original's has 2 axes: where is one lost or "
            "added?",
        ),
        (
            lambda x: 2 * x[:, :1],
            "yours (2, 1), the original's (2, 3). Which axis of which array decides this size?",
        ),
        (
            lambda x: 2.0,
            "yours (), the original's (2, 3). The original's has 2 axes: where is one lost or "
            "added?",
        ),
    ],
)
def test_shape(function, words):
    assert headline(function) == f"wrong shape on “ordinary”: {words}"


def test_shapes_of_numbers_and_rows():
    number, row = Case("number", (), np.float64(6)), Case("row", (), np.ones(4))
    assert headline(lambda: np.array([6.0]), number) == (
        "wrong shape on “number”: yours (1,), the original's (). The original's has no axis: "
        "where is one lost or added?"
    )
    assert headline(lambda: np.ones(3), row) == (
        "wrong shape on “row”: yours (3,), the original's (4,). How many are asked for?"
    )


def test_nothing_broadcasts():
    ones = Case("ones", (X,), np.ones((2, 3)))
    for shape in ((), (1,), (3,), (1, 3), (2, 1), (1, 2, 3)):
        assert headline(lambda x, shape=shape: np.ones(shape), ones).startswith("wrong shape")


@pytest.mark.parametrize("dtype", ["f4", "f2", "i8", "c16", "O", "?"])
def test_dtype(dtype):
    text = headline(lambda x: (2 * x).astype(dtype))
    assert text == (
        f"wrong dtype on “ordinary”: yours {np.dtype(dtype)}, the original's float64. "
        "What on the way changes the kind of number?"
    )


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_finite(number):
    text = headline(lambda x: np.where(x == 5, number, 2 * x))
    assert text == (
        f"1 of 6 values are NaN or infinite on “ordinary”, first at [1, 1]: yours {number}. "
        "Is anything divided by zero, or is an exponential too large?"
    )


# --- values ---

CODES = Case("codes", (), np.array([[-0.5, 0.25], [0.75, -0.1]]))
PIXELS = Case("pixels", (), np.array([[0.5, 0.25], [0.75, 0.1]]))
LOSS = Case("loss", (), np.float64(0.5))
COMPARE = "Compare your lines with the original's, one operation at a time."


@pytest.mark.parametrize(
    "change, case, question",
    [
        (lambda x: x.T, CODES, "Yours is the original's with its axes swapped."),
        (lambda x: -x, CODES, "Yours has the opposite sign everywhere."),
        (lambda x: 0 * x, CODES, "Yours is 0 throughout. What never reached the answer?"),
        (np.abs, CODES, "Nothing of yours is below zero. What did the original do last?"),
        (
            lambda x: x - 0.6,
            PIXELS,
            "Nothing of the original's is below zero. What did it do last?",
        ),
        (
            lambda x: 9 * x**2,
            PIXELS,
            "Nothing of the original's is beyond 1 or -1. What did it do last?",
        ),
        (
            lambda x: x + 0.125,
            PIXELS,
            "The same amount everywhere: what is added once too often, or left out?",
        ),
        (lambda x: 1.25 * x, PIXELS, "Yours is 1.25 times the original's everywhere."),
        (lambda x: x**2, PIXELS, COMPARE),
        (lambda x: 320 * x, LOSS, "Yours is 320 times the original's."),
        (lambda x: x / 3, LOSS, "Yours is 0.3333 times the original's."),
        (lambda x: 1.3 * x, LOSS, COMPARE),
        (lambda x: 0 * x, LOSS, COMPARE),
    ],
)
def test_values(change, case, question):
    text = headline(lambda: change(case.expected), case)
    assert "differ" in text and "yours" in text and "the original's" in text
    assert text.endswith(question)


def test_values_say_how_many_and_where_first():
    def double(x):
        wrong = 2 * x
        wrong[1, 1:] += [1, 2]
        return wrong

    assert headline(double, ORDINARY) == (
        "2 of 6 values differ on “ordinary”, first at [1, 1]: yours 11, the original's 10. "
        + COMPARE
    )
    assert headline(lambda: 0.65, LOSS) == (
        f"the value differs on “loss”: yours 0.65, the original's 0.5. {COMPARE}"
    )


def test_values_of_few_cases_alone_are_asked_about():
    two_rows = Case("two rows", ORDINARY.args, ORDINARY.expected)

    def by_rows(x):
        return 2 * x if len(x) > 1 else 2 * x + x**2

    asked = "Yours is right on 2 other probes: what does “one row” have that they have not?"
    assert headline(by_rows, ORDINARY, two_rows, ONE_ROW).endswith(asked)
    assert headline(by_rows, ORDINARY, ONE_ROW).endswith(COMPARE)  # half of it is wrong


def test_small_differences_are_shown_with_enough_digits():
    text = headline(lambda: 0.5 + 1e-8, LOSS)
    assert "yours 0.50000001, the original's 0.5." in text


def test_the_subtlest_known_mistake_is_refused():
    assert "differ" in headline(lambda x: 2 * x + 1e-5)


# --- shapes as answers ---

SHAPES = Case("sizes", (7, 5), {"weight": (7, 5), "bias": (7,)})


@pytest.mark.parametrize(
    "weight, bias, words",
    [
        ((5, 7), (7,), "for weight on “sizes”: yours (5, 7). The right sizes in another order"),
        (
            (7, 6),
            (7,),
            "for weight on “sizes”: yours (7, 6). Which sizes does this axis depend on?",
        ),
        ((7, 5), (7, 1), "for bias on “sizes”: yours (7, 1). The original's has one axis."),
        ((7, 5), (7), "for bias on “sizes”: int 7, expected a tuple of whole numbers. A shape of"),
        ((7, 5), (7.0,), "for bias on “sizes”: tuple (7.0,), expected a tuple of whole numbers."),
        ((7, 5), (True,), "for bias on “sizes”: tuple (True,), expected a tuple of whole numbers."),
        ((7, 5), (EqualToAll(),), "expected a tuple of whole numbers."),
        ((7, 5), "7", "for bias on “sizes”: str '7', expected a tuple of whole numbers."),
    ],
)
def test_shapes_as_answers(weight, bias, words):
    text = headline(lambda *sizes: {"weight": weight, "bias": bias}, SHAPES)
    assert words in text
    assert "the original's (7" not in text  # the shape asked for is the answer


def test_lists_and_numpy_integers_are_shapes():
    def shapes(*sizes):
        return {"weight": [7, np.int64(5)], "bias": (np.int32(7),)}

    assert verdict_on(shapes, SHAPES).right


@pytest.mark.parametrize("kept", [{"x": 2 * X}, 2 * X])
def test_what_is_kept_is_not_to_be_handed_out(kept):
    part = (lambda answer: answer["x"]) if isinstance(kept, dict) else (lambda answer: answer)
    case = Case("ordinary", (X,), 2 * X, part=part)
    verdict = verdict_on(lambda x: kept, case)
    assert "the same" in verdict.headline and "each time: who changes it" in verdict.headline
    assert verdict_on(lambda x: {"x": 2 * x} if isinstance(kept, dict) else 2 * x, case).right


# --- the order of a verdict ---


@pytest.mark.parametrize("first", range(len(Refusal.STAGES) - 1))
@pytest.mark.parametrize("second", range(len(Refusal.STAGES) - 1))
def test_the_most_basic_refusal_speaks(first, second):
    answers = {
        "not written": NotImplementedError(),
        "raised": ValueError("oops"),
        "changed": None,
        "type": "text",
        "shape": X[:1],
        "dtype": X.astype("f4"),
        "finite": X * np.nan,
        "values": X,
    }
    words = {
        "not written": "not written",
        "raised": "raised",
        "changed": "changes its input",
        "type": "wrong type",
        "shape": "wrong shape",
        "dtype": "wrong dtype",
        "finite": "NaN or infinite",
        "values": "differ",
    }
    stages = iter([Refusal.STAGES[first], Refusal.STAGES[second]])

    def double(x):
        stage = next(stages)
        answer = answers[stage]
        if stage == "changed":
            x[0] = 0
        if isinstance(answer, Exception):
            raise answer
        return answer

    verdict = verdict_on(double, ORDINARY, ORDINARY)
    assert not verdict.right
    basic = min(first, second)
    if Refusal.STAGES[basic] == "finite":  # a wrong value too: of those, the first probe speaks
        basic = first
    assert words[Refusal.STAGES[basic]] in verdict.headline


def test_what_can_be_said_of_one_answer_goes_before_another_that_cannot_be_read():
    cases = [
        Case("unread", (X,), complaint=lambda answer: answer["x"]),
        Case("read", (X,), complaint=lambda answer: "x is an array. What should it be?"),
    ]
    assert verdict_on(lambda x: x, *cases).headline == "x is an array. What should it be?"
    assert "cannot be read" in verdict_on(lambda x: x, cases[0]).headline


# --- complaints, calls and parts ---


def test_complaint():
    case = Case("keys", complaint=lambda answer: "odd. Why?" if answer % 2 else None)
    assert verdict_on(lambda: 4, case).right
    assert headline(lambda: 3, case) == "odd. Why?"


def test_complaint_may_refuse_at_another_stage():
    def complaint(answer):
        raise Refusal("type", "no list. Return an array.")

    cases = Case("keys", complaint=complaint), Case("values", expected=np.float64(2))
    assert headline(lambda: 3.0, *cases) == "no list. Return an array."


def test_one_of_several_choices_is_asked_for():
    def choices(x):
        return {"double": 2 * x, "square": x**2}

    case = Case("chosen", (X,), choices=choices)
    assert verdict_on(lambda x: 2 * x, case).right
    assert verdict_on(lambda x: x**2, case).right
    assert headline(lambda x: np.where(x < 5, x**2, 7.0), case) == (
        "other values than those of any choice on “chosen”, first at [1, 1]: yours 7, the double "
        "10, the square 25. Which of them have you chosen?"
    )
    assert headline(lambda x: np.where(x < 5, x**2, 2 * x), case).startswith("other values than")
    assert headline(lambda x: np.ones(2), case).startswith("wrong shape")


def test_call_and_part():
    case = Case("second", (X,), 2 * X, call=lambda piece, x: piece(x=x), part=lambda pair: pair[1])
    assert verdict_on(lambda x: (x, 2 * x), case).right
    assert "differ" in headline(lambda x: (2 * x, x), case)


def test_a_piece_without_cases_is_never_right():
    with pytest.raises(IndexError):
        judge(Piece("double", "model", 1), double, [])


# --- called more than once ---


def test_right_on_the_first_call_only():
    calls = []

    def double(x):
        calls.append(x)
        return 2 * x + (len(calls) > 2)

    text = headline(double)
    assert text.startswith(
        "right at first, but not when asked the same again: 6 of 6 values differ on “ordinary”"
    )
    assert text.endswith("What does it keep from one call to the next?")


def test_right_on_the_first_call_only_with_one_case():
    def double(x, seen=[]):  # noqa: B006
        seen.append(x)
        return sum(seen) * 2

    assert headline(double, ORDINARY).startswith("right at first")


# --- endless, swallowing, interrupted ---


@pytest.fixture
def short_limit(monkeypatch):
    monkeypatch.setattr(checks, "TIME_LIMIT", 0.3)
    monkeypatch.setattr(clocks, "PATIENCE", 100)  # other tests keep the cores busy


def test_endless_loop(short_limit):
    calls = []
    double = written_in_a_cell(
        "def double(x):\n    calls.append(x)\n    while True:\n        pass", calls=calls
    )
    start = time.monotonic()
    verdict = verdict_on(double)
    assert time.monotonic() - start < 15
    assert verdict.headline == (
        "still running after 0.3 seconds on “ordinary”, and stopped. "
        "Is there a loop that never ends?"
    )
    assert "line 3 of double:" in verdict.details
    assert len(calls) == 1  # the other probes are not waited for


def test_endless_loop_that_swallows_the_interruption(short_limit):
    swallowed = []

    def double(x):
        while len(swallowed) < 2:
            try:
                while True:
                    pass
            except KeyboardInterrupt:
                swallowed.append(1)
        return 2 * x

    assert headline(double).startswith("still running after 0.3 seconds")
    assert len(swallowed) == 2


def test_endless_loop_that_turns_the_interruption_into_something_else(short_limit):
    def double(x):
        try:
            while True:
                pass
        except KeyboardInterrupt:
            raise ValueError from None

    assert headline(double).startswith("still running after 0.3 seconds")


def test_the_users_own_interruption_passes_through():
    def double(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verdict_on(double)


@pytest.mark.skipif(sys.platform == "win32", reason="no signals to a process there")
def test_the_stop_button_stops_a_piece():
    def double(x):
        signal.raise_signal(signal.SIGINT)
        while True:
            pass

    with pytest.raises(KeyboardInterrupt):
        verdict_on(double)


def test_time_that_others_take_does_not_count():
    with time_limit(0.2):
        time.sleep(0.4)  # as on a busy machine


def test_waiting_has_an_end_too():
    with pytest.raises(TookTooLong, match=r"stopped after 0\.4 seconds"), time_limit(0.1):
        threading.Event().wait(10)


def test_time_limit_works_where_interruptions_are_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in the background of a script
    try:
        with pytest.raises(TookTooLong), time_limit(0.1):
            while True:
                pass
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def spin(seconds):
    start = time.process_time()
    while time.process_time() < start + seconds:
        time.sleep(0)  # lets other threads run


def test_time_limit_leaves_no_interruption_behind():
    stopped = 0
    for microseconds in range(500, 1500, 5):  # so that time often runs out on the way in or out
        try:
            with time_limit(microseconds / 1e6):
                spin(0.001)
        except (TookTooLong, KeyboardInterrupt):
            stopped += 1
    time.sleep(0.6)  # longer than it takes to interrupt a second time
    assert 0 < stopped
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interruption_of_ours_that_comes_too_late_is_dropped():
    with pytest.raises(TookTooLong), time_limit(0.05):
        interrupted = signal.getsignal(signal.SIGINT)
        while True:
            pass
    interrupted(signal.SIGINT, None)
    with time_limit(5):
        interrupted = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):  # the user's own is not
        interrupted(signal.SIGINT, None)


def test_another_thread_is_judged_without_a_limit(short_limit):
    verdicts = []
    thread = threading.Thread(target=lambda: verdicts.append(verdict_on(double)))
    thread.start()
    thread.join()
    assert verdicts[0].right


def test_time_limit_lets_exceptions_pass():
    with pytest.raises(ZeroDivisionError), time_limit(5):
        1 / 0  # noqa: B018


# --- what a piece prints ---


def test_megabytes_of_output(capsys):
    def double(x):
        for _ in range(20):
            print("x" * 1_000_000)
        return 2 * x

    start = time.monotonic()
    assert verdict_on(double).right
    assert time.monotonic() - start < 15
    printed = capsys.readouterr().out
    assert len(printed) < checks.PRINTED + 100
    assert printed.endswith("\n… the rest of what it prints is left out.\n")


def test_little_output_is_shown(capsys):
    verdict_on(lambda x: print("here", flush=True) or 2 * x, ORDINARY)
    assert capsys.readouterr().out == "here\nhere\n"


# --- JAX ---


def test_jax_computes_in_float64():
    import jax.numpy as jnp

    verdict = verdict_on(lambda x: jnp.add(x, x))
    assert verdict.right
    assert jnp.ones(1).dtype == np.float32  # outside, all is as before


def test_jax_first_imported_by_the_piece():
    code = """
        import sys
        from reimpl_helpers.checks.cases import Case, Piece
        from reimpl_helpers.checks.verdict import judge
        import numpy as np
        def double(x):
            import jax.numpy as jnp
            return jnp.sin(x)
        case = Case("ordinary", (np.ones(3),), np.sin(np.ones(3)))
        assert "jax" not in sys.modules
        print(judge(Piece("double", "model", 1), double, [case]))
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True
    )
    assert result.stdout.startswith("double · right on every probe"), result.stderr


# --- how a verdict shows ---


def test_verdict_as_html_and_text():
    verdict = Verdict("a<b", WRONG, "x < y?", "line 1\nline 2 <i>", "")
    assert repr(verdict) == "a<b · x < y?\n    line 1\n    line 2 <i>"
    shown = verdict._repr_html_()
    assert "✗ a&lt;b</b> · x &lt; y?" in shown
    assert "<summary>details</summary><pre>line 1\nline 2 &lt;i&gt;</pre>" in shown
    assert "another way" not in shown
    right = Verdict("a", RIGHT, "right.", another_way="def a(): ...")
    assert "✓ a" in right._repr_html_()
    assert "<summary>another way to write it</summary>" in right._repr_html_()
    assert "○ a" in Verdict("a", NOT_WRITTEN)._repr_html_()
    assert (
        str(Verdict("a", NOT_WRITTEN)) == repr(Verdict("a", NOT_WRITTEN)) == "a · not written yet"
    )


def test_label_tells_a_port_from_its_first_version():
    assert Piece("double", "model", 5, port=True).label == "double in JAX"
    assert Piece("double", "model", 1).label == "double"
