"""Tracing an original in PyTorch, and recording what it computes."""

import linecache
import textwrap

import numpy as np
import pytest

from reimpl_helpers.base.places import NOTEBOOKS
from reimpl_helpers.originals.tracing import (
    adam_losses,
    initial_quantiles,
    load_original,
    load_params,
    params_of,
    record_probe,
    trace,
)

AUTOENCODER = NOTEBOOKS / "autoencoder"


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="tracing needs PyTorch: the extra `torch`")


@pytest.fixture
def original(tmp_path, torch):
    """Write an original's file and load it: original(text) gives its module and its path."""

    def write(text):
        path = tmp_path / "original.py"
        path.write_text("import torch\nfrom torch import nn\n" + textwrap.dedent(text))
        torch.manual_seed(0)
        return load_original(path), path

    return write


def columns(operations, *names):
    """Give the named fields of each operation."""
    return [tuple(getattr(operation, name) for name in names) for operation in operations]


def test_trace_of_the_autoencoder(torch):
    path = AUTOENCODER / "original.py"
    model = load_original(path).Autoencoder(7, 5, 3)
    operations = trace(model, torch.rand(4, 7), source=path)
    first = path.read_text().splitlines().index("        hidden = torch.relu(self.enc_hidden(x))")
    assert columns(operations, "index", "op", "module", "function", "variable", "shapes") == [
        (0, "linear", "enc_hidden", "encoder", None, ((4, 5),)),
        (1, "relu", "", "encoder", "hidden", ((4, 5),)),
        (2, "linear", "enc_code", "encoder", None, ((4, 3),)),
        (3, "tanh", "", "encoder", None, ((4, 3),)),
        (4, "linear", "dec_hidden", "decoder", None, ((4, 5),)),
        (5, "relu", "", "decoder", "hidden", ((4, 5),)),
        (6, "linear", "dec_pixels", "decoder", None, ((4, 7),)),
        (7, "sigmoid", "", "decoder", None, ((4, 7),)),
    ]
    assert columns(operations[:4], "line", "expression", "inputs") == [
        (first + 1, "self.enc_hidden(x)", ("x", "enc_hidden.weight", "enc_hidden.bias")),
        (first + 1, "torch.relu(self.enc_hidden(x))", ("#0",)),
        (first + 2, "self.enc_code(hidden)", ("#1", "enc_code.weight", "enc_code.bias")),
        (first + 2, "torch.tanh(self.enc_code(hidden))", ("#2",)),
    ]


LOOP = """
    class Cell(nn.Module):
        def __init__(self):
            super().__init__()
            self.wx = nn.Parameter(torch.randn(3, 8))
            self.wh = nn.Parameter(torch.randn(2, 8))

        def forward(self, x, h, c):
            z = x @ self.wx + torch.matmul(h, self.wh)
            i, f, o, u = torch.chunk(z, 4, dim=-1)
            c = f.sigmoid() * c + i.sigmoid() * u.tanh()
            return o.sigmoid() * c.tanh(), c

    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = Cell()

        def forward(self, xs, mask):
            h = c = xs.new_zeros(len(xs), 2)
            states = torch.zeros(xs.size(0), xs.size(1), 2, dtype=xs.dtype)
            for t, x in enumerate(xs.unbind(1)):
                h, c = self.cell(x, h, c)
                h = h.masked_fill(mask[:, t, None], 0.0)
                states[:, t] = h
            return states
"""


def replay(operations, known, compute):
    """Compute each operation again from what it says it read, and hold it to what it gave."""
    known = dict(known)
    for operation in operations:
        given = compute[operation.op](*(known[name] for name in operation.inputs))
        given = given if isinstance(given, list) else [given]
        for k, (value, other) in enumerate(zip(operation.values, given, strict=True)):
            np.testing.assert_allclose(value, other, rtol=1e-12, err_msg=repr(operation))
            known[f"#{operation.index}" + f".{k}" * (len(given) > 1)] = value


