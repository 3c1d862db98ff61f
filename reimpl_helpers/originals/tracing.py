"""Run an original in PyTorch, and note what it computes: how recordings are made.

A function mode sees each operation, module hooks know which module runs it, and the position in
the calling frame's code tells which expression of the original it is.
"""

import ast
import inspect
import linecache
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from reimpl_helpers.originals.recording import Operation, Probe

# These hand a number to Python, where no further operation of it is seen.
LEAVING = {"item", "tolist", "__bool__", "__int__", "__float__", "__index__"}


def load_original(path: Path) -> ModuleType:
    """Run an original's file and return it as a module. It is code: run only what you trust."""
    path = Path(path)
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), vars(module))
    return module


def trace(module, *inputs, source: Path, names: tuple[str, ...] | None = None) -> list[Operation]:
    """Run a PyTorch module and list its operations, values included, in the order they ran.

    Args:
        source: the file that defines the module; expressions are those of this file.
        names: what the inputs are called in the list; else the names of forward's arguments.

    Raises: whatever forward raises; the error's `operations` are those that ran before it.
    """
    return _run(module, inputs, source, names)[1]


def _run(module, inputs, source, names=None) -> tuple[Any, list[Operation]]:
    """Run a module under a tracer; return its output as well."""
    tracer = _Tracer(module, source)
    names = names or tuple(inspect.signature(module.forward).parameters)
    for name, value in zip(names, inputs, strict=False):
        tracer.name(name, value)
    try:
        with tracer.watching(module):
            output = module(*inputs)
    except Exception as error:
        error.operations = tracer.operations
        raise
    return output, tracer.operations


class _Tracer:
    """Note every operation that PyTorch runs while a module is watched."""

    def __init__(self, module, source: Path):
        self.source = _Source(source)
        self.operations: list[Operation] = []
        self.frames: list[FrameType | None] = []  # of each operation: where in the original
        self.running: list[tuple[str, FrameType | None, int]] = []  # the modules being called
        self.names: dict[int, str] = {}  # by the id of a tensor
        self.kept: list = []  # every tensor named, so that no id is used again
        for path, part in module.named_modules():
            for attribute, value in vars(part).items():
                if not attribute.startswith("_"):
                    self.name(f"{path}.{attribute}".lstrip("."), value)
        for name, tensor in (*module.named_buffers(), *module.named_parameters()):
            self.name(name, tensor)

    def name(self, name: str, value) -> None:
        """Give the tensors within a value the name that operations reading them will state."""
        for place, tensor in _tensors(value):
            self.names[id(tensor)] = name + place
            self.kept.append(tensor)

    @contextmanager
    def watching(self, module):
        """Note what runs inside the `with`."""
        from torch.overrides import TorchFunctionMode

        tracer = self

        class Mode(TorchFunctionMode):
            def __torch_function__(self, func, types, args=(), kwargs=None):
                result = func(*args, **(kwargs or {}))
                tracer.note(func, (args, kwargs), result)
                return result

        with ExitStack() as hooks:
            for path, part in module.named_modules():
                enter = part.register_forward_pre_hook(partial(self.enter, path))
                leave = part.register_forward_hook(self.leave, always_call=True)
                hooks.callback(enter.remove)
                hooks.callback(leave.remove)
            with Mode():
                yield

    def enter(self, path: str, part, inputs) -> None:
        """Note that a module is called."""
        self.running.append((path, self.source.innermost(), len(self.operations)))

    def leave(self, part, inputs, output) -> None:
        """Note that a module is done; what it ran on the way is not what its call gave."""
        _, caller, first = self.running.pop()
        given = {self.names.get(id(tensor), "").split(".")[0] for _, tensor in _tensors(output)}
        for index in range(first, len(self.operations)):
            if self.frames[index] is caller and f"#{index}" not in given:
                self.operations[index] = replace(self.operations[index], variable=None)

    def note(self, func, arguments, result) -> None:
        """Note an operation, unless it only reads what is known without computing."""
        label = _label(func)
        if label == "Tensor.__setitem__":
            result = arguments[0][0]
        outputs = [tensor for _, tensor in _tensors(result)]
        values = [_copied(tensor) for tensor in outputs]
        if label.removeprefix("Tensor.") in LEAVING:
            values = [np.asarray(result)]
        if not values:
            return
        index, frame = len(self.operations), self.source.innermost()
        place = self.source.place(frame) if frame else Place("", 0, "", None)
        inputs = (self.names.get(id(tensor), "constant") for _, tensor in _tensors(arguments))
        path = self.running[-1][0] if self.running else ""
        self.operations.append(
            Operation(index, label, path, *place, inputs=tuple(inputs), values=tuple(values))
        )
        self.frames.append(frame)
        for k, tensor in enumerate(outputs):
            self.name(f"#{index}" if len(outputs) == 1 else f"#{index}.{k}", tensor)


