"""The pair's tests: judged by what they refuse, in processes that cannot tell what they judge."""

import multiprocessing
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from reimpl_helpers.checks.cases import Piece
from reimpl_helpers.checks.verdict import NOT_WRITTEN, RIGHT, WRONG
from reimpl_helpers.scoring import blind, testing
from reimpl_helpers.scoring.blind import judge_test
from reimpl_helpers.texts.planted_bugs import Bug

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


@pytest.fixture
def short_limit(monkeypatch):
    for module in (blind, testing):
        monkeypatch.setattr(module, "TIME_LIMIT", 0.8)


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
    assert judged("twice = double\ndef test_double():\n    assert twice(3) == 6").right
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
        ("def test_double(:\n    pass", "has a syntax error on line 5: invalid syntax"),
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
    assert time.monotonic() - start < 15
    assert verdict.headline.startswith("fails on your own model: AssertionError: assert 2 == 3.")
    assert len(verdict.details) < testing.REPORT + 100
    assert "characters left out …" in verdict.details
    assert "assert double(1) == 3" in verdict.details
    assert verdict.details.endswith("1 failed")


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
    assert time.monotonic() - start < 15
    assert str(verdict) == (
        "test_double · still running after 0.8 seconds, and stopped. "
        "Is there a loop that never ends?"
    )
    assert "while True:" in verdict.details or "pass" in verdict.details


def test_endless_import(short_limit):
    verdict = judged("while True:\n    pass\n\ndef test_double():\n    pass")
    assert verdict.headline == (
        "does not come as far as its first line: TookTooLong: stopped after 0.8 seconds. "
        "Mend that first."
    )


def test_a_test_that_fails_without_words_is_quoted():
    verdict = judged(
        "def test_double():\n    ok = double(1) == 3\n    if not ok:\n        raise ValueError"
    )
    assert "ValueError in the line `raise ValueError`." in verdict.headline


def test_what_numpy_says_on_its_second_line_is_quoted():
    verdict = judged(
        "import numpy as np\ndef test_double():\n    np.testing.assert_allclose(double(1), 3)"
    )
    words = "fails on your own model: AssertionError: Not equal to tolerance rtol=1e-07, atol=0. Is"
    assert verdict.headline.startswith(words)


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


# --- processes ---

# What a test may try to find out about its own run.
CHEATS = {
    "counts its runs in a file": """
        def test_double():
            assert double and not counter.exists()
            counter.write_text("1")
    """,
    "keeps the first answer": """
        def test_double():
            import tempfile
            for folder in (Path(), Path(tempfile.gettempdir()), Path(__file__).parent):
                kept = folder / "kept"
                if not kept.exists():
                    kept.write_text(str(double(-1)))
                assert kept.read_text() == str(double(-1))
    """,
    "counts its runs in a module": """
        def test_double():
            sys.runs = getattr(sys, "runs", 0) + 1
            assert double and sys.runs == 1
    """,
    "looks for what is wrong in the frames and modules": """
        def test_double():
            frame, known = sys._getframe(1), [*sys.modules]
            while frame:
                known.append(repr(frame.f_locals))
                frame = frame.f_back
            assert double and not any(bug in text for bug in BUGS for text in known)
    """,
    "knows the text of the model": """
        def test_double():
            import inspect
            assert "x + x  # twice" in inspect.getsource(double)
    """,
    "says of itself that it fails": """
        def test_double():
            from reimpl_helpers.scoring import blind
            from reimpl_helpers.scoring import testing
            testing.TestRun.refusing = property(lambda run: "test_double")
            testing.PASSED = blind.RIGHT = "anything"
            assert double
    """,
    "ends Python": """
        def test_double():
            if not counter.exists():
                counter.write_text("1")
            else:
                os._exit(0)
            assert double
    """,
}


@pytest.mark.parametrize("way", CHEATS)
def test_a_test_that_looks_at_its_own_run_is_refused(way, tmp_path):
    head = f"""
        import os, sys
        from pathlib import Path
        BUGS = "not doubled", "sign lost"
        counter = Path({str(tmp_path / "counter")!r})
    """
    model = MODEL.replace("2 * x", "x + x  # twice")
    source = textwrap.dedent(head) + textwrap.dedent(CHEATS[way])
    verdict = judged(source, model=model, right={"model": model})
    assert verdict.state == WRONG, repr(verdict)


def test_right_models_never_come_all_first():
    for _ in range(100):
        order = blind.drawn_order(dict.fromkeys("abcd"), {"a", "b"})
        assert sorted(order) == [*"abcd"] and {order.pop(), order.pop()} != {"a", "b"}
    assert len(blind.drawn_order({"a": {}, "b": {}}, {"a", "b"})) == 2


def test_what_fails_once_and_then_passes_is_called_so():
    texts = {"model": MODEL, "test_model": f"{HEADER}def test_double():\n    assert double"}
    models = {name: texts for name in (blind.OURS, blind.OTHER)}
    for failed in models:
        verdict = blind.failed_on(failed, PIECE, models, Path("work/small"))
        assert verdict.state == WRONG
        assert verdict.headline == (
            "passes on your model once, and fails on it another time. What differs between two "
            "runs: a file, the time, chance?"
        )


@pytest.mark.parametrize("said", [b"", b"{}", b"[]", b'{"outcomes": 3}', b"[" * 9_000, b"\xff"])
def test_a_reply_that_is_none_is_the_end_of_a_process(said):
    trial = blind.Trial({"model": MODEL, "test_model": ""}, Path("work/small"), "test_double")
    trial.reply.close()
    trial.reply, theirs = multiprocessing.Pipe(duplex=False)
    theirs.send_bytes(said)
    assert trial.result().outcomes == {"test_double": "exited"}


def test_the_order_is_drawn_anew_each_time():
    models = {str(number): {"model": MODEL, "test_model": ""} for number in range(6)}
    orders = {
        tuple(name for name, _ in blind.in_any_order(models, set(), Path("work/small"), "test_a"))
        for _ in range(4)
    }
    assert len(orders) > 1 and {tuple(sorted(order)) for order in orders} == {tuple(models)}


def test_nothing_that_a_test_starts_is_left(tmp_path):
    child = tmp_path / "child"
    verdict = judged(
        f"""
        import subprocess
        from pathlib import Path

        def test_double():
            process = subprocess.Popen(["sleep", "60"])
            with Path({str(child)!r}).open("a") as file:
                print(process.pid, file=file)
            assert double(-3) == -6
        """
    )
    assert verdict.right
    pids = child.read_text().split()
    assert len(pids) == 4 and have_ended(pids)


def have_ended(pids):
    """Wait until none of these processes runs any more, ten seconds at most."""
    until = time.monotonic() + 10
    while any(map(is_running, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(map(is_running, pids))


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_test_ends_with_the_process_that_asked_for_it(tmp_path):
    source = f"""
        import os, time
        from pathlib import Path

        def test_double():
            Path({str(tmp_path)!r}, str(os.getpid())).touch()
            time.sleep(60)
    """
    texts = {"model": MODEL, "test_model": HEADER + textwrap.dedent(source)}
    code = f"""
        from pathlib import Path
        from reimpl_helpers.scoring.blind import Trial
        Trial({texts!r}, Path("work/small"), "test_double").result()
    """
    asking = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
    until = time.monotonic() + 30
    while not (pids := os.listdir(tmp_path)) and time.monotonic() < until:
        time.sleep(0.05)
    asking.kill()
    asking.wait()
    assert len(pids) == 1 and have_ended(pids)