def test_loop_over_time_can_be_computed_again_from_its_trace(original, torch):
    module, path = original(LOOP)
    model, xs = module.Loop().double(), torch.randn(2, 5, 3).double()
    mask = torch.tensor([[0, 0, 0, 1, 1], [0, 0, 0, 0, 1]]).bool()
    operations = trace(model, xs, mask, source=path)
    steps, columns_of_mask = iter(range(5)), iter(range(5))

    def set_step(states, h):
        states = states.copy()
        states[:, next(steps)] = h
        return states

    compute = {
        "Tensor.new_zeros": lambda xs: np.zeros((2, 2)),
        "zeros": lambda: np.zeros((2, 5, 2)),
        "Tensor.unbind": lambda xs: list(xs.swapaxes(0, 1)),
        "Tensor.matmul": np.matmul,
        "matmul": np.matmul,
        "Tensor.add": np.add,
        "Tensor.mul": np.multiply,
        "chunk": lambda z: np.split(z, 4, axis=-1),
        "Tensor.sigmoid": lambda z: 1 / (1 + np.exp(-z)),
        "Tensor.tanh": np.tanh,
        "Tensor.__getitem__": lambda mask: mask[:, next(columns_of_mask), None],
        "Tensor.masked_fill": lambda h, mask: np.where(mask, 0, h),
        "Tensor.__setitem__": set_step,
    }
    replay(operations, {"xs": xs.numpy(), "mask": mask.numpy(), **params_of(model)}, compute)
    np.testing.assert_array_equal(operations[-1].values[0], model(xs, mask).detach().numpy())


def test_several_outputs_and_loops_in_the_words_of_the_source(original, torch):
    module, path = original(LOOP)
    operations = trace(module.Loop(), torch.randn(2, 4, 3), torch.zeros(2, 4).bool(), source=path)
    chunks = [operation for operation in operations if operation.op == "chunk"]
    assert len(chunks) == 4
    expected = ("cell", "forward", "torch.chunk(z, 4, dim=-1)", "i, f, o, u", ((2, 2),) * 4)
    assert {*columns(chunks, "module", "function", "expression", "variable", "shapes")} == {
        expected
    }
    after = operations[chunks[0].index + 1 :]
    assert after[0].expression == "f.sigmoid()" and after[0].inputs == (f"#{chunks[0].index}.1",)
    assert after[2].expression == "i.sigmoid()" and after[2].inputs == (f"#{chunks[0].index}.0",)
    kept = [operation for operation in operations if operation.op == "Tensor.__setitem__"]
    assert {(o.expression, o.variable) for o in kept} == {("states[:, t] = h", "states[:, t]")}
    assert [o.inputs[0] for o in kept[1:]] == [f"#{o.index}" for o in kept[:-1]]
    assert operations[0].variable == "h"


def test_values_before_a_change_in_place_are_kept(original, torch):
    module, path = original("""
        class InPlace(nn.Module):
            def forward(self, x):
                a = x * 2
                a += 1
                a.mul_(3)
                a[0] = 0
                a[1] += a[2]
                torch.add(a, x, out=a)
                return a - x
    """)
    operations = trace(module.InPlace(), torch.ones(3), source=path)
    rows = columns(operations, "op", "expression", "variable", "inputs")
    assert rows == [
        ("Tensor.mul", "x * 2", "a", ("x",)),
        ("Tensor.add_", "a += 1", "a", ("#0",)),
        ("Tensor.mul_", "a.mul_(3)", None, ("#1",)),
        ("Tensor.__setitem__", "a[0] = 0", "a[0]", ("#2",)),
        ("Tensor.__getitem__", "a[1] += a[2]", "a[1]", ("#3",)),
        ("Tensor.__getitem__", "a[2]", None, ("#3",)),
        ("Tensor.add_", "a[1] += a[2]", "a[1]", ("#4", "#5")),
        ("Tensor.__setitem__", "a[1] += a[2]", "a[1]", ("#3", "#6")),
        ("add", "torch.add(a, x, out=a)", None, ("#7", "x", "#7")),
        ("Tensor.sub", "a - x", None, ("#8", "x")),
    ]
    values = [operation.values[0].tolist() for operation in operations]
    assert values == [
        [2, 2, 2],
        [3, 3, 3],
        [9, 9, 9],
        [0, 9, 9],
        9,
        9,
        18,
        [0, 18, 9],
        [1, 19, 10],
        [0, 18, 9],
    ]