class Place(NamedTuple):
    """Where an operation stands in an original."""

    function: str
    line: int
    expression: str
    variable: str | None


class _Source:
    """An original's text, in which a frame being run finds its place."""

    def __init__(self, path: Path):
        linecache.checkcache(str(path))
        self.text = "".join(linecache.getlines(str(path)))  # knows the cells of a notebook too
        self.filename = os.path.realpath(path)
        nodes = list(ast.walk(ast.parse(self.text)))
        self.nodes = [node for node in nodes if hasattr(node, "lineno")]
        self.parents = {child: node for node in nodes for child in ast.iter_child_nodes(node)}
        self.places: dict[tuple[CodeType, int], Place] = {}  # a look-up takes long: once each
        self.is_here: dict[str, bool] = {}  # by the file name of a frame's code

    def innermost(self) -> FrameType | None:
        """Find the frame that runs the original: of several, the one called last."""
        frame = sys._getframe(1)
        while frame and not self._holds(frame.f_code.co_filename):
            frame = frame.f_back
        return frame

    def _holds(self, filename: str) -> bool:
        if filename not in self.is_here:
            self.is_here[filename] = os.path.realpath(filename) == self.filename
        return self.is_here[filename]

    def place(self, frame: FrameType) -> Place:
        """Say what a frame is running."""
        key = (frame.f_code, frame.f_lasti)
        if key not in self.places:
            position = next(islice(frame.f_code.co_positions(), frame.f_lasti // 2, None))
            self.places[key] = self._look_up(*position)
        return self.places[key]

    def _look_up(self, line: int, end_line: int, start: int, end: int) -> Place:
        """Find the smallest piece of the text that has a position in it."""
        node = [
            node
            for node in self.nodes
            if (node.lineno, node.col_offset) <= (line, start)
            and (end_line, end) <= (node.end_lineno, node.end_col_offset)
        ][-1]  # they are nested, and come outermost first
        if isinstance(getattr(node, "ctx", None), ast.Store):
            node = self.parents[node]  # x[0] = y: the operation is the assignment
        node = _head(node)
        function = node
        while function and not isinstance(function, ast.FunctionDef):
            function = self.parents.get(function)
        name = function.name if function else ""
        return Place(name, node.lineno, self._written(node), self._variable(node))

    def _variable(self, node: ast.AST) -> str | None:
        """Name what an expression, or an assignment in place, is assigned to."""
        parent = self.parents.get(node)
        for assignment in (node, parent):
            if isinstance(assignment, ast.Assign):
                return self._written(assignment.targets[0])
        if isinstance(node, ast.AugAssign):
            return self._written(node.target)
        if isinstance(parent, ast.AnnAssign | ast.NamedExpr):
            return self._written(parent.target)
        return None

    def _written(self, node: ast.AST) -> str:
        """Give the text of a piece, on one line."""
        text = ast.get_source_segment(self.text, node)
        return ast.unparse(node) if "\n" in text else text


def _head(node: ast.AST) -> ast.AST:
    """Narrow a loop to what it runs over, and a condition to its test."""
    node = getattr(node, "generators", [node])[0]
    return getattr(node, "iter", getattr(node, "test", node))


def _label(func) -> str:
    """Name an operation as PyTorch's documentation does, but for the long prefixes."""
    from torch.overrides import resolve_name

    name = resolve_name(func) or func.__name__
    for prefix in ("torch.", "nn.functional.", "functional."):
        name = name.removeprefix(prefix)
    return name.removesuffix(".__get__")


def _tensors(value, place: str = "") -> Iterator[tuple[str, Any]]:
    """Find the tensors in nested lists, tuples and dicts, each with its place: "[0]['mask']"."""
    from torch import Tensor

    if isinstance(value, Tensor):
        yield place, value
    elif isinstance(value, dict | list | tuple):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _tensors(part, f"{place}[{key!r}]")


def _copied(tensor) -> np.ndarray:
    """Copy a tensor's values, as a later operation may change it in place."""
    return np.array(tensor.detach().cpu().numpy(), order="C")


# --- recording an original


def load_params(module, params: dict[str, np.ndarray]) -> None:
    """Give a PyTorch module the parameters of a recording."""
    import torch

    module.load_state_dict({name: torch.tensor(value) for name, value in params.items()})


def params_of(module) -> dict[str, np.ndarray]:
    """Copy a PyTorch module's parameters, by state_dict name."""
    return {name: _copied(value) for name, value in module.state_dict().items()}


def record_probe(
    module,
    *,
    name: str,
    why: str,
    sizes: dict[str, int],
    inputs: dict[str, np.ndarray],
    target: np.ndarray,
    loss: Callable,
    parts: Callable,
    source: Path,
) -> Probe:
    """Run a PyTorch module on a probe, and keep everything it computes.

    Args:
        inputs: the arguments of forward, in its order.
        loss: gives the loss from the output and the target.
        parts: gives a dict of further results from the module and its inputs.

    Raises: ValueError when the module reads a tensor that a recording would not hold.
    """
    import torch

    tensors = [torch.tensor(value) for value in inputs.values()]
    output, operations = _run(module, tensors, source, tuple(inputs))
    _require_known(operations, {*inputs, *module.state_dict()})
    value = loss(output, torch.tensor(target))
    params = dict(module.named_parameters())
    gradients = torch.autograd.grad(value, params.values(), materialize_grads=True)
    results = {**parts(module, *tensors), "forward": output}
    return Probe(
        name=name,
        why=why,
        sizes=sizes,
        params=params_of(module),
        inputs=inputs,
        target=target,
        operations=tuple(operations),
        results={key: _copied(result) for key, result in results.items()},
        loss=value.item(),
        gradients={key: _copied(g) for key, g in zip(params, gradients, strict=True)},
    )


def _require_known(operations: list[Operation], known: set[str]) -> None:
    """Make sure that everything the operations read can be found in a recording."""
    for operation in operations:
        for name in operation.inputs:
            if name not in known and not name.startswith("#"):
                raise ValueError(
                    f"{name!r}, read on line {operation.line} by {operation.expression}, is "
                    "neither an input nor in the state_dict, so a recording would not hold it. "
                    "What to do: make it a parameter, or a buffer with register_buffer()."
                )


def adam_losses(
    module, x, y: np.ndarray, *, loss: Callable, learning_rate: float, steps: int = 20
) -> np.ndarray:
    """Train a PyTorch module with Adam on one batch, and give the loss that each step starts from.

    The module's parameters change. `x` is an array, or a dict of them in forward's order.

    Shapes: -> (steps,)
    """
    import torch

    inputs = [torch.tensor(part) for part in (x.values() if isinstance(x, dict) else [x])]
    target, losses = torch.tensor(y), []
    optimizer = torch.optim.Adam(module.parameters(), lr=learning_rate)
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss(module(*inputs), target)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return np.array(losses)


def initial_quantiles(build: Callable, values: int = 100_000) -> dict[str, np.ndarray]:
    """Say how a PyTorch module's fresh parameters are distributed.

    Args:
        build: makes a fresh module.
        values: at least so many are pooled for each parameter, from as many modules as it takes.

    Shapes: -> by name, (257,): evenly spaced quantiles, the smallest and largest value included
    """
    pools: dict[str, list[np.ndarray]] = {name: [] for name in params_of(build())}
    wanting = set(pools)
    while wanting:
        fresh = params_of(build())
        for name in wanting:
            pools[name].append(fresh[name].ravel())
        wanting = {name for name in wanting if len(pools[name]) * fresh[name].size < values}
    points = np.linspace(0, 1, 257)
    return {name: np.quantile(np.concatenate(pool), points) for name, pool in pools.items()}
