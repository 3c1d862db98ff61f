"""Read an original's source, and lay out what it computes, operation by operation (step 1)."""

import ast
import html
import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reimpl_helpers.base.tables import aligned
from reimpl_helpers.base.words import shorten
from reimpl_helpers.checks.cases import Refusal
from reimpl_helpers.originals.recording import Probe
from reimpl_helpers.shapes import named_shape


def source_of(path: Path, function: str) -> str:
    """Give the text of one function of a file, each line with its number.

    A name that several classes use is asked for as "Class.function".

    Raises: LookupError, listing the functions there are, when it is not one of them.
    """
    text = Path(path).read_text(encoding="utf-8")
    functions = dict(_functions(ast.parse(text)))
    fitting = [name for name in functions if f".{name}".endswith(f".{function}")]
    if len(fitting) != 1:
        seen = f"has {len(fitting)} functions" if fitting else "has no function"
        raise LookupError(
            f"{Path(path).name} {seen} {function!r}. Ask for one of: {', '.join(functions)}"
        )
    node = functions[fitting[0]]
    first = min([node, *node.decorator_list], key=lambda part: part.lineno).lineno
    lines = textwrap.dedent("\n".join(text.splitlines()[first - 1 : node.end_lineno]))
    return "\n".join(
        f"{number:4d}  {line}".rstrip() for number, line in enumerate(lines.splitlines(), first)
    )


def _functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    """Walk through a file's functions, named as in Class.function."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            if isinstance(node, ast.FunctionDef):
                yield prefix + node.name, node
            yield from _functions(node, f"{prefix}{node.name}.")


@dataclass(frozen=True)
class OperationTable:
    """Show operations in the order they ran, one a row, as text or in a notebook."""

    probe: Probe
    counterparts: dict[str, str]

    HEADER = ("line", "PyTorch op", "expression", "reads", "gives", "NumPy")

    def rows(self) -> list[tuple[str, ...]]:
        """Give the cells of each row, in the order of HEADER."""
        return [
            (
                str(operation.line),
                operation.op,
                operation.expression,
                self._shapes(self.probe.value(name) for name in operation.inputs),
                self._shapes(operation.values),
                self.counterparts.get(operation.op, "yours to say"),
            )
            for operation in self.probe.operations
        ]

    def _shapes(self, arrays: Iterable[np.ndarray]) -> str:
        shapes = [named_shape(array.shape, self.probe.sizes) for array in arrays]
        if len(shapes) > 1 and len(set(shapes)) == 1:
            return f"{len(shapes)} times {shapes[0]}"
        return ", ".join(shapes)

    def __repr__(self) -> str:
        rows = [self.HEADER, *self.rows()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        rows.insert(1, tuple("-" * width for width in widths))
        return "\n".join(aligned(rows))

    def _repr_html_(self) -> str:
        cell = "text-align: left; padding: 3px 10px; color: inherit; white-space: nowrap"
        code = f"{cell}; font-family: var(--jp-code-font-family, monospace)"
        line = "border-bottom: 1px solid var(--jp-border-color1, rgba(128, 128, 128, 0.5))"
        styles = (cell, code, code, cell, cell, code)
        head = "".join(f'<th scope="col" style="{cell}">{name}</th>' for name in self.HEADER)
        rows = [
            "".join(
                f'<td style="{style}">{html.escape(text).replace("), (", ")<br>(")}</td>'
                for style, text in zip(styles, row, strict=True)
            )
            for row in self.rows()
        ]
        body = "".join(f'<tr style="{line}">{row}</tr>' for row in rows)
        return (
            '<table style="border-collapse: collapse; color: inherit">'
            f'<thead><tr style="{line}">{head}</tr></thead><tbody>{body}</tbody></table>'
        )


def operation_table(probe: Probe, counterparts: dict[str, str] | None = None) -> OperationTable:
    """Lay out the operations of a probe: PyTorch's word, the expression, shapes, NumPy's word.

    The NumPy column stays open for an operation that `counterparts` does not have.
    """
    return OperationTable(probe, counterparts or {})


# --- what stands for each operation in NumPy


def expressions_of(counterparts) -> dict[str, str]:
    """Read off a function that returns {op: lambda} how each op is written; {} where it is not.

    Raises: OSError when the function's text cannot be found.
    """
    tree = ast.parse(textwrap.dedent(inspect.getsource(counterparts)))
    dicts = [node for node in ast.walk(tree) if isinstance(node, ast.Dict)]
    written = {}
    for entry in dicts[-1:]:
        for key, value in zip(entry.keys, entry.values, strict=True):
            is_written = isinstance(value, ast.Lambda) and ast.unparse(value.body) != "..."
            if is_written and isinstance(key, ast.Constant):
                written[key.value] = ast.unparse(value.body)
    return written


def call_counterpart(op: str, piece: Callable, *args):
    """Ask a function that returns {op: function} for one of them, and call that."""
    answer = piece()
    is_there = isinstance(answer, dict) and op in answer
    return answer[op](*args) if is_there else answer


def missing_counterparts(names: Iterable[str], answer) -> None:
    """Hold what such a function returns against the operations it is to know.

    Raises: Refusal when it is no dict, or lacks one of them.
    """
    if not isinstance(answer, dict):
        raise Refusal("type", f"returns {shorten(answer)}, expected a dict from PyTorch's names.")
    missing = sorted(set(names) - set(answer))
    if missing:
        raise Refusal("type", f"no counterpart yet for {', '.join(missing)}. Read the table again.")