def test_graph_with_integer_and_boolean_inputs_in_a_dict(original, torch):
    module, path = original("""
        class Graph(nn.Module):
            def __init__(self):
                super().__init__()
                self.message = nn.Linear(3, 2)
                self.scale = torch.tensor(2.0)

            def forward(self, nodes, edges):
                messages = self.message(nodes)[edges["senders"]] * self.scale
                sums = torch.zeros(4, 2).index_add(0, edges["receivers"], messages)
                return sums[edges["keep"]].T
    """)
    model, nodes = module.Graph(), torch.randn(4, 3)
    edges = {
        "senders": torch.tensor([0, 1, 3]),
        "receivers": torch.tensor([2, 2, 0]),
        "keep": torch.tensor([True, False, True, True]),
    }
    operations = trace(model, nodes, edges, source=path)
    assert columns(operations, "op", "module", "inputs", "variable") == [
        ("linear", "message", ("nodes", "message.weight", "message.bias"), None),
        ("Tensor.__getitem__", "", ("#0", "edges['senders']"), None),
        ("Tensor.mul", "", ("#1", "scale"), "messages"),
        ("zeros", "", (), None),
        ("Tensor.index_add", "", ("#3", "edges['receivers']", "#2"), "sums"),
        ("Tensor.__getitem__", "", ("#4", "edges['keep']"), None),
        ("Tensor.T", "", ("#5",), None),
    ]
    sums = np.zeros((4, 2))
    np.add.at(sums, [2, 2, 0], operations[2].values[0])
    np.testing.assert_allclose(operations[4].values[0], sums, rtol=1e-6)
    assert operations[6].values[0].flags.c_contiguous


def test_transformer_layer_is_told_by_its_modules(original, torch):
    module, path = original("""
        class Encoder(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
                self.head = nn.Sequential(nn.Linear(4, 3), nn.ReLU())

            def forward(self, tokens, padding):
                y = self.layer(tokens, src_key_padding_mask=padding)
                heads = [self.head(row) for row in y]
                return torch.stack(heads)
    """)
    model = module.Encoder().eval()
    tokens, padding = torch.randn(2, 3, 4), torch.tensor([[0, 0, 1], [0, 0, 0]]).bool()
    operations = trace(model, tokens, padding, source=path)
    layer = [operation for operation in operations if operation.module.startswith("layer")]
    assert {o.expression for o in layer} == {"self.layer(tokens, src_key_padding_mask=padding)"}
    assert [o.variable for o in layer] == [None] * (len(layer) - 1) + ["y"]
    by_op = {operation.op: operation for operation in layer}
    assert by_op["multi_head_attention_forward"].module == "layer.self_attn"
    assert by_op["layer_norm"].module == "layer.norm2"
    heads = operations[len(layer) :]
    assert columns(heads, "op", "module", "function", "expression")[:3] == [
        ("Tensor.unbind", "", "forward", "y"),
        ("linear", "head.0", "forward", "self.head(row)"),
        ("relu", "head.1", "forward", "self.head(row)"),
    ]
    assert heads[-1].inputs == (f"#{heads[2].index}", f"#{heads[4].index}")
    assert "constant" not in {name for operation in operations for name in operation.inputs}
    np.testing.assert_allclose(
        heads[-1].values[0], model(tokens, padding).detach().numpy(), rtol=1e-5
    )


def test_numbers_handed_to_python_are_kept_and_mere_reads_are_not(original, torch):
    module, path = original("""
        class Leaves(nn.Module):
            def forward(self, x):
                if x.dim() == 2 and x.shape[0] == x.size(0) and x.dtype.is_floating_point:
                    if (x > 0).any():
                        return x * x.max().item() + int(x.sum())
    """)
    operations = trace(module.Leaves(), torch.ones(2, 3), source=path)
    assert columns(operations, "op", "expression") == [
        ("Tensor.gt", "x > 0"),
        ("Tensor.any", "(x > 0).any()"),
        ("Tensor.__bool__", "(x > 0).any()"),
        ("Tensor.max", "x.max()"),
        ("Tensor.item", "x.max().item()"),
        ("Tensor.mul", "x * x.max().item()"),
        ("Tensor.sum", "x.sum()"),
        ("Tensor.__int__", "int(x.sum())"),
        ("Tensor.add", "x * x.max().item() + int(x.sum())"),
    ]
    assert [
        float(o.values[0]) for o in operations if o.op in ("Tensor.item", "Tensor.__int__")
    ] == [
        1,
        6,
    ]


def test_expressions_over_several_lines_and_with_other_letters(original, torch):
    module, path = original("""
        class Chain(nn.Module):
            def forward(self, x):
                größe = (x  # ü
                    .relu()
                    .sum(
                        dim=0,  # a comment
                    ))
                if (y := größe.exp()) is not None: z = torch.stack([y, größe])
                return z
    """)
    operations = trace(module.Chain(), torch.ones(2, 3), source=path)
    assert columns(operations, "line", "expression", "variable") == [
        (6, "x.relu()", None),
        (6, "x.relu().sum(dim=0)", "größe"),
        (11, "größe.exp()", "y"),
        (11, "torch.stack([y, größe])", "z"),
    ]


