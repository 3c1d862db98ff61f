"""The score of a pair's own tests: what counts, what is named, and that nothing is ever touched."""

import textwrap
import time

import pytest
from cells import Notebook

from reimpl_helpers import pictures
from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.cli import main
from reimpl_helpers.judge import client as judge
from reimpl_helpers.pair.log import Log
from reimpl_helpers.pair.store import Store
from reimpl_helpers.scoring import score, testing
from reimpl_helpers.scoring.score import MUTATION, OWN, PLANTED
from reimpl_helpers.texts import package
from reimpl_helpers.tracks.track import Track
from reimpl_helpers.workbook import Workbook

# An interruption may land in a weakref's callback: Python reports it, drops it, and it comes again.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

IMPORTS = "import numpy as np\nfrom model import autoencoder, decoder, encoder, nn_layer\n"
IMPORTS += "from params import make_autoencoder_params\n\n"
SHAPES = """
def test_shapes():
    params = make_autoencoder_params(key=1, pixels=6, hidden=5, code=2)
    assert autoencoder(params, np.ones((3, 6))).shape == (3, 6)
"""


class Pair:
    """A pair with the right pieces of steps 1 to 3 saved, and tests of its own."""

    def __init__(self, folder):
        self.track = Track("autoencoder", 4)
        self.store = Store(self.track, folder)
        self.workbook = Workbook(self.store)
        texts = self.track.given_texts(in_jax=False)
        texts = {name: texts[name] for name in ("shapes", "model", "params")}
        package.write_texts(folder, texts, {})

    def tests(self, source, imports=IMPORTS):
        """Write the tests, and score them."""
        path = self.store.folder / "test_model.py"
        path.write_text(imports + textwrap.dedent(source), encoding="utf-8")
        return self.workbook.score()


@pytest.fixture
def pair(tmp_path):
    return Pair(tmp_path / "autoencoder")


@pytest.fixture
def short_limit(monkeypatch):
    for module in (testing, score):
        monkeypatch.setattr(module, "TIME_LIMIT", 2)
    monkeypatch.setattr(score, "PATIENCE", 1)


def test_a_score_is_kept_in_the_log(pair):
    found = pair.tests(SHAPES)
    assert pair.tests("def broken(").problem
    (event,) = Log(pair.store.folder.parent).read()
    assert (event["event"], event["step"]) == ("score", 4)
    assert (event["caught"], event["mistakes"]) == (len(found.caught), len(found.findings))
    assert 0 < event["caught"] < event["mistakes"]


def names(findings):
    return {finding.mistake.label for finding in findings}


# --- what is counted ----------------------------------------------------------------------


@pytest.mark.slow
def test_the_solutions_own_tests_catch_every_planted_bug(tmp_path):
    """The whole package in JAX, as a pair has it at the end; by the command, in its process."""
    store = Store(track := Track("autoencoder", 5), tmp_path / "autoencoder")
    package.write_texts(store.folder, track.given_texts(in_jax=True), {})
    reply = judge.score_package(store)
    bugs = [bug for bug in track.bugs if bug.piece != "numpy_counterparts"]
    first = reply["score"].splitlines()[0]
    assert f"catch {len(bugs)} of {len(bugs)} planted bugs, " in first, reply["score"]
    assert "missed" not in reply["score"] and reply["all_caught"] is True


def test_the_shape_test_alone_is_poor(pair):
    result = pair.tests(SHAPES)
    planted, mutations = result.of(PLANTED), result.of(MUTATION)
    assert sum(finding.caught_by is not None for finding in planted) < 0.3 * len(planted)
    assert sum(finding.caught_by is not None for finding in mutations) < 0.5 * len(mutations)
    assert {"encoder · tanh left out", "nn_layer · bias left out"} <= names(result.missed)
    assert "param_shapes · a number that happens to fit" in names(result.caught)
    assert result.headline.startswith("your tests catch ") and not result.remarks


