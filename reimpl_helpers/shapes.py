"""Follow shapes through a pair's code without computing a single value (step 2)."""

from __future__ import annotations

import html
import linecache
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

Shape = tuple[int, ...]


class Step(NamedTuple):
    """Name one operation, the shapes of the arrays it read and the shape (or shapes) it gave."""

    operation: str
    inputs: tuple[Shape, ...]
    output: Any


@dataclass(frozen=True)
class ShapeTrace:
    """Hold the steps of a run on shapes, and the shape (or tree of shapes) of its result."""

    steps: list[Step]
    result: Any


class ShapeError(ValueError):
    """Tell which operation refused which shapes and why; `steps` are the ones before it."""

    def __init__(self, operation: str, shapes: tuple[Shape, ...], reason: str):
        self.operation, self.shapes, self.reason = operation, tuple(shapes), reason
        self.steps: list[Step] = []
        super().__init__(self.named({}))

    def named(self, sizes: Mapping[str, int]) -> str:
        """Say it with the axes named that `sizes` identifies."""
        shapes = " and ".join(named_shape(shape, sizes) for shape in self.shapes)
        return f"{self.operation}{' of ' if shapes else ''}{shapes}: {self.reason}"


class NoValuesError(TypeError):
    """Tell that the code asked for a value in a run that follows shapes alone."""


def named_shape(shape: Shape, sizes: Mapping[str, int]) -> str:
    """Write a shape with each axis named whose size says which axis it is.

    Shapes: (5, 64) with sizes batch 5, pixels 64 is "(batch 5, pixels 64)"; a size that no
    axis has, or that two axes share, stays a number; a scalar is "()".
    """
    axes: dict[int, list[str]] = {}
    for axis, size in sizes.items():
        axes.setdefault(size, []).append(axis)
    names = [f"{axes[n][0]} {n}" if len(axes.get(n, ())) == 1 else str(n) for n in shape]
    return f"({', '.join(names)})"


# --- trees: dicts, lists and tuples of arrays; a tuple of integers is a shape, hence a leaf


def _is_shape(leaf: Any) -> bool:
    return isinstance(leaf, tuple) and all(
        isinstance(n, int | np.integer) and not isinstance(n, bool) for n in leaf
    )


def _is_array(leaf: Any) -> bool:
    return isinstance(getattr(leaf, "shape", None), tuple)  # a dtype's class has it as descriptor


def _map(change: Callable, tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _map(change, branch) for key, branch in tree.items()}
    if isinstance(tree, list | tuple) and not _is_shape(tree):
        branches = [_map(change, branch) for branch in tree]
        return type(tree)(*branches) if hasattr(tree, "_fields") else type(tree)(branches)
    return change(tree)


def _leaves(tree: Any) -> list:
    found: list = []
    _map(found.append, tree)
    return found


def _shapes(tree: Any) -> Any:
    """Replace arrays and numbers by their shapes."""
    return _map(
        lambda leaf: (
            tuple(leaf.shape)
            if _is_array(leaf)
            else ()
            if isinstance(leaf, int | float | complex)
            else leaf
        ),
        tree,
    )


def shape_only(tree: Any, log: list[Step] | None = None) -> Any:
    """Replace every array, and every tuple of sizes, in a tree by a ShapeOnly of that shape.

    Everything else (a string, a number, None) stays as it is.
    """
    log = [] if log is None else log

    def change(leaf):
        if _is_shape(leaf):
            return ShapeOnly(leaf, log=log)
        return ShapeOnly(leaf.shape, leaf.dtype, log) if _is_array(leaf) else leaf

    return _map(change, tree)


