"""The pair's tests: judged by what they refuse, run by real pytest, and leaving nothing behind."""

import os
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest

from reimpl_helpers import testing
from reimpl_helpers.checks import NOT_WRITTEN, RIGHT, WRONG, Piece
from reimpl_helpers.mistakes import Bug
from reimpl_helpers.testing import in_one_session, judge_test, run_tests

# An interruption may land in a weakref's callback: Python reports it, drops it, and it comes again.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

MODEL = '''"""Doubles."""


def double(x):
    """Double a number, twice two is four."""
    return 2 * x


def quadruple(x):
    return double(double(x))
'''
SOLUTION = {"model": MODEL.replace("2 * x", "x + x")}
BUGS = [
    Bug("double", name, "x + x", edit, why="?", question="?", hint="?")
    for name, edit in {"not doubled": "x", "sign lost": "abs(x + x)"}.items()
]
HEADER = "import pytest\nfrom model import double, quadruple\n\n\n"
PIECE = Piece("test_double", "test_model", 4, catches=tuple(bug.name for bug in BUGS))


def planted(right):
    return {bug: {"model": bug.plant(right["model"])} for bug in BUGS}


def judged(source, folder=Path("work/small"), right=SOLUTION, model=MODEL, in_numpy=False):
    texts = {"model": model, "test_model": HEADER + textwrap.dedent(source)}
    return judge_test(PIECE, texts, folder, right, planted(right), in_numpy)


def run(source, folder=Path("work/small"), model=MODEL, **options):
    text = HEADER + textwrap.dedent(source)
    return run_tests(text, folder, {"model": model}, **options)


@pytest.fixture
def short_limit(monkeypatch):
    monkeypatch.setattr(testing, "TIME_LIMIT", 0.3)


# --- verdicts ---


def test_right():
    verdict = judged("def test_double():\n    assert double(-3) == -6")
    assert verdict.state == RIGHT
    assert str(verdict) == ("test_double · passes on your model, refuses 2 of 2 wrong models.")
    assert verdict.details == "refused: not doubled; sign lost"


def test_one_refused_model_is_enough():
    verdict = judged("def test_double():\n    assert double(3) == 6")
    assert verdict.headline == "passes on your model, refuses 1 of 2 wrong models."
    assert verdict.details == "refused: not doubled\nnot seen: sign lost"


def test_not_written():
    verdict = judged("def test_double():\n    raise NotImplementedError")
    assert (verdict.state, str(verdict)) == (NOT_WRITTEN, "test_double · not written yet")


@pytest.mark.parametrize(
    "body",
    [
        "assert True",
        "assert double(3) == double(3)",
        "assert (double(3) == 7, 'a tuple')",
        "double(3) == 6",
        "pass",
        "try:\n        assert double(3) == 7\n    except AssertionError:\n        pass",
        "for x in []:\n        assert double(x) == 2 * x",
    ],
)
def test_that_cannot_fail(body):
    verdict = judged(f"def test_double():\n    {body}")
    assert verdict.state == WRONG
    assert verdict.headline == (
        "passes on your model, and also on one that answers nonsense throughout. "
        "What would have to go wrong for an assert of yours to fail?"
    )


def test_that_sees_none_of_its_mistakes():
    verdict = judged("def test_double():\n    assert double(0) == 0")
    assert verdict.state == WRONG
    assert verdict.headline == (
        "passes on your model, and also on 2 wrong models that it should refuse. "
        "What do they do that yours does not?"
    )
    assert verdict.details == "wrong models it passed on: not doubled; sign lost"


def test_that_fails_on_the_pairs_own_model():
    verdict = judged("def test_double():\n    x = 3\n    assert double(x) == 7, 'seven'")
    assert verdict.state == WRONG
    assert verdict.headline == (
        "fails on your own model: AssertionError: seven. Is the test wrong, or the model?"
    )
    assert "test_model.py:7: in test_double\n    assert double(x) == 7, 'seven'" in verdict.details
    assert "assert 6 == 7\nE    +  where 6 = double(3)" in verdict.details