def test_each_mistake_is_caught_by_the_test_of_the_fewest_pieces_that_sees_it(pair):
    result = pair.tests(
        SHAPES
        + """
def test_codes():
    z = encoder(make_autoencoder_params(), 100 * np.eye(64))
    assert np.all(np.abs(z) <= 1) and z.shape == (64, 8)
"""
    )
    by = {finding.mistake.label: finding.caught_by for finding in result.caught}
    assert by["encoder · tanh left out"] == "test_codes"
    assert by["encoder · mean taken over the batch"] == "test_codes"  # test_shapes sees it too
    assert by["param_shapes · decoder's weights copied from the encoder"] == "test_shapes"


def test_a_missed_mistake_comes_with_what_it_does_and_a_hint(pair):
    result = pair.tests(SHAPES)
    missed = {finding.mistake.label: finding for finding in result.missed}
    bug = next(bug for bug in pair.track.bugs if bug.name == "tanh left out")
    found = missed["encoder · tanh left out"]
    assert (found.mistake.change, found.said) == (bug.why, bug.hint)
    found = missed["nn_layer · bias dropped"]
    assert found.mistake.change == (
        "line 13: np.matmul(data, weights) + bias → np.matmul(data, weights)"
    )
    assert found.said == "Try a bias that is not zero."


def test_mutations_are_of_the_pairs_own_code_alone(pair):
    model = pair.store.folder / "model.py"
    text = model.read_text("utf-8").replace("def decoder(", f"{package.GIVEN}\ndef decoder(")
    model.write_text(text + "\n\ndef helper(x):\n    return x + 1.0\n", "utf-8")
    result = pair.tests("def test_layer():\n    assert nn_layer(np.eye(2), np.eye(2)).shape\n")
    pieces = {finding.mistake.piece for finding in result.of(MUTATION)}
    assert "encoder" in pieces and "decoder" not in pieces and "helper" not in pieces


def test_a_mutation_of_a_helper_counts_where_a_piece_uses_it(pair):
    model = pair.store.folder / "model.py"
    text = model.read_text("utf-8").replace("return np.tanh(output)", "return squash(output)")
    text = text.replace("def nn_layer(", "def squash(x):\n    return np.tanh(x)\n\n\ndef nn_layer(")
    model.write_text(text, "utf-8")
    result = pair.tests(SHAPES)
    assert "squash · tanh dropped" in names(result.missed)


def test_mutations_that_compute_the_same_do_not_count(pair):
    model = pair.store.folder / "model.py"
    text = model.read_text("utf-8").replace(
        "np.matmul(data, weights) + bias", "np.matmul(data, weights) + bias + 0.0 * bias"
    )
    model.write_text(text, "utf-8")
    result = pair.tests(SHAPES)
    without = "→ np.matmul(data, weights) + bias"
    assert not any(f.mistake.change.endswith(without) for f in result.of(MUTATION))
    assert result.equivalent > 0
    assert repr(result).endswith("compute the same as your code, and do not count.")


def test_a_score_is_the_same_each_time(pair):
    source = """
    def test_layer():
        data = np.random.normal(size=(2, 7))
        assert (nn_layer(np.random.normal(size=(7, 3)), data, nonlinearity="relu") >= 0).all()
    """
    assert repr(pair.tests(source)) == repr(pair.tests(source))


def test_nothing_to_score_yet(pair):
    result = pair.workbook.score()
    assert result.headline == (
        "no score: there is no test_model.py yet. Write a test, and check it."
    )
    assert pictures.score_map(result).alt == result.headline


# --- suites that are not as they should be ------------------------------------------------


def test_a_suite_that_refuses_right_code_scores_nothing(pair):
    result = pair.tests(SHAPES + "\ndef test_wrong():\n    assert nn_layer([[2]], [[3]])[0] == 7\n")
    assert result.headline == (
        "no score: test_wrong fails on your own model: AssertionError: assert array([6.]) == 7. "
        "A suite that refuses right code scores nothing. Is the test wrong, or the model?"
    )
    assert result.findings == () and result.failing == "test_wrong"