class ShapeOnly(np.lib.mixins.NDArrayOperatorsMixin):
    """Stand in for an array of which only shape and dtype are known.

    NumPy's functions and operators accept it and give another; nothing is computed, so sizes
    may be of any magnitude. Each operation is added to `log`.

    Raises: ShapeError where NumPy would refuse the shapes; NoValuesError where the code asks
    for a value (`if x > 0`, `float(x)`, a boolean mask as index).
    """

    def __init__(self, shape: Shape, dtype: Any = np.float64, log: list[Step] | None = None):
        self.shape = tuple(operator.index(n) for n in shape)
        if any(n < 0 for n in self.shape):
            raise ValueError(f"a shape has no negative sizes: saw {self.shape}")
        self.dtype = np.dtype(dtype)
        self.log = [] if log is None else log

    ndim = property(lambda self: len(self.shape))
    size = property(lambda self: math.prod(self.shape))
    T = property(lambda self: self._gives("transpose", (self,), self.shape[::-1], self.dtype))

    def __repr__(self) -> str:
        return f"ShapeOnly({self.shape}, {self.dtype})"

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a ShapeOnly without axes: its shape is ()")
        return self.shape[0]

    def __iter__(self) -> Iterator[ShapeOnly]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Any) -> ShapeOnly:
        parts = tuple(
            np.asarray(part) if isinstance(part, list) else part
            for part in (index if isinstance(index, tuple) else (index,))
        )
        if any(isinstance(p, ShapeOnly) or (_is_array(p) and p.shape) for p in parts):
            return self._through_jax("index", operator.getitem, (self, parts), {})
        try:  # slicing copies nothing, and no size is too big for items of zero bytes
            shape = as_strided(np.empty((), "V0"), self.shape, (0,) * self.ndim)[parts].shape
        except IndexError as error:
            raise ShapeError("index", (self.shape,), str(error)) from None
        return self._gives("index", (self,), shape, self.dtype)

    def __setitem__(self, index: Any, value: Any) -> None:
        part = self[index].shape
        given = _shape_and_dtype(value)[0]
        if _broadcast("assign", (part, given)) != part:
            raise ShapeError("assign", (part, given), "the value does not fit into the part")

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        if method != "__call__" or (ufunc.signature and ufunc is not np.matmul):
            function = _in_jax(ufunc)
            if method == "at":
                kwargs["inplace"] = False
            if method != "__call__":
                function = getattr(function, method)
            result = self._through_jax(ufunc.__name__, function, inputs, kwargs)
            return None if method == "at" else result
        known = [_shape_and_dtype(value) for value in inputs]
        dtypes = ufunc.resolve_dtypes((*(dtype for _, dtype in known), *[None] * ufunc.nout))
        rule = _matmul if ufunc is np.matmul else _broadcast
        shape = rule(ufunc.__name__, tuple(shape for shape, _ in known))
        if out is not None and _broadcast(ufunc.__name__, (shape, out[0].shape)) != out[0].shape:
            raise ShapeError(
                ufunc.__name__,
                (shape, out[0].shape),
                "the result does not fit into the array it is written to",
            )
        results = [
            self._gives(
                ufunc.__name__, inputs, out[0].shape if out else shape, kwargs.get("dtype") or dtype
            )
            for dtype in dtypes[ufunc.nin :]
        ]
        return results[0] if ufunc.nout == 1 else tuple(results)

    def __array_function__(self, function, types, args, kwargs):
        if function in (np.shape, np.ndim, np.size):
            return function._implementation(*args, **kwargs)
        return self._through_jax(function.__name__, _in_jax(function), args, kwargs)

    def _gives(self, operation: str, inputs: tuple, shape: Shape, dtype: Any) -> ShapeOnly:
        result = ShapeOnly(shape, dtype, self.log)
        self.log.append(Step(operation, _array_shapes(inputs), shape))
        return result

    def _through_jax(self, operation: str, function: Callable, args: tuple, kwargs: dict) -> Any:
        import jax

        shapes = _array_shapes((args, kwargs))
        structs, call = _abstract(lambda given, named: function(*given, **named), (args, kwargs))
        try:
            with jax.enable_x64(True):
                result = jax.eval_shape(call, *structs)
        except (jax.errors.JAXTypeError, jax.errors.JAXIndexError) as error:
            raise NoValuesError(_no_values(operation, shapes, _first_line(error))) from None
        except Exception as error:
            raise ShapeError(operation, shapes, _first_line(error)) from None
        self.log.append(Step(operation, shapes, _shapes(result)))
        return shape_only(result, self.log)

    def astype(self, dtype: Any, **_) -> ShapeOnly:
        """Change the dtype alone."""
        return self._gives("astype", (self,), self.shape, dtype)

    def reshape(self, *shape: Any, **kwargs: Any) -> ShapeOnly:
        """Do as `numpy.reshape` with a shape or with its sizes one by one."""
        return np.reshape(self, shape[0] if len(shape) == 1 else shape, **kwargs)

    def transpose(self, *axes: Any) -> ShapeOnly:
        """Do as `numpy.transpose` with a tuple of axes or with the axes one by one."""
        return np.transpose(self, axes[0] if len(axes) == 1 else axes or None)

    def flatten(self) -> ShapeOnly:
        """Do as `numpy.ravel`."""
        return np.ravel(self)