def test_that_finds_the_pairs_own_model_wrong():
    wrong = MODEL.replace("2 * x", "2 * x if x.is_integer() else x[0]")
    verdict = judged("def test_double():\n    assert double(1.5) == 3", model=wrong)
    assert verdict.headline.startswith("fails on your own model: TypeError: 'float' object is not")
    assert "model.py:6: in double\n    return 2 * x if x.is_integer() else x[0]" in verdict.details


def test_that_asks_for_more_than_the_original_promises():
    verdict = judged(
        "def test_double():\n    assert double([1]) == [1, 1] and double.__doc__[7] == 'a'"
    )
    other = {"model": SOLUTION["model"].replace("Double a", "Two times")}
    assert verdict.right
    verdict = judged(
        "def test_double():\n    assert double(1) == 2 and double.__doc__[7] == 'a'", right=other
    )
    assert verdict.state == WRONG
    assert verdict.headline.startswith(
        "passes on your model, but fails on another that is right: AssertionError: assert ("
    )
    assert verdict.headline.endswith("What does it ask for that the original does not promise?")


def test_a_helper_of_the_pairs_own_is_there_in_wrong_models_too():
    model = f"{MODEL}\n\ndef six():\n    return 6\n"
    start = "from model import six\ndef test_double():\n    "
    assert judged(f"{start}assert double(3) == six()", model=model).right
    assert judged(f"{start}assert six() == 6", model=model).state == WRONG


def test_a_mistake_reaches_the_pieces_that_use_the_wrong_one():
    assert judged("def test_double():\n    assert quadruple(-2) == -8").right
    by_itself = MODEL.replace("double(double(x))", "4 * x")
    assert judged("def test_double():\n    assert quadruple(-2) == -8", model=by_itself).right


def test_only_the_test_in_question_counts():
    verdict = judged(
        """
        def test_data():
            return 3

        def test_double():
            assert double(test_data()) == 6

        def test_double_too():
            assert False
        """
    )
    assert verdict.right