def test_operations_before_an_error_are_there_to_be_shown(original, torch):
    module, path = original("""
        class Broken(nn.Module):
            def __init__(self):
                super().__init__()
                self.wide = nn.Linear(3, 5)
                self.wrong = nn.Linear(4, 2)

            def forward(self, x):
                h = torch.relu(self.wide(x))
                return self.wrong(h)
    """)
    model = module.Broken()
    with pytest.raises(RuntimeError, match="mat1 and mat2") as caught:
        trace(model, torch.ones(2, 3), source=path)
    assert columns(caught.value.operations, "op", "variable") == [("linear", None), ("relu", "h")]
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
    with pytest.raises(RuntimeError) as again:
        trace(model, torch.ones(2, 3), source=path)
    assert columns(again.value.operations, "module") == [("wide",), ("",)]


def test_a_module_that_raises_and_is_caught_is_done(original, torch):
    module, path = original("""
        class Careful(nn.Module):
            def __init__(self):
                super().__init__()
                self.wrong = nn.Linear(4, 2)

            def forward(self, x):
                try:
                    return self.wrong(x)
                except RuntimeError:
                    return x.relu()
    """)
    operations = trace(module.Careful(), torch.ones(2, 3), source=path)
    assert columns(operations, "op", "module") == [("Tensor.relu", "")]


def test_a_tensor_that_came_unseen_is_not_taken_for_another(original, torch):
    module, path = original("""
        class Unseen(nn.Module):
            def forward(self, x):
                for _ in range(20):
                    seen = x + 1
                    del seen
                    with torch._C.DisableTorchFunction():
                        unseen = x * 2
                    y = unseen - 1
                return y
    """)
    operations = trace(module.Unseen(), torch.ones(3), source=path)
    assert len(operations) == 40
    assert {o.inputs for o in operations if o.op == "Tensor.sub"} == {("constant",)}


def test_a_file_that_changed_is_read_again(original, torch):
    for expression in ("x + 1", "x - 100"):
        module, path = original(f"""
            class Changing(nn.Module):
                def forward(self, x):
                    return {expression}
        """)
        (operation,) = trace(module.Changing(), torch.ones(3), source=path)
        assert operation.expression == expression


def test_tracing_changes_nothing(original, torch):
    module, path = original(LOOP)
    model, xs, mask = module.Loop(), torch.randn(2, 3, 3), torch.zeros(2, 3).bool()
    before, params = model(xs, mask), params_of(model)
    one, other = (trace(model, xs, mask, source=path) for _ in range(2))
    assert torch.equal(before, model(xs, mask))
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
    assert all(np.array_equal(params[name], value) for name, value in params_of(model).items())
    for left, right in zip(one, other, strict=True):
        assert left.inputs == right.inputs
        assert all(map(np.array_equal, left.values, right.values))


def test_inputs_are_called_as_forward_calls_them_or_as_told(original, torch):
    module, path = original("""
        class Sum(nn.Module):
            def forward(self, *parts):
                return parts[0] + parts[1][0]
    """)
    inputs = torch.ones(2), (torch.ones(2),)
    (operation,) = trace(module.Sum(), *inputs, source=path, names=("first", "second"))
    assert operation.inputs == ("first", "second[0]")


def test_a_call_into_another_file_is_told_by_the_call(original, torch, tmp_path):
    (tmp_path / "aside.py").write_text("def double_then_add(x):\n    return 2 * x + x\n")
    module, path = original(f"""
        import importlib.util
        spec = importlib.util.spec_from_file_location("aside", {str(tmp_path / "aside.py")!r})
        aside = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(aside)

        class Calls(nn.Module):
            def forward(self, x):
                return aside.double_then_add(x).relu()
    """)
    operations = trace(module.Calls(), torch.ones(2), source=path)
    assert columns(operations, "op", "expression") == [
        ("Tensor.mul", "aside.double_then_add(x)"),
        ("Tensor.add", "aside.double_then_add(x)"),
        ("Tensor.relu", "aside.double_then_add(x).relu()"),
    ]


