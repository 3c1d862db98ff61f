"""Pieces of one track are vocabulary in the others: a pair's own there, or the workbook's."""

import re

import pytest
from cells import Notebook

from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.judge.pieces import judge_piece
from reimpl_helpers.pair.store import Store
from reimpl_helpers.texts import package
from reimpl_helpers.tracks.track import Track
from reimpl_helpers.workbook import Workbook

IMPORTS = """
import jax
import jax.numpy as jnp
import numpy as np
import optax
"""
OURS = '''
def nn_layer(weights, data, bias=0.0, nonlinearity=None):
    """Ours."""
    output = bias + np.matmul(data, weights)
    if nonlinearity == "relu":
        return np.maximum(output, 0)
    if nonlinearity == "tanh":
        return np.tanh(output)
    if nonlinearity == "sigmoid":
        return 1 / (1 + np.exp(-output))
    return output
'''.lstrip()
SENT = """
def send_messages(params, nodes, edges, senders):
    return nodes[senders] + nn_layer(params["edge"]["weight"].T, edges)
""".lstrip()
SUMS = """
def sum_by_index(values, index, count):
    return jax.ops.segment_sum(values, index, count)
""".lstrip()
FROM = "# yours, from autoencoder\n"


class Pair:
    """Two people with a folder for each track."""

    def __init__(self, work):
        self.work = work

    def at(self, name, step):
        """Open a notebook of a track in a fresh kernel."""
        self.track = Track(name, step)
        self.store = Store(self.track, self.work / name)
        self.workbook = Workbook(self.store)
        self.notebook = Notebook(IMPORTS)

    def use(self, *names):
        found = self.workbook.use(*names)
        self.notebook.update(zip(names, [found] if len(names) == 1 else found, strict=True))

    def check(self, cell):
        self.notebook.run(cell)
        return self.workbook.check(self.notebook[re.findall(r"^def (\w+)", cell, re.M)[-1]])

    def text(self, name, module="model"):
        return (self.work / name / f"{module}.py").read_text("utf-8")


@pytest.fixture
def pair(tmp_path):
    return Pair(tmp_path / "work")


def test_the_workbooks_until_theirs_is_saved(pair, capsys):
    pair.at("gnn", 1)
    pair.use("nn_layer")
    said = "the workbook's, until yours are saved in autoencoder: nn_layer\n"
    assert capsys.readouterr().out == said
    assert pair.workbook.whose("nn_layer") == "the workbook's"
    assert pair.check(SENT).right
    assert f"{package.GIVEN}\ndef nn_layer(" in pair.text("gnn")
    assert "import numpy as np" in pair.text("gnn") and "jax" not in pair.text("gnn")


def test_their_own_goes_along(pair, capsys):
    pair.at("autoencoder", 1)
    assert pair.check(OURS).right
    pair.at("gnn", 1)
    pair.use("nn_layer")
    assert capsys.readouterr().out == "yours, from autoencoder: nn_layer\n"
    assert pair.workbook.whose("nn_layer") == "ours"
    assert pair.check(SENT).right
    assert f"{FROM}def nn_layer(" in pair.text("gnn")
    assert "output = bias + np.matmul(data, weights)" in pair.text("gnn")
    texts = pair.store.texts()
    assert not pair.store.is_own("nn_layer", texts)
    assert pair.store.is_own("send_messages", texts)


