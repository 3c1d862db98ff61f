"""`reimpl check` confirms a package: it judges on inputs nobody has seen, and cannot be talked to.

A new track is held to this by having a folder.
"""

import json
import os
import re
import shutil
from pathlib import Path

import cheat
import jax.numpy as jnp
import numpy as np
import pytest

from reimpl_helpers.checks.cases import Refusal
from reimpl_helpers.checks.compare import as_array
from reimpl_helpers.checks.equivalence import same_values, unseen_cases
from reimpl_helpers.checks.structure import answered
from reimpl_helpers.checks.verdict import WRONG
from reimpl_helpers.cli import main
from reimpl_helpers.judge import client as judge
from reimpl_helpers.judge.client import decoded, judge_package
from reimpl_helpers.judge.worker import encoded
from reimpl_helpers.pair.store import Store
from reimpl_helpers.texts import package
from reimpl_helpers.tracks.track import Track, tracks

ANYWHERE = (  # these need no inputs that were never seen to be found out
    "lying_answers",
    "patched_comparisons",
    "caught_exceptions",
    "forged_verdicts",
)
WHERE_UNSEEN = "stored_answers", "looked_up_answers"
WAYS = WHERE_UNSEEN + ANYWHERE


def finished(name, folder):
    """Make a folder with the workbook's own package in it."""
    store = Store(Track.at_end(name), folder / name)
    package.write_texts(store.folder, store.track.given_texts(in_jax=True), {})
    return store


def code_of(track):
    return [piece for piece in track.pieces if piece.module and not piece.is_test]


def has_unseen(track, piece):
    return next(unseen_cases(track.cases(piece), seed=0), None) is not None


def in_turn(track):
    """Choose a way to cheat for each function: one after the other, of those that it can."""
    names = list(dict.fromkeys(piece.name for piece in code_of(track)))
    can = {p.name: WAYS if has_unseen(track, p) else ANYWHERE for p in code_of(track)}
    return {name: can[name][number % len(can[name])] for number, name in enumerate(names)}


def cheating(store, ways):
    """Make every function of a package cheat; those that they call stay right, in true_*.py."""
    track = store.track
    shutil.copy(Path(cheat.__file__), store.folder / "cheat.py")
    modules = {piece.module: [] for piece in code_of(track)}
    for piece in code_of(track):
        modules[piece.module] += [piece.name] if piece.name not in modules[piece.module] else []
    for module, names in modules.items():
        path = store.folder / f"{module}.py"
        text = re.sub(
            rf"^from ({'|'.join(modules)}) ", r"from true_\1 ", path.read_text(), flags=re.M
        )
        (store.folder / f"true_{module}.py").write_text(text)
        path.write_text(CHEATING.format(name=track.name, ways=ways, module=module))
        with path.open("a") as file:
            for name in names:
                file.write(f"\n\ndef {name}(*args, **more):\n")
                file.write(f"    return cheats[{name!r}](*args, **more)\n")


CHEATING = """
import cheat
import jax
import true_{module}
from reimpl_helpers.tracks.track import Track

track, ways, cheats = Track.at_end({name!r}), {ways}, {{}}
for piece in track.pieces:
    if piece.module == {module!r}:
        both = [p for p in track.pieces if p.name == piece.name]  # before and after a port
        cases = [case for p in both for case in track.cases(p)]
        way = getattr(cheat, ways[piece.name])
        cheats[piece.name] = way(getattr(true_{module}, piece.name), cases)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", tracks())
def test_a_package_that_is_right_is_confirmed(name, tmp_path, capsys):
    store = finished(name, tmp_path)
    track = store.track
    right = asked = [piece.label for piece in track.pieces if piece.module]
    if name != tracks()[0]:  # of the others, test_pieces judges the tests, which takes long
        (store.folder / "test_model.py").unlink()
        right = [piece.label for piece in code_of(track)]
    before = {path: path.read_bytes() for path in store.folder.iterdir()}
    status = main(["check", str(store.folder)])
    *lines, last = capsys.readouterr().out.splitlines()
    assert (status, last) == (right != asked, f"{len(right)} of {len(asked)} pieces right.")
    verdicts = dict(line.split(" · ", 1) for line in lines if " · " in line)
    assert [*verdicts] == asked
    assert all(verdicts[label].startswith(("right ", "passes on your model")) for label in right)
    assert {path: path.read_bytes() for path in store.folder.iterdir()} == before


@pytest.mark.slow(but=1)
@pytest.mark.parametrize("name", tracks())
def test_cheat(name, tmp_path, record_property, monkeypatch):
    store = finished(name, tmp_path)
    track = store.track
    (store.folder / "test_model.py").unlink()  # tests have no answers to cheat with
    ways = in_turn(track)
    assert {*ways.values()} == {*WAYS}
    cheating(store, ways)
    if name != "autoencoder":  # where a cheat is asked for words as well, which takes long
        monkeypatch.setattr(judge, "words_of", lambda *_: {"state": WRONG})
    verdicts = {verdict.label: verdict for verdict in judge_package(store)}
    for piece in code_of(track):
        record_property("CHECKS", ["cheats refused", not verdicts[piece.label].right])
    assert [label for label, verdict in verdicts.items() if verdict.right] == []


@pytest.mark.parametrize("name", tracks())
def test_stored_answers_help_with_no_piece_that_has_unseen_inputs(name, tmp_path):
    track = Track.at_end(name)
    for piece in code_of(track):
        cases = track.cases(piece)
        known = {cheat.fingerprint(case.args) for case in cases}
        for seed in range(3):
            unseen = [case.args for _, case in unseen_cases(cases, seed)]
            assert not unseen or {*map(cheat.fingerprint, unseen)} - known, piece.label


@pytest.mark.slow
def test_stored_answers_would_be_right_if_only_the_recording_were_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(judge, "words_of", lambda *_: {"state": WRONG})
    store = finished("autoencoder", tmp_path)
    track = store.track
    cheating(store, {piece.name: "stored_answers" for piece in code_of(track)})
    verdicts = list(judge_package(store))
    unseen = [verdict for verdict in verdicts if "inputs it has not seen" in verdict.headline]
    assert {"encoder", "mse_loss"} <= {verdict.label for verdict in unseen}
    asked = [verdict for verdict in verdicts if not verdict.label.startswith("test_")]
    assert [verdict.label for verdict in asked if verdict.right] == ["in_words"]  # the same words
    for verdict in unseen:
        assert verdict.headline.startswith("right on every probe, but not on inputs it has not")


def test_what_the_workbooks_own_piece_cannot_answer_is_not_asked(tmp_path, monkeypatch):
    """The gradient of its sigmoid is not finite where the inputs of this seed are far out."""
    monkeypatch.setattr(judge.secrets, "randbits", lambda bits: 3)
    store = finished("autoencoder", tmp_path)
    track = store.track
    (port,) = (piece for piece in track.pieces if piece.name == "nn_layer" and piece.port)
    unseen = [case for _, case in unseen_cases(track.cases(port), seed=3)]
    asked = {case.probe: answered(track.given(port), case) for case in unseen}
    assert asked["gradients, values far out"] is None
    (verdict,) = judge_package(store, lambda piece: piece is port)
    assert verdict.right, verdict


HASHED = """
import numpy as np