def test_a_module_of_another_file_is_traced_without_a_place(torch):
    path = AUTOENCODER / "original.py"
    (operation,) = trace(torch.nn.Linear(3, 2), torch.ones(1, 3), source=path)
    assert columns([operation], "op", "function", "line", "expression") == [("linear", "", 0, "")]
    assert operation.inputs == ("input", "weight", "bias")


def test_a_module_defined_in_a_cell_is_traced(torch):
    name = "/tmp/ipykernel_1/2.py"  # as IPython names a cell, which is no file
    text = "import torch\nclass C(torch.nn.Module):\n    def forward(self, x):\n        return -x\n"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    cell = {"__name__": "cell"}
    exec(compile(text, name, "exec"), cell)
    (operation,) = trace(cell["C"](), torch.ones(2), source=name)
    assert columns([operation], "op", "line", "expression") == [("Tensor.neg", 4, "-x")]


# --- recording


def test_gradients_are_those_of_the_loss(original, torch):
    module, path = original("""
        class Scale(nn.Module):
            def __init__(self):
                super().__init__()
                self.weight = nn.Parameter(torch.tensor([2.0, 3.0]))
                self.unused = nn.Parameter(torch.ones(1))

            def forward(self, x, mask):
                return self.weight * x * mask
    """)
    model = module.Scale().double()
    x, mask = np.array([[1.0, 2], [3, 4], [5, 6]]), np.array([[True], [False], [True]])
    probe = record_probe(
        model,
        name="p",
        why="w",
        sizes={"batch": 3},
        inputs={"x": x, "mask": mask},
        target=np.zeros((3, 2)),
        loss=lambda output, target: ((output - target) ** 2).sum(),
        parts=lambda model, x, mask: {"masked": x * mask},
        source=path,
    )
    output = np.array([2.0, 3]) * x * mask
    assert probe.loss == np.sum(output**2)
    np.testing.assert_array_equal(probe.results["forward"], output)
    np.testing.assert_array_equal(probe.results["masked"], x * mask)
    np.testing.assert_array_equal(probe.gradients["weight"], np.sum(2 * output * x * mask, axis=0))
    np.testing.assert_array_equal(probe.gradients["unused"], [0])
    assert [o.inputs for o in probe.operations] == [("weight", "x"), ("#0", "mask")]


def test_recording_refuses_a_tensor_that_it_would_not_hold(original, torch):
    module, path = original("""
        class Hidden(nn.Module):
            def __init__(self):
                super().__init__()
                self.scale = torch.tensor(2.0)

            def forward(self, x):
                return x * self.scale
    """)
    with pytest.raises(ValueError, match="'scale', read on line 10 by x \\* self.scale"):
        record_probe(
            module.Hidden(),
            name="p",
            why="w",
            sizes={"batch": 3},
            inputs={"x": np.ones(3)},
            target=np.ones(3),
            loss=torch.nn.functional.mse_loss,
            parts=lambda model, x: {},
            source=path,
        )


def test_adam_losses_start_at_the_loss_of_the_given_parameters(torch):
    def mean(output, target):
        return (output - target).square().mean()

    model, x, y = torch.nn.Linear(2, 1).double(), np.ones((3, 2)), np.zeros((3, 1))
    load_params(model, {"weight": np.array([[1.0, 2.0]]), "bias": np.array([0.5])})
    losses = adam_losses(model, x, y, loss=mean, learning_rate=0.1, steps=2)
    # Adam's first step moves every parameter by the learning rate, against its gradient.
    np.testing.assert_allclose(losses, [3.5**2, 3.2**2], rtol=1e-6)
    load_params(model, {"weight": np.array([[1.0, 2.0]]), "bias": np.array([0.5])})
    named = adam_losses(model, {"input": x}, y, loss=mean, learning_rate=0.1, steps=2)
    np.testing.assert_array_equal(named, losses)


def test_initial_quantiles_pool_many_modules(torch):
    torch.manual_seed(0)
    built = []

    def build():
        built.append(torch.nn.Linear(4, 2))
        return built[-1]

    quantiles = initial_quantiles(build, values=2000)
    assert len(built) == 1001  # two biases each, and one to learn the names
    pooled = np.concatenate([module.bias.detach().numpy() for module in built[1:]])
    assert quantiles["bias"].shape == quantiles["weight"].shape == (257,)
    assert quantiles["bias"][0] == pooled.min() and quantiles["bias"][-1] == pooled.max()
    assert quantiles["bias"][128] == pytest.approx(np.median(pooled))
    assert np.abs(quantiles["weight"] - np.linspace(-0.5, 0.5, 257)).max() < 0.05