FORMS = {
    "parametrized": """
        @pytest.mark.parametrize("x, y", [(1, 2), (-1, -2)], ids=["one", "minus one"])
        def test_double(x, y):
            assert double(x) == y
    """,
    "tmp_path": """
        def test_double(tmp_path):
            (tmp_path / "x").write_text("-3")
            assert double(float((tmp_path / "x").read_text())) == -6
    """,
    "capsys, monkeypatch": """
        def test_double(capsys, monkeypatch):
            monkeypatch.setenv("X", "1")
            print(double(-3))
            assert capsys.readouterr().out == "-6\\n"
    """,
    "own fixture": """
        @pytest.fixture
        def x():
            yield -3

        def test_double(x):
            assert double(x) == -6
    """,
    "raises": """
        def test_double():
            assert double(-3) == -6
            with pytest.raises(TypeError):
                double(None)
    """,
    "warns": """
        def test_double():
            import warnings
            warnings.warn("about nothing")
            assert double(-3) == -6
    """,
    "prints": """
        def test_double():
            print("x" * 3_000_000)
            assert double(-3) == -6
    """,
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_tests(form):
    verdict = judged(FORMS[form])
    assert verdict.headline == "passes on your model, refuses 2 of 2 wrong models.", repr(verdict)


@pytest.mark.parametrize(
    "source, words",
    [
        ("@pytest.mark.skip\ndef test_double():\n    assert double(1) == 2", "was skipped"),
        ("def test_double():\n    pytest.skip('later')", "was skipped"),
        ("@pytest.mark.xfail\ndef test_double():\n    assert double(1) == 3", "was skipped"),
        (
            "@pytest.mark.parametrize('x', [1, pytest.param(2, marks=pytest.mark.skip)])\n"
            "def test_double(x):\n    assert double(x) == 2 * x",
            "was skipped",
        ),
        ("@pytest.mark.parametrize('x', [])\ndef test_double(x):\n    assert x", "was skipped"),
        ("def tset_double():\n    assert double(1) == 2", "pytest found no test to run"),
        ("def test_double():\n    pytest.exit('enough')", "ends Python, or pytest, altogether."),
        ("import nothing\ndef test_double():\n    pass", "No module named 'nothing'."),
        ("from model import half\ndef test_double():\n    pass", "cannot import name 'half'"),
        ("def test_double():\n    return", "answers nonsense throughout"),
        ("1 / 0\ndef test_double():\n    pass", "ZeroDivisionError: division by zero. Mend that"),
        ("raise SystemExit(3)\ndef test_double():\n    pass", "line: SystemExit: 3. Mend that"),
        ("def test_double(:\n    pass", "first line: SyntaxError: invalid syntax"),
        ("def test_double(nothing):\n    pass", "fails on your own model"),
        ("import sys\ndef test_double():\n    sys.exit(3)", "ends Python, or pytest, altogether."),
        ("def test_double():\n    double(None)", "fails on your own model: TypeError: unsupported"),
        (
            "@pytest.fixture\ndef x():\n    1 / 0\ndef test_double(x):\n    pass",
            "fails on your own model: ZeroDivisionError: division by zero. Is the test",
        ),
        (
            "@pytest.fixture\ndef x():\n    yield\n    1 / 0\n"
            "def test_double(x):\n    assert double(1) == 2",
            "fails on your own model: ZeroDivisionError",
        ),
    ],
)  # fmt: skip
def test_that_does_not_pass(source, words):
    verdict = judged(source)
    assert verdict.state == WRONG
    assert words in verdict.headline, repr(verdict)
    assert verdict.headline.endswith((".", "?"))
    assert "INTERNALERROR" not in verdict.details


def test_megabytes_of_output_leave_a_short_report():
    start = time.monotonic()
    verdict = judged("def test_double():\n    print('xy ' * 3_000_000)\n    assert double(1) == 3")
    assert time.monotonic() - start < 5
    assert verdict.headline.startswith("fails on your own model: AssertionError: assert 2 == 3.")
    assert len(verdict.details) < testing.REPORT + 100
    assert "characters left out …" in verdict.details
    assert "assert double(1) == 3" in verdict.details
    assert verdict.details.endswith("1 failed")


# --- endless and interrupted ---


@pytest.mark.parametrize(
    "source",
    [
        "def test_double():\n    while True:\n        pass",
        "@pytest.fixture\ndef x():\n    while True:\n        pass\ndef test_double(x):\n    pass",
    ],
)
def test_endless(short_limit, source):
    start = time.monotonic()
    verdict = judged(source)
    assert time.monotonic() - start < 3
    assert str(verdict) == (
        "test_double · still running after 0.3 seconds, and stopped. "
        "Is there a loop that never ends?"
    )
    assert "while True:" in verdict.details or "pass" in verdict.details


def test_endless_import(short_limit):
    verdict = judged("while True:\n    pass\n\ndef test_double():\n    pass")
    assert verdict.headline == (
        "does not come as far as its first line: TookTooLong: stopped after 0.3 seconds. "
        "Mend that first."
    )


def test_a_test_that_fails_without_words_is_quoted():
    verdict = judged(
        "def test_double():\n    ok = double(1) == 3\n    if not ok:\n        raise ValueError"
    )
    assert "ValueError in the line `raise ValueError`." in verdict.headline


@pytest.mark.parametrize(
    "allowed, words", [("1e-12", "passes on your model, but not in float32"), ("1e-5", "passes on")]
)
def test_a_test_must_pass_in_float32_too(allowed, words):
    source = """
        def test_double():
            x = np.linspace(0.1, 1, 7)
            assert np.abs(double(x) - 2 * x).max() < {}
    """
    verdict = judged(
        "import numpy as np\n" + textwrap.dedent(source.format(allowed)), in_numpy=True
    )
    assert verdict.headline.startswith(words) and verdict.right == (allowed == "1e-5")


def test_a_test_that_only_ever_hangs_on_a_wrong_model_refuses_nothing(short_limit):
    verdict = judged("def test_double():\n    x = 1\n    while x < 9:\n        x = double(x)")
    assert verdict.headline.startswith("passes on your model, and also on one that answers nonsen")


def test_an_endless_test_does_not_keep_the_next_from_running(short_limit):
    result = run(
        """
        def test_a():
            while True:
                pass

        def test_b():
            assert double(1) == 2
        """
    )
    assert result.outcomes == {"test_a": "stopped", "test_b": "passed"}
    assert not result.passed


def test_the_users_own_interruption_passes_through():
    with pytest.raises(KeyboardInterrupt):
        run("def test_double():\n    raise KeyboardInterrupt")


# --- runs ---


def test_run_of_several():
    result = run(
        """
        def test_right():
            assert double(1) == 2

        @pytest.mark.parametrize("x", [1, 2])
        def test_wrong(x):
            assert double(x) == 2

        def test_later():
            raise NotImplementedError
        """
    )
    assert result.outcomes == {
        "test_right": "passed",
        "test_wrong[1]": "passed",
        "test_wrong[2]": "failed",
        "test_later": "not written",
    }
    assert result.failures["test_wrong[2]"] == "AssertionError: assert 4 == 2."
    assert not result.passed
    assert repr(result) == result.report
    assert result.report.endswith("2 failed, 2 passed")


def test_passed():
    assert run("def test_a():\n    assert double(1) == 2").passed
    assert not run("").passed
    assert not run("def test_a():\n    pytest.skip()").passed
    assert not run("def test_a():\n    pass\n\ndef test_b():\n    assert 0", only="test_b").passed


def test_run_of_a_module_that_does_not_import():
    result = run("from model import half\n\ndef test_a():\n    pass")
    assert not result.passed and not result.outcomes
    assert result.failures["import"].startswith("ImportError: cannot import name 'half'")
    assert "cannot import name 'half'" in result.report


def test_report_is_the_same_each_time_and_names_no_folder(tmp_path):
    (tmp_path / "model.py").write_text(MODEL)
    source = "def test_a():\n    double(None)\n\ndef test_b():\n    pass"
    reports = {run(source, folder).report for folder in (tmp_path, tmp_path, Path("work/small"))}
    (report,) = reports
    assert "model.py:6: in double\n    return 2 * x" in report
    assert "test_model.py:6: in test_a" in report
    assert "tmp" not in report and " #" not in report and " in 0." not in report


def test_run_uses_the_files_of_the_folder_and_does_not_touch_them(tmp_path):
    (tmp_path / "model.py").write_text(MODEL.replace("2 * x", "7"))
    (tmp_path / "test_model.py").write_text("def test_a():\n    assert False\n")
    (tmp_path / "conftest.py").write_text("raise ValueError\n")
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}
    text = "from pathlib import Path\nfrom model import double\n\ndef test_a():\n    "
    assert run_tests(
        f"{text}assert double(1) == 7 and Path('model.py').exists()", tmp_path, {}
    ).passed
    wrong = {
        "model": MODEL,
        "test_model": f"{HEADER}def test_double():\n    assert double(-1) == -2",
    }
    assert judge_test(PIECE, wrong, tmp_path, SOLUTION, planted(SOLUTION)).right
    after = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}
    assert after == before


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    import jax

    (folder := tmp_path / "small").mkdir()
    (tmp_path / "conftest.py").write_text("raise ValueError\n")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTEST_ADDOPTS", "--nonsense")
    monkeypatch.setitem(sys.modules, "model", "ours")
    for name in ("other_model", "test_model"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    before = dict(os.environ), list(sys.path), list(sys.meta_path), os.getcwd(), set(sys.modules)
    verdict = judged(
        """
        import jax, os, sys, tempfile

        def test_double():
            os.environ["LEFT"] = "behind"
            os.environ.pop("PATH")
            sys.path.insert(0, "left behind")
            os.chdir(tempfile.gettempdir())
            jax.config.update("jax_enable_x64", True)
            assert double(-1) == -2
        """,
        folder,
    )
    assert verdict.right, repr(verdict)
    after = dict(os.environ), list(sys.path), list(sys.meta_path), os.getcwd(), set(sys.modules)
    assert after[:4] == before[:4]
    assert {name for name in after[4] - before[4] if "_pytest" not in name} == set()
    assert sys.modules["model"] == "ours"
    assert jax.config.jax_enable_x64 is False


KEEPING = {
    "list": "SEEN = []\n\n\ndef count():\n    SEEN.append(1)\n    return len(SEEN)\n",
    "default": "def count(seen=[]):\n    seen.append(1)\n    return len(seen)\n",
    "global": "N = 0\n\n\ndef count():\n    global N\n    N += 1\n    return N\n",
    "attribute": "def count():\n    count.n = getattr(count, 'n', 0) + 1\n    return count.n\n",
    "another module's": "from shapes import SEEN\n\n\n"
    "def count():\n    SEEN.append(1)\n    return len(SEEN)\n",
    "a helper's": "import helper\n\n\n"
    "def count():\n    helper.SEEN.append(1)\n    return len(helper.SEEN)\n",
}


def runs(texts, folder, times=3):
    """Run the tests of a package several times in one session; return how each run ended."""

    def work(suite):
        return [suite.run(texts, ["test_it"]).outcomes for _ in range(times)]

    return in_one_session(texts["test_model"], folder, work)


@pytest.mark.parametrize("model", KEEPING.values(), ids=KEEPING)
def test_no_run_of_a_suite_finds_what_an_earlier_one_left(model, tmp_path):
    (tmp_path / "helper.py").write_text("SEEN = []\n")
    test_model = "from model import count\n\n\ndef test_it():\n    assert count() == 1\n"
    texts = {"model": model, "shapes": "SEEN = []\n", "test_model": test_model}
    assert runs(texts, tmp_path) == 3 * [{"test_it": "passed"}]


def test_what_a_test_puts_into_a_module_is_gone_in_the_next_run(tmp_path):
    test_model = "import model\n\n\ndef test_it():\n    assert model.N == 1\n    model.N = 2\n"
    assert runs({"model": "N = 1\n", "test_model": test_model}, tmp_path) == (
        3 * [{"test_it": "passed"}]
    )


def test_jax_compiles_once_what_no_mistake_is_in(tmp_path):
    traced = tmp_path / "traced"
    model = f"""def double(x):
    with open({str(traced)!r}, "a") as file:
        file.write("x")
    return 2 * x
"""
    test_model = "import jax\nfrom model import double\n\n\ndef test_it():\n"
    test_model += "    assert jax.jit(double)(2.0) == 4\n"
    assert runs({"model": model, "test_model": test_model}, tmp_path) == (
        3 * [{"test_it": "passed"}]
    )
    assert traced.read_text() == "x"


def test_a_run_prints_nothing_of_its_own(capsys):
    for only in ("", "test_a", "test_none"):
        run("def test_a():\n    print('here')\n    assert double(1) == 3", only=only)
    assert capsys.readouterr() == ("", "")


def test_jax_counts_as_in_a_process_of_its_own():
    import jax

    source = """
        import jax.numpy as jnp

        def test_a():
            assert double(jnp.ones(1)).dtype == jnp.float32
    """
    jax.config.update("jax_enable_x64", True)
    try:
        assert run(source).passed
        assert jax.config.jax_enable_x64
    finally:
        jax.config.update("jax_enable_x64", False)


def test_a_run_outside_of_pytest():
    code = f"""
        from pathlib import Path
        from reimpl_helpers.testing import run_tests
        source = "from model import double\\n\\ndef test_a():\\n    assert double(1) == 3"
        print(run_tests(source, Path("work/small"), {{"model": {MODEL!r}}}).failures)
    """
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)], capture_output=True, text=True
    )
    assert result.stdout == "{'test_a': 'AssertionError: assert 2 == 3.'}\n", result.stderr