def test_a_port_takes_the_vocabulary_along(pair, capsys):
    pair.at("autoencoder", 1)
    assert pair.check(OURS).right
    pair.at("gnn", 1)
    pair.use("nn_layer")
    assert pair.check(SENT).right
    capsys.readouterr()
    pair.at("gnn", 5)
    pair.use("nn_layer")
    assert capsys.readouterr().out == (
        "the workbook's, until yours are ported in autoencoder: nn_layer\n"
    )
    pair.at("autoencoder", 5)
    assert pair.check(OURS.replace("np.", "jnp.")).right
    pair.at("gnn", 5)
    pair.use("nn_layer")
    assert capsys.readouterr().out == "yours, from autoencoder: nn_layer\n"
    assert pair.check(SUMS).right
    assert f"{FROM}def nn_layer(" in pair.text("gnn")
    assert "output = bias + jnp.matmul(data, weights)" in pair.text("gnn")
    assert "np.matmul(data, weights)" not in pair.text("gnn").replace("jnp.", "")
    pair.at("gnn", 1)
    capsys.readouterr()
    pair.use("nn_layer")
    said = "the workbook's in NumPy, as yours in autoencoder are in JAX: nn_layer\n"
    assert capsys.readouterr().out == said


def test_what_the_pair_writes_itself_here_is_never_replaced(pair):
    pair.at("gnn", 1)
    pair.use("nn_layer")
    assert pair.check(SENT).right
    path = pair.work / "gnn/model.py"
    path.write_text(pair.text("gnn").replace(f"{package.GIVEN}\n", ""))  # taken over by hand
    before = package.definition_of(pair.text("gnn"), "nn_layer")
    pair.at("gnn", 5)
    assert pair.check(SUMS).right
    assert package.definition_of(pair.text("gnn"), "nn_layer") == before


def test_vocabulary_is_no_exercise(pair):
    pair.at("gnn", 1)
    with pytest.raises(WorkbookError, match="is no exercise of this track: it comes from auto"):
        pair.check(OURS)
    verdict = pair.check(SENT)
    assert not verdict.right and "this track does not ask for one" in verdict.headline


def test_the_loop_comes_along_with_their_steps(pair, capsys):
    pair.at("autoencoder", 5)
    pair.use("train")
    assert capsys.readouterr().out == "the workbook's: train\n"
    given = package.source_of_piece(pair.track.given(pair.track.piece("adam_steps")))
    assert pair.check(given.replace('"""Take', '"""Ours: take')).right
    text = pair.text("autoencoder", "training")
    assert f"{package.GIVEN}\ndef train(" in text and f"{package.GIVEN}\ndef not_finite(" in text
    assert f"{package.GIVEN}\ndef adam_steps(" not in text
    pair.at("gnn", 5)
    pair.use("train", "adam_steps")
    train = pair.notebook["train"]
    assert train.__globals__["adam_steps"].__doc__.startswith("Ours: take")
    out = capsys.readouterr().out
    assert out == "yours, from autoencoder: adam_steps\nthe workbook's: train\n"


def test_vocabulary_is_listed_apart(pair):
    pair.at("gnn", 1)
    assert [piece.name for piece in pair.track.pieces if piece.from_track] == []
    lent = {"nn_layer", "mse_loss", "adam_steps", "train"}
    assert set(pair.track.vocabulary) == {*lent, "conformal_threshold", "paired_difference"}


def test_a_model_in_numpy_still_is_not_used_where_gradients_are_asked(tmp_path, capsys):
    track = Track("gnn", 5)
    store = Store(track, tmp_path / "gnn")
    texts = track.given_texts(in_jax=True)
    call = 'nn_layer(layer["weight"].T, nodes + received, layer["bias"], "tanh")'
    in_numpy = 'np.tanh((nodes + received) @ layer["weight"].T + layer["bias"])'
    assert call in texts["model"]
    model = "import numpy as np\n" + texts["model"].replace(call, in_numpy)
    package.write_texts(store.folder, {**texts, "model": model}, {})
    Workbook(store).use("message_passing", "gnn_model", "readout")
    assert capsys.readouterr().out.splitlines() == [
        "yours: readout",
        "the workbook's, until yours can be differentiated: message_passing, gnn_model",
    ]
    piece = track.piece("message_passing")
    verdict = judge_piece(track, piece, store.saved(piece))
    assert verdict.headline.startswith(
        "right, but not yet in JAX, where it is to be differentiated"
    )