def test_a_suite_that_refuses_other_right_code_scores_nothing(pair):
    source = """
    def test_names():
        assert nn_layer.__code__.co_varnames[4] == "outcome"
    """
    model = pair.store.folder / "model.py"
    model.write_text(model.read_text("utf-8").replace("output", "outcome"), "utf-8")
    headline = pair.tests(source).headline
    assert headline.startswith(
        "no score: test_names passes on your model, but fails on another that is right: "
    )


BROKEN = {
    "syntax error": (
        "def test_a(:\n    pass\n",
        "no score: test_model.py has a syntax error on line 5: ",
    ),
    "no tests": ("x = 1\n", "no score: no test is there to be scored. Write one, and check it."),
    "import": (
        "from model import half\n",
        "no score: test_model.py does not run: ImportError: cannot import name 'half'",
    ),
    "exit": ("import sys\nsys.exit(3)\n", "no score: test_model.py does not run: SystemExit: 3."),
    "endless import": (
        "while True:\n    pass\n",
        "no score: test_model.py does not run: TookTooLong: stopped after 2 seconds.",
    ),
}


@pytest.mark.parametrize("source, words", BROKEN.values(), ids=BROKEN)
def test_a_file_that_cannot_be_scored_says_why(source, words, pair, short_limit):
    score = pair.tests(source)
    assert score.headline.startswith(words)
    assert score._repr_html_()[1] is None  # nothing is counted, and so nothing kept


ENDS = "it ends Python, or pytest, altogether. What should it assert instead?"
LEFT_OUT = {
    "endless": (
        "while True:\n        pass",
        "still running after 2 seconds. Is there a loop that never ends?",
    ),
    "exit": ("import sys\n    sys.exit(0)", ENDS),
    "pytest_exit": ("import pytest\n    pytest.exit('enough')", ENDS),
    "skipped": ("import pytest\n    pytest.skip()", "a test that is skipped guards nothing."),
    "not_written": ("raise NotImplementedError", "not written yet."),
}


def test_tests_without_a_verdict_are_left_out_and_the_rest_is_scored(pair, short_limit):
    alone = pair.tests(SHAPES)
    odd = [f"def test_{name}():\n    {body}\n" for name, (body, _) in LEFT_OUT.items()]
    result = pair.tests("".join(odd) + SHAPES)
    assert result.remarks == tuple(
        f"left out: test_{name}: {why}" for name, (_, why) in LEFT_OUT.items()
    )
    said = repr(result).splitlines()
    assert result.findings and said[1 + len(LEFT_OUT) :] == repr(alone).splitlines()[1:]


def test_tests_that_depend_on_each_other_are_left_out(pair):
    result = pair.tests(
        """
        seen = []

        def test_first():
            seen.append(nn_layer(np.eye(2), np.ones((1, 2))))

        def test_second():
            assert seen and seen[0].shape == (1, 2)
        """
        + textwrap.indent(SHAPES, " " * 8)
    )
    assert result.remarks == (
        "left out: test_second: it passes or fails depending on which tests run before it. "
        "What does it find there that it should make itself?",
    )
    assert result.caught


EMPTY = {
    "pass": "pass",
    "itself": "z = nn_layer(np.eye(2), np.eye(2))\n    assert np.allclose(z, z)",
    "swallowed": "try:\n        assert encoder(1, 2) == 3\n    except Exception:\n        pass",
    "a tuple": "assert (encoder(make_autoencoder_params(), np.ones((1, 64))) is None, 'code')",
}