def _add_methods() -> None:
    def method(name):
        def call(self, *args, **kwargs):
            return getattr(np, name)(self, *args, **kwargs)

        call.__doc__ = f"Do as `numpy.{name}`."
        return call

    def refusal(name):
        def call(self, *args, **kwargs):
            raise NoValuesError(_no_values(name.strip("_"), (self.shape,)))

        return call

    for name in (
        "all any argmax argmin argsort clip copy cumprod cumsum dot max mean min prod "
        "ravel repeat round squeeze std sum swapaxes take var"
    ).split():
        setattr(ShapeOnly, name, method(name))
    for name in (
        "__array__ __jax_array__ __bool__ __complex__ __contains__ __float__ __index__ "
        "__int__ item tolist"
    ).split():
        setattr(ShapeOnly, name, refusal(name))


_add_methods()


def _no_values(operation: str, shapes: tuple[Shape, ...], reason: str = "") -> str:
    seen = " and ".join(map(str, shapes))
    advice = (
        "join parts with np.stack or np.concatenate instead of filling an array of zeros, and "
        "leave np.asarray out"
        if operation == "array"
        else "decide by shapes or settings (x.shape, an argument), or choose between values with "
        "np.where"
    )
    return (
        f"{operation} of {seen} needs values, and this run follows shapes only"
        f"{': ' + reason if reason else ''}. What to do: {advice}."
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]


def _array_shapes(tree: Any) -> tuple[Shape, ...]:
    return tuple(tuple(leaf.shape) for leaf in _leaves(tree) if _is_array(leaf))


def _shape_and_dtype(value: Any) -> tuple[Shape, Any]:
    if type(value) in (int, float, complex):  # NumPy lets these take the arrays' dtype
        return (), type(value)
    if not _is_array(value):
        value = np.asarray(value)
    return tuple(value.shape), np.dtype(value.dtype)


def _broadcast(operation: str, shapes: tuple[Shape, ...]) -> Shape:
    # np.broadcast_shapes refuses shapes of more items than a machine can count
    columns = [{*sizes} - {1} for sizes in zip_longest(*(s[::-1] for s in shapes), fillvalue=1)]
    if any(len(sizes) > 1 for sizes in columns):
        raise ShapeError(
            operation,
            shapes,
            "counted from the right, sizes must be equal or one of them 1. "
            "Which axis is in the wrong place, or missing?",
        )
    return tuple(sizes.pop() if sizes else 1 for sizes in columns)[::-1]


def _matmul(operation: str, shapes: tuple[Shape, ...]) -> Shape:
    first, second = shapes
    if not first or not second:
        raise ShapeError(operation, shapes, "a scalar has no axis to sum over. Is * meant?")
    summed = second[-2:][0]
    if first[-1] != summed:
        raise ShapeError(
            operation,
            shapes,
            f"the first ends with {first[-1]}, the second would need {first[-1]} where it has "
            f"{summed}. Which axis should be summed over?",
        )
    stack = _broadcast(operation, (first[:-2], second[:-2]))
    return (*stack, *first[-2:-1], *(second[-1:] if len(second) > 1 else ()))


