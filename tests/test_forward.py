"""Reading an original's source, and the table of its operations."""

from dataclasses import replace

import numpy as np
import pytest

from reimpl_helpers.base.places import NOTEBOOKS
from reimpl_helpers.forward import operation_table, source_of
from reimpl_helpers.originals.recording import Operation, read_recording

AUTOENCODER = NOTEBOOKS / "autoencoder"


# --- source_of


def test_source_has_line_numbers_and_no_indent():
    text = source_of(AUTOENCODER / "original.py", "encoder")
    lines = (AUTOENCODER / "original.py").read_text().splitlines()
    for row in text.splitlines():
        assert lines[int(row[:4]) - 1].strip() == row[6:].strip()
    assert text.splitlines()[0][4:] == "  def encoder(self, x):"
    assert text.splitlines()[-1].endswith("return torch.tanh(self.enc_code(hidden))")


def test_source_includes_decorators_and_tells_classes_apart(tmp_path):
    path = tmp_path / "original.py"
    path.write_text(
        "class A:\n    @staticmethod\n    def f():\n        def inner(): pass\n\n"
        "class B:\n    def f(self):\n        return 'ä'\n",
        encoding="utf-8",
    )
    assert source_of(path, "A.f").splitlines()[:2] == ["   2  @staticmethod", "   3  def f():"]
    assert source_of(path, "B.f") == "   7  def f(self):\n   8      return 'ä'"
    with pytest.raises(LookupError, match="has 2 functions 'f'. Ask for one of: A.f, .*, B.f"):
        source_of(path, "f")


@pytest.mark.parametrize("name", ["encode", "coder", "", "Autoencoder", "x.encoder"])
def test_source_of_no_function_lists_those_there_are(name):
    with pytest.raises(LookupError, match="original.py has .* Autoencoder.encoder, "):
        source_of(AUTOENCODER / "original.py", name)


# --- operation_table


@pytest.fixture(scope="module")
def ordinary():
    return read_recording(AUTOENCODER / "recording.safetensors").probes["ordinary"]


def test_table_as_text(ordinary):
    table = repr(operation_table(ordinary)).splitlines()
    assert len(table) == 2 + len(ordinary.operations)
    header = ("line", "PyTorch op", "expression", "reads", "gives", "NumPy")
    starts = [table[0].index(word) for word in header]
    for row, operation in zip(table[2:], ordinary.operations, strict=True):
        cells = [row[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)]
        assert cells[:3] == [str(operation.line), operation.op, operation.expression]
        assert cells[5] == "yours to say"
    assert table[2].split("  ")[-3:] == [
        "(batch 5, pixels 64), (hidden 32, pixels 64), (hidden 32)",
        "(batch 5, hidden 32)",
        "yours to say",
    ]


def test_table_shows_counterparts_once_told(ordinary):
    told = operation_table(ordinary, {"relu": "np.maximum(x, 0) < 1"})
    for op, *_, counterpart in (row[1:] for row in told.rows()):
        assert counterpart == ("np.maximum(x, 0) < 1" if op == "relu" else "yours to say")
    assert "np.maximum(x, 0) < 1" in repr(told)
    assert "np.maximum(x, 0) &lt; 1" in told._repr_html_()


def test_table_as_html_has_every_cell_and_no_fixed_colour(ordinary):
    table = operation_table(ordinary)
    text = table._repr_html_().replace(")<br>(", "), (")
    assert text.count("<tr") == 1 + len(ordinary.operations)
    assert all(f">{cell}</td>" in text for row in table.rows() for cell in row)
    assert "#" not in text and "color: white" not in text and "black" not in text


def test_table_of_several_outputs(ordinary):
    x, half = np.zeros((2, 6)), np.zeros((2, 3))
    operations = (
        Operation(0, "chunk", "", "f", 1, "x.chunk(2)", "a, b", ("x",), (half, half)),
        Operation(1, "max", "", "f", 2, "b.max(0)", "m", ("#0.1",), (half[0], np.array(1))),
    )
    sizes = {"batch": 2, "hidden": 3, "pixels": 6}
    probe = replace(ordinary, sizes=sizes, inputs={"x": x}, operations=operations)
    rows = operation_table(probe).rows()
    assert rows[0][3:5] == ("(batch 2, pixels 6)", "2 times (batch 2, hidden 3)")
    assert rows[1][3:5] == ("(batch 2, hidden 3)", "(hidden 3), ()")