@pytest.mark.slow(but=1)
@pytest.mark.parametrize("body", EMPTY.values(), ids=EMPTY)
def test_a_test_that_passes_whatever_happens_is_named(body, pair):
    result = pair.tests(f"def test_empty():\n    {body}\n{SHAPES}")
    caught = {finding.caught_by for finding in result.caught}
    if "test_empty" not in caught:  # one that only calls the model sees what makes it raise
        assert result.remarks == (
            "test_empty passes whatever your model computes. What does it assert?",
        )
    assert "test_shapes" in caught and (body[:6] == "assert") == ("test_empty" in caught)


def test_a_test_of_keys_is_not_called_empty(pair):
    result = pair.tests(
        """
        def test_keys():
            first, second = make_autoencoder_params(1), make_autoencoder_params(2)
            assert not np.allclose(first["enc_code"]["bias"], second["enc_code"]["bias"])
        """
    )
    assert result.remarks == ()
    assert "make_autoencoder_params · key ignored" in names(result.caught)


def test_megabytes_of_output_are_not_shown(pair, capfd):
    noisy = SHAPES.replace("    params =", "    print('noise ' * 1_000_000)\n    params =")
    started = time.monotonic()
    result = pair.tests(noisy)
    assert result.caught and time.monotonic() - started < 60
    assert capfd.readouterr() == ("", "")


def test_a_slow_test_is_given_its_time(pair, monkeypatch):
    monkeypatch.setattr(score, "PATIENCE", 0.1)
    slow = SHAPES.replace("    params =", "    import time\n    time.sleep(0.5)\n    params =")
    (pair.store.folder / "test_model.py").write_text(IMPORTS + slow, encoding="utf-8")
    assert "no test of yours catches it" in str(pair.workbook.caught_by("tanh left out"))


def test_a_broken_module_beside_the_tests_says_so(pair):
    (pair.store.folder / "mistakes.py").write_text("def a(:\n")
    assert pair.tests(SHAPES).headline.startswith(
        "no score: mistakes.py has a syntax error on line 1: "
    )


def test_a_mistake_that_never_ends_is_left_out(pair, short_limit):
    """A test that is stopped has not failed: it might have passed."""
    endless = "def encoder__endless(params, x):\n    while True:\n        pass\n"
    (pair.store.folder / "mistakes.py").write_text(endless)
    score = pair.tests(SHAPES)
    assert not score.of(OWN)
    assert score.remarks == (
        "left out: encoder · endless: it was stopped, and no test had failed. Does it never end?",
    )


# --- the words, and the picture -----------------------------------------------------------


def test_as_text_html_and_picture(pair):
    result = pair.tests(SHAPES + "\ndef test_ours():\n    assert '<b>'\n")
    text, (page, kept) = repr(result), result._repr_html_()
    assert kept["counts"]["planted bugs"] == (
        sum(found.mistake.kind == "planted bugs" for found in result.caught),
        sum(found.mistake.kind == "planted bugs" for found in result.findings),
    )
    assert text.splitlines()[0] == result.headline
    assert f"\nmissed  {'encoder · tanh left out':60}  " in text
    assert f"<summary>missed: {len(result.missed)}</summary>" in page
    assert page.count("<tr>") == len(result.findings) + 2
    assert "0.0 &gt;" not in page and "<script" not in page
    alt = pictures.score_map(result).alt
    caught = sum(finding.mistake.piece == "nn_layer" for finding in result.caught)
    total = sum(finding.mistake.piece == "nn_layer" for finding in result.findings)
    assert alt.startswith(f"Mistakes caught, by function: nn_layer {caught} of {total}, ")


# --- mistakes of the pair's own -----------------------------------------------------------


def in_notebook(pair, source):
    """Define a function in a notebook that has the encoder at hand."""
    notebook = Notebook()
    notebook["encoder"] = pair.workbook.use("encoder")
    notebook.run(source)
    return next(value for name, value in notebook.items() if name.startswith("encoder__"))