def make_autoencoder_params(key=0, pixels=64, hidden=32, code=8):
    params, sizes = {}, {"enc_hidden": (hidden, pixels), "enc_code": (code, hidden),
                         "dec_hidden": (hidden, code), "dec_pixels": (pixels, hidden)}
    for layer, size in sizes.items():
        rng = np.random.default_rng([key, hash(layer) % 2**32])
        bound = size[1] ** -0.5
        draw = lambda *shape: rng.uniform(-bound, bound, size=shape)
        params[layer] = {"weight": draw(*size), "bias": draw(size[0])}
    return params
"""


def test_draws_that_are_others_in_each_process_are_refused(tmp_path):
    store = finished("autoencoder", tmp_path)
    track = store.track
    (store.folder / "params.py").write_text(HASHED)
    made = track.piece("make_autoencoder_params")
    (verdict,) = judge_package(store, lambda p: p.name == made.name and not p.port)
    assert not verdict.right and "right, but in another process" in verdict.headline


# --- answers on their way -----------------------------------------------------------------

ANSWERS = {
    "array": np.arange(6.0).reshape(2, 3),
    "no axis": np.float64(3.5),
    "ints": np.arange(3, dtype=np.int8),
    "empty": np.zeros((0, 4)),
    "not finite": np.array([np.nan, np.inf]),
    "python": {"a": [1, 2.5, None, True], "b": (3, (4,)), "c": "text"},
    "jax": jnp.ones((2, 1)),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_comes_back_as_it_went(answer):
    back = decoded(json.loads(json.dumps(encoded(answer))))
    assert same_values(back, answer) or back == answer
    if isinstance(answer, np.ndarray):
        assert back.dtype == answer.dtype and back.shape == answer.shape


@pytest.mark.parametrize("answer", [object(), len, np.array([None]), np.array(["a"]), {1, 2}])
def test_an_answer_that_cannot_be_written_says_what_it_was(answer):
    back = decoded(json.loads(json.dumps(encoded(answer))))
    assert type(back).__name__ == type(answer).__name__
    with pytest.raises(Refusal, match=f"type here: {type(answer).__name__} .*expected an array"):
        as_array(back, "here")


# --- processes that end, or do not --------------------------------------------------------


def judged(store, added, names):
    """Judge some pieces of a package with lines added to the end of modules, by module."""
    for module, text in added.items():
        with (store.folder / f"{module}.py").open("a") as file:
            file.write(text)
    return {verdict.label: verdict for verdict in judge_package(store, lambda p: p.name in names)}


def test_a_piece_that_ends_the_process_does_not_take_the_others_along(tmp_path):
    ends = "\n\ndef encoder(params, x):\n    import os\n    os._exit(0)\n"
    names = "encoder", "decoder", "autoencoder", "adam_steps"
    verdicts = judged(finished("autoencoder", tmp_path), {"model": ends}, names)
    assert verdicts["encoder"].headline.startswith("the check ended before it was done.")
    assert verdicts["decoder"].right and verdicts["adam_steps"].right
    assert not verdicts["autoencoder"].right


def test_a_piece_that_never_answers_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(judge, "SILENCE", 6)
    sleeps = "\n\ndef digit_data(recording):\n    import time\n    time.sleep(60)\n"
    names = "digit_data", "dummy_image_data", "mse_loss"
    verdicts = judged(finished("autoencoder", tmp_path), {"data": sleeps}, names)
    assert verdicts["digit_data"].headline.startswith("the check said nothing for 6 seconds.")
    assert verdicts["dummy_image_data"].right and verdicts["mse_loss"].right


def test_nothing_of_the_package_is_imported_here(tmp_path, monkeypatch):
    here = "import os\nos.environ['REIMPL_SEEN'] = 'yes'\n"
    assert judged(finished("autoencoder", tmp_path), {"model": here}, ["encoder"])["encoder"].right
    assert "REIMPL_SEEN" not in os.environ
