"""`reimpl dev check`: what is wrong with a track is said, and the tracks have nothing wrong."""

import json
import shutil

import pytest

from reimpl_helpers import cli
from reimpl_helpers.authoring import check_track
from reimpl_helpers.authoring.check_track import FILES, faults_judged, faults_of, faults_read
from reimpl_helpers.base.places import NOTEBOOKS
from reimpl_helpers.tracks.track import Track, tracks


@pytest.mark.parametrize("name", tracks())
def test_nothing_is_wrong_with_the_files_of_a_track(name):
    assert list(faults_read(name)) == []


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the notebooks of one track, to be broken."""
    shutil.copytree(NOTEBOOKS / "autoencoder", tmp_path / "autoencoder")
    for module in (
        "authoring.check_track",
        "authoring.catalogue",
        "tracks.track",
        "tracks.notebooks",
    ):
        monkeypatch.setattr(f"reimpl_helpers.{module}.NOTEBOOKS", tmp_path)
    return tmp_path / "autoencoder"


BROKEN = {  # a file of a track, an edit of it, and what is said then
    "about.toml": ("title =", "name =", "does not say what the model is"),
    "pieces.py": ('Piece("nn_layer", "model", 1', 'Piece("nn_layer", "model" 1', "does not load"),
    "solution/model.py": ("def decoder(", "def decode(", "decoder is not in solution/model.py"),
    "solution/before_port.py": (
        "return np.tanh(output)",
        "import jax\n        return jax.numpy.tanh(output)",
        "nn_layer is not in NumPy in solution/before_port.py",
    ),
    "planted_bugs.toml": ('"no bias before the code"', '"tanh left out"', "has that name"),
    "variants.py": (
        "def nn_layer__",
        "def nn_layers__",
        "nn_layer has 0 variants, expected 2 or more",
    ),
    "01_forward_pass.ipynb": ('"minutes": 7', '"minutes": 70', "the exercises no more"),
    "02_shapes.ipynb": ("raise NotImplementedError", "pass", "does not begin with raise"),
    "03_params.ipynb": ('"check(', '"assert check(', "the next code cell is not its check"),
    "solved/04_unit_tests.ipynb": ("def test_by_hand", "def test_by_heart", "Run `make solved`"),
}


@pytest.mark.parametrize("file", BROKEN)
def test_what_is_wrong_is_said(file, copied):
    old, new, said = BROKEN[file]
    text = (copied / file).read_text("utf-8")
    assert old in text
    (copied / file).write_text(text.replace(old, new), "utf-8")
    found = list(faults_read("autoencoder"))
    assert any(said in fault for fault in found), found


def test_a_solved_notebook_that_is_missing_or_none_is_said(copied):
    (copied / "solved/02_shapes.ipynb").unlink()
    (copied / "solved/03_params.ipynb").write_text("{")
    missing, damaged = faults_read("autoencoder")
    assert missing == "solved/02_shapes.ipynb: it is missing. Run `make solved`."
    assert damaged.startswith("solved/03_params.ipynb: it is no notebook: ")


@pytest.mark.parametrize("file", FILES)
def test_a_file_that_is_missing_is_named_with_what_it_is_for(file, copied):
    (copied / file).unlink()
    (fault,) = faults_of("autoencoder")
    assert fault.startswith(f"{file} is missing: ") and "{" not in fault


def test_the_numbers_of_a_card_that_are_missing_are_said(copied):
    (copied / "measured.py").unlink()
    assert "measured.py is missing: " in next(faults_read("autoencoder"))


TANH = '"bias"], "tanh")'
BUGS = {  # an edit of the solution's encoder, a question about it, and what is said of the bug
    "no edit": (("not there", ""), "Is it so?", "stands 0 times in encoder"),
    "no change": ((TANH, TANH), "Is it so?", "its edit changes nothing"),
    "no question": ((TANH, '"bias"])'), "It is so.", "does not end with “?”"),
    "the mend": ((TANH, '"bias"])'), f"Is it {TANH} here?", "its question gives the mend away"),
}


@pytest.mark.parametrize("what", BUGS)
def test_a_planted_bug_that_is_none_is_named(what, copied):
    edit, question, said = BUGS[what]
    plant(copied, what, edit, question)
    found = [fault for fault in faults_read("autoencoder") if what in fault or said in fault]
    assert any(said in fault for fault in found), found


def plant(copied, name, edit, question):
    parts = {"name": name, "why": "why not.", "question": question, "hint": "Try it."}
    parts |= dict(zip(("old", "new"), edit, strict=True))
    bug = "".join(f"{part} = {json.dumps(text)}\n" for part, text in parts.items())
    path = copied / "planted_bugs.toml"
    path.write_text(f"{path.read_text('utf-8')}\n[[encoder]]\n{bug}", "utf-8")


def test_what_the_cases_do_not_tell_apart_is_named(copied):
    plant(copied, "another name", ("hidden = ", "hidden = 1 * "), "Is it so?")

    def found():
        track = Track("autoencoder", 5)
        return [*faults_judged(track, [track.piece("encoder")])]

    (fault,) = found()
    assert "“another name” of encoder is accepted by every case" in fault
    path = copied / "solution/model.py"
    path.write_text(path.read_text("utf-8").replace('["enc_code"]', '["dec_hidden"]'), "utf-8")
    assert found()[0].startswith("the solution's own encoder is refused: raised")


def test_the_command_says_each_fault_and_how_many(capsys, monkeypatch):
    monkeypatch.setattr(
        check_track, "faults_of", lambda name: iter([f"{name} is odd.", "And more."])
    )
    assert cli.main(["dev", "check", "gnn"]) == 1
    assert capsys.readouterr().out == "gnn is odd.\nAnd more.\ngnn: 2 faults.\n"
    monkeypatch.setattr(check_track, "faults_of", lambda name: iter([]))
    assert cli.main(["dev", "check", "gnn"]) == 0
    assert capsys.readouterr().out == "gnn: no fault.\n"
    monkeypatch.undo()
    assert cli.main(["dev", "check", "nothing"]) == 2
    assert "begin with its original.py" in capsys.readouterr().err
