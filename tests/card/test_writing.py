"""The card of a model, and the test beside it that measures its numbers anew."""

import contextlib
import importlib
import re

import jax
import numpy as np
import pytest
import yaml

from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.card import writing
from reimpl_helpers.card.writing import CARD, write_card
from reimpl_helpers.pair.store import Store
from reimpl_helpers.texts import package
from reimpl_helpers.tracks.track import Track, tracks

QUICK = '''
"""Measure little, for a test."""

import numpy as np
from costs import count_flops

TRAINED = "Not at all."


def measured():
    rng = np.random.default_rng(0)
    return {
        "operations, one image": count_flops(1)["forward"],
        "loss": rng.exponential(size=50),
        "called strange": rng.uniform(size=50) < 0.1,
        "told apart": (rng.normal(size=40), rng.normal(1, size=60)),
    }


def timed():
    return {"nothing": lambda: None}
'''


def in_words_of(track):
    return package.definition_of(track.given_texts(in_jax=True)["card"], "in_words")


@pytest.fixture
def store(tmp_path):
    """Let a pair have written the words of the card, and nothing else."""
    track = Track.at_end("autoencoder")
    store = Store(track, tmp_path / "work/autoencoder")
    package.write_texts(store.folder, {"card": f'"""Ours."""\n\n\n{in_words_of(track)}'}, {})
    return store


@pytest.fixture
def quick(monkeypatch):
    whole = writing.source_of
    sources = {"measured": QUICK}
    monkeypatch.setattr(writing, "source_of", lambda s, m: sources.get(m) or whole(s, m))


@contextlib.contextmanager
def test_of_card(store):
    with package.imported_from(store.folder):
        yield importlib.import_module("test_card")


test_of_card.__test__ = False


def refused(test):
    """Say what a test of the card refuses; nothing where it passes."""
    try:
        test()
    except AssertionError as error:
        return str(error)
    return ""


def with_row_moved(card, what, by, columns):
    """Move some of the three numbers of a row by so many of its intervals."""

    def moved(found):
        cells = found[0].split(" | ")
        value, low, high = (float(cell.replace(",", "")) for cell in cells[1:4])
        reach = by * ((high - low) or 1)
        for column, number in zip((1, 2, 3), (value, low, high), strict=True):
            cells[column] = repr(number + reach) if column in columns else cells[column]
        return " | ".join(cells)

    changed, count = re.subn(rf"^\| {re.escape(what)} \|.*$", moved, card, flags=re.M)
    assert count == 1
    return changed


def refuses_each_number_that_moved(store):
    card = (store.folder / CARD).read_text("utf-8")
    with test_of_card(store) as test:
        values = {what: test.value_of(numbers) for what, numbers in test.measured().items()}
        assert test.moved(test.rows_of("measured"), values) == []
        for what in values:
            for by in (-3, 3):
                for columns in ((1,), (2, 3), (1, 2, 3)):
                    wrong = with_row_moved(card, what, by, columns)
                    (store.folder / CARD).write_text(wrong, "utf-8")
                    (said,) = test.moved(test.rows_of("measured"), values)
                    assert said.startswith(f"{what}: ")
    (store.folder / CARD).write_text(card, "utf-8")


def test_each_number_that_moved_is_refused(store, quick):
    write_card(store, "Ada and Grace")
    refuses_each_number_that_moved(store)


@pytest.mark.slow
@pytest.mark.parametrize("name", tracks())
def test_each_number_on_the_card_of_a_track_that_moved_is_refused(name, tmp_path):
    track = Track.at_end(name)
    store = Store(track, tmp_path / f"work/{name}")
    package.write_texts(store.folder, track.given_texts(in_jax=True), {})
    write_card(store, "Ada and Grace")
    refuses_each_number_that_moved(store)
    assert not jax.config.jax_enable_x64  # as before: pairs go on in the same process