def _in_jax(function: Callable) -> Callable:
    """Find jax.numpy's function of the same name as NumPy's."""
    import jax.numpy as found

    module = getattr(function, "__module__", None) or "numpy"
    path = [*module.split(".")[1:], function.__name__]
    for part in path:
        found = getattr(found, part, None)
    if found is None:
        raise TypeError(
            f"np.{'.'.join(path)} cannot be followed by shapes: jax.numpy has no function of that "
            "name. Write it with functions that both have; step 5 needs them as well."
        )
    return found


def _abstract(function: Callable, args: tuple) -> tuple[list, Callable]:
    """Split a call into what JAX shall know by shape only and a function of these."""
    import jax

    structs = [
        jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
        for leaf in _leaves(args)
        if isinstance(leaf, ShapeOnly)
    ]

    def call(*arrays):
        given = iter(arrays)
        return function(
            *_map(lambda leaf: next(given) if isinstance(leaf, ShapeOnly) else leaf, args)
        )

    return structs, call


def shape_trace(function: Callable, *args: Any) -> ShapeTrace:
    """Run a function, written with NumPy or with JAX, on shapes alone.

    Shapes: each argument is an array, a tuple of sizes, or a tree (dict, list, tuple) of them;
    anything else is passed on as it is.
    Raises: ShapeError naming the operation and the shapes that do not go together;
    NoValuesError where the code asks for a value; whatever else the function raises.
    """
    log: list[Step] = []
    given = tuple(shape_only(argument, log) for argument in args)
    try:
        return ShapeTrace(log, _shapes(function(*given)))
    except ShapeError as error:
        error.steps = log
        raise
    except (TypeError, ValueError) as error:
        if "jax_array" in str(error):  # JAX asked ShapeOnly for its __jax_array__
            return _trace_jax(function, given)
        if isinstance(error.__cause__, NoValuesError):  # NumPy hides it behind its own words
            raise error.__cause__ from None
        raise


def _trace_jax(function: Callable, given: tuple) -> ShapeTrace:
    """Trace a function of JAX arrays by JAX's own means."""
    import jax

    structs, call = _abstract(function, given)
    try:
        with jax.enable_x64(True):
            jaxpr, result = jax.make_jaxpr(call, return_shape=True)(*structs)
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError) as error:
        raise NoValuesError(
            "JAX code that asks for a value, or hands a JAX array to NumPy, cannot be followed by "
            "shapes alone. Use jnp throughout, and jnp.where instead of `if` on values. "
            f"JAX says: {_first_line(error)}"
        ) from error
    except (TypeError, ValueError) as error:
        raise _located(error) from error
    return ShapeTrace(list(_equations(jaxpr.jaxpr)), _shapes(result))


def _located(error: Exception) -> ShapeError:
    """Name the line of the pair's code that raised, and the shapes of the arrays in it."""
    found, trail = None, error.__traceback__
    while trail is not None:
        package = trail.tb_frame.f_globals.get("__name__", "").split(".")[0]
        if package not in ("jax", "jaxlib", "numpy", __name__.split(".")[0]):
            found = trail
        trail = trail.tb_next
    if found is None:
        return ShapeError("the call", (), _first_line(error))
    line = linecache.getline(found.tb_frame.f_code.co_filename, found.tb_lineno).strip()
    local = found.tb_frame.f_locals
    names = dict.fromkeys(re.findall(r"[A-Za-z_]\w*", line))
    shapes = tuple(tuple(local[n].shape) for n in names if _is_array(local.get(n)))
    return ShapeError(f"`{line}`", shapes, _first_line(error))


_BOOKKEEPING = {"broadcast_in_dim", "convert_element_type", "copy", "stop_gradient"}
_NUMPY_NAMES = {
    "dot_general": "matmul",
    "max": "maximum",
    "min": "minimum",
    "sub": "subtract",
    "mul": "multiply",
    "div": "divide",
    "neg": "negative",
    "logistic": "sigmoid",
    "reduce_sum": "sum",
    "reduce_max": "max",
    "reduce_min": "min",
    "integer_pow": "power",
    "gather": "index",
    "slice": "index",
    "select_n": "where",
    "gt": "greater",
    "ge": "greater_equal",
    "lt": "less",
    "le": "less_equal",
    "eq": "equal",
    "ne": "not_equal",
}


