"""The pair's tests: run by real pytest, and leaving nothing behind."""

import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from reimpl_helpers.scoring import testing
from reimpl_helpers.scoring.testing import in_one_session, run_tests

# An interruption may land in a weakref's callback: Python reports it, drops it, and it comes again.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

MODEL = '''"""Doubles."""


def double(x):
    """Double a number, twice two is four."""
    return 2 * x


def quadruple(x):
    return double(double(x))
'''
HEADER = "import pytest\nfrom model import double, quadruple\n\n\n"


def run(source, folder=Path("work/small"), model=MODEL, **options):
    text = HEADER + textwrap.dedent(source)
    return run_tests(text, folder, {"model": model}, **options)


@pytest.fixture
def short_limit(monkeypatch):
    monkeypatch.setattr(testing, "TIME_LIMIT", 0.3)


# --- endless and interrupted ---


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
        from reimpl_helpers.scoring.testing import run_tests
        source = "from model import double\\n\\ndef test_a():\\n    assert double(1) == 3"
        print(run_tests(source, Path("work/small"), {{"model": {MODEL!r}}}).failures)
    """
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)], capture_output=True, text=True
    )
    assert result.stdout == "{'test_a': 'AssertionError: assert 2 == 3.'}\n", result.stderr


def test_run_uses_the_files_of_the_folder_and_does_not_touch_them(tmp_path):
    (tmp_path / "model.py").write_text(MODEL.replace("2 * x", "7"))
    (tmp_path / "test_model.py").write_text("def test_a():\n    assert False\n")
    (tmp_path / "conftest.py").write_text("raise ValueError\n")
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}
    text = "from pathlib import Path\nfrom model import double\n\ndef test_a():\n    "
    assert run_tests(
        f"{text}assert double(1) == 7 and Path('model.py').exists()", tmp_path, {}
    ).passed
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
    result = run(
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
    assert result.passed, repr(result)
    after = dict(os.environ), list(sys.path), list(sys.meta_path), os.getcwd(), set(sys.modules)
    assert after[:4] == before[:4]
    assert {name for name in after[4] - before[4] if "_pytest" not in name} == set()
    assert sys.modules["model"] == "ours"
    assert jax.config.jax_enable_x64 is False