def test_a_number_that_is_gone_or_new_is_refused(store, quick):
    write_card(store, "Ada and Grace")
    card = (store.folder / CARD).read_text("utf-8")
    with test_of_card(store) as test:
        assert refused(test.test_numbers_are_as_the_card_says) == ""
        for wrong in (card.replace("| loss |", "| error |"), re.sub(r"\| loss \|.*\n", "", card)):
            (store.folder / CARD).write_text(wrong, "utf-8")
            assert "loss" in refused(test.test_numbers_are_as_the_card_says)


def test_times_are_asked_on_their_machine_alone(store, quick, monkeypatch):
    write_card(store, "Ada and Grace")
    with test_of_card(store) as test:
        (what,) = test.rows_of(f"on {test.this_machine()}")
        (_, low, high) = test.rows_of(f"on {test.this_machine()}")[what]
        for seconds in (low / 2, 2 * high):
            monkeypatch.setattr(test, "microseconds_of", lambda function, s=seconds: s)
            assert what in refused(test.test_times_are_as_the_card_says)
        monkeypatch.setattr(test, "microseconds_of", lambda function: (low + high) / 2)
        assert refused(test.test_times_are_as_the_card_says) == ""
        monkeypatch.setattr(test, "this_machine", lambda: "an abacus")
        with pytest.raises(pytest.skip.Exception, match="an abacus"):
            test.test_times_are_as_the_card_says()


def test_the_card_has_their_words_and_the_front_matter_of_hugging_face(store, quick):
    shown = write_card(store, "Ada and Grace")
    whole = (store.folder / CARD).read_text("utf-8")
    _, front, text = whole.split("---\n", 2)
    assert yaml.safe_load(front)["tags"] == ["autoencoder", "re-implementation"]
    assert shown.strip() in text and shown._repr_markdown_() == shown
    words = package.load_pieces(store.folder, "card").in_words()
    assert all(sentence in shown for sentence in words.values())
    assert "Ada and Grace" in shown and "Not at all." in shown and "{" not in shown


def test_what_the_pair_has_not_written_is_marked_as_the_workbooks(store, quick):
    write_card(store, "Ada and Grace")
    texts = store.texts()
    assert store.is_written("count_flops", texts) and not store.is_own("count_flops", texts)
    assert store.is_own("in_words", texts)
    assert not store.is_written("strangeness", texts)  # nothing measures it here


def test_a_file_that_was_changed_is_kept(store, quick, fault):
    write_card(store, "Ada and Grace")
    write_card(store, "Ada")
    names = {path.name for path in store.folder.iterdir()}
    assert not [name for name in names if name.startswith(CARD) and name != CARD]
    changed = {}
    for name in (CARD, CARD, "test_card.py"):
        path = store.folder / name
        path.write_text(path.read_text("utf-8").replace("number", "Number"), "utf-8")
        changed[path.read_text("utf-8")] = name
        write_card(store, f"Ada and {len(changed)}")
    kept = [path for path in store.folder.iterdir() if re.search(r"\.\d$", path.name)]
    assert {path.read_text("utf-8") for path in kept} == changed.keys()
    assert "Number" not in (store.folder / CARD).read_text("utf-8")
    fault(files_lost=len(changed) - len(kept), events_lost=0)


def test_a_model_that_cannot_be_measured_leaves_no_card(store, quick):
    text = "def count_flops(batch):\n    raise ZeroDivisionError('by nothing')\n"
    package.write_texts(store.folder, {"costs": text}, {})
    with pytest.raises(WorkbookError, match=r"ZeroDivisionError: by nothing.* this cell\."):
        write_card(store, "Ada and Grace")
    assert not (store.folder / CARD).exists()


def test_a_score_that_is_equal_counts_half(store, quick):
    write_card(store, "Ada and Grace")
    with test_of_card(store) as test:
        assert test.value_of((np.array([1, 2]), np.array([2, 2, 0]))) == pytest.approx(3 / 6)