def test_a_mistake_of_the_pairs_own_is_saved_and_counts(pair):
    before = {path: path.read_bytes() for path in pair.store.folder.iterdir()}
    doubled = "def encoder__codes_doubled(params, x):\n    return 2 * encoder(params, x)\n"
    encoder__codes_doubled = in_notebook(pair, doubled)
    said = str(pair.workbook.add_mistake(encoder__codes_doubled))
    assert said == "encoder · codes doubled · you have no test yet that could catch it. Swap."
    assert {path: path.read_bytes() for path in before} == before
    layer = "\ndef test_layer():\n    assert nn_layer(np.eye(2), np.eye(2)).shape == (2, 2)\n"
    result = pair.tests(layer)
    (own,) = result.of(OWN)
    assert own.mistake.label == "encoder · codes doubled" and own.caught_by is None
    assert result.headline.endswith(", 0 of 1 mistakes of your own.")
    said = str(pair.workbook.add_mistake(encoder__codes_doubled))
    assert said.startswith("encoder · codes doubled · no test of yours catches it.")
    codes = "\ndef test_codes():\n    assert abs(encoder(make_autoencoder_params(), "
    codes += "1e4 * np.eye(64))).max() <= 1\n"
    assert pair.tests(SHAPES + codes).of(OWN)[0].caught_by == "test_codes"
    assert str(pair.workbook.add_mistake(encoder__codes_doubled)) == (
        "encoder · codes doubled · caught by test_codes. Swap."
    )


def test_only_a_mistake_is_a_mistake(pair):
    stub = "def encoder__stub(params, x):\n    raise NotImplementedError\n"
    said = str(pair.workbook.add_mistake(in_notebook(pair, stub)))
    assert said == "encoder__stub · not written yet"
    right = "def encoder__right(params, x):\n    return encoder(params, x)\n"
    with pytest.raises(WorkbookError, match="No check can tell it from a right encoder"):
        pair.workbook.add_mistake(in_notebook(pair, right))
    for wrong in (len, SHAPES, lambda x: x, pair.tests):
        with pytest.raises(
            WorkbookError, match="names no mistake. Name the piece, two underscores"
        ):
            pair.workbook.add_mistake(wrong)
    assert not (pair.store.folder / "mistakes.py").exists()


def test_a_planted_bug_can_be_handed_out_and_asked_after(pair):
    wrong = pair.workbook.wrong("encoder", "tanh left out")
    assert wrong.__name__ == "encoder"
    assert str(pair.workbook.caught_by("tanh left out")) == (
        "encoder · tanh left out · you have no test yet that could catch it."
    )
    pair.tests(SHAPES)
    assert "no test of yours catches it" in str(pair.workbook.caught_by("tanh left out"))
    with pytest.raises(WorkbookError, match="no planted bug is called `nothing`. There are: "):
        pair.workbook.caught_by("nothing")


# --- the command --------------------------------------------------------------------------


def test_command(pair, capsys):
    pair.tests(SHAPES)
    before = {path: path.read_bytes() for path in pair.store.folder.iterdir()}
    assert main(["score", str(pair.store.folder)]) == 1
    printed = capsys.readouterr().out
    assert (
        printed.startswith("your tests catch ") and "\nmissed  encoder · tanh left out" in printed
    )
    assert {path: path.read_bytes() for path in pair.store.folder.iterdir()} == before


@pytest.mark.slow
def test_a_loop_that_cannot_be_interrupted_is_left_out_by_the_command(pair, monkeypatch):
    monkeypatch.setattr(judge, "SILENCE", 12)
    stubborn = """
def test_stubborn():
    import time
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass
"""
    (pair.store.folder / "test_model.py").write_text(IMPORTS + stubborn + SHAPES, "utf-8")
    reply = judge.score_package(pair.store)
    assert "left out: test_stubborn: still running after 20 seconds." in reply["score"]
    assert "\ncaught  param_shapes · a number that happens to fit" in reply["score"]