def _equations(jaxpr: Any) -> Iterator[Step]:
    """Give a jaxpr's equations as steps, JAX's own functions whole and the pair's opened."""
    import jax

    for equation in jaxpr.eqns:
        name = equation.primitive.name
        inner = equation.params.get("jaxpr") or equation.params.get("call_jaxpr")
        if name == "jit":
            name = equation.params["name"].strip("_")
        known = hasattr(jax.numpy, name) or hasattr(jax.nn, name)
        if inner is not None and not known and name not in ("scan", "while"):
            yield from _equations(inner.jaxpr)
        elif name not in _BOOKKEEPING:
            outputs = [tuple(variable.aval.shape) for variable in equation.outvars]
            yield Step(
                _NUMPY_NAMES.get(name, name),
                tuple(tuple(v.aval.shape) for v in equation.invars if v.aval.shape),
                outputs[0] if len(outputs) == 1 else outputs,
            )


@dataclass(frozen=True, repr=False)
class ShapeTable:
    """Show the shapes of one run, as aligned text and as an HTML table."""

    name: str
    sizes: dict[str, int]
    steps: list[Step] = field(default_factory=list)
    result: Any = None
    error: str = ""

    def _rows(self) -> list[tuple[str, str, str]]:
        return [
            (
                step.operation,
                ", ".join(named_shape(s, self.sizes) for s in step.inputs),
                self._named(step.output),
            )
            for step in self.steps
        ]

    def _named(self, tree: Any) -> str:
        return ", ".join(
            named_shape(leaf, self.sizes) if _is_shape(leaf) else repr(leaf)
            for leaf in _leaves(tree)
        )

    def _ends(self) -> tuple[str, str]:
        sizes = ", ".join(f"{axis} {size}" for axis, size in self.sizes.items())
        last = f"stops here · {self.error}" if self.error else f"gives {self._named(self.result)}"
        return f"{self.name} · {sizes}", last

    def __repr__(self) -> str:
        first, last = self._ends()
        rows = [("operation", "reads", "gives"), *self._rows()] if self.steps else []
        widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
        lines = [f"{a:{widths[0]}}  {b:{widths[1]}}  {c}" for a, b, c in rows]
        return "\n".join([first, *lines, last])

    def _repr_html_(self) -> str:
        first, last = self._ends()
        pad = "text-align: left; padding: 0.15em 1.2em 0.15em 0"
        names = ("operation", "reads", "gives") if self.steps else ()
        head = "".join(f'<th scope="col" style="{pad}">{name}</th>' for name in names)
        body = "".join(
            "<tr>"
            + "".join(f'<td style="{pad}">{html.escape(cell)}</td>' for cell in row)
            + "</tr>"
            for row in self._rows()
        )
        return (
            '<table style="border-collapse: collapse; line-height: 1.4">'
            f'<caption style="text-align: left; padding: 0.3em 0">{html.escape(first)}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            f'<p style="line-height: 1.4"><strong>{html.escape(last)}</strong></p>'
        )


def shape_table(function: Callable, *args: Any, sizes: dict[str, int]) -> ShapeTable:
    """Tabulate the shapes in a function's run, with the axes in `sizes` named.

    Shapes: arguments as for `shape_trace`. Code that refuses the shapes, asks for values or is
    not written yet gives a table that says so.
    """
    name = getattr(function, "__name__", "function")
    try:
        trace = shape_trace(function, *args)
    except ShapeError as error:
        return ShapeTable(name, dict(sizes), error.steps, error=error.named(sizes))
    except NoValuesError as error:
        return ShapeTable(name, dict(sizes), error=str(error))
    except NotImplementedError:
        return ShapeTable(name, dict(sizes), error="not written yet")
    return ShapeTable(name, dict(sizes), trace.steps, trace.result)
