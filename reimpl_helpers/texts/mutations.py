"""Mutations: small mistakes made automatically in the pair's own functions, to score its tests."""

import ast
import itertools
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from types import EllipsisType

from reimpl_helpers.texts import package

LENGTH = 80  # characters of a change that are shown
LEFT_ALONE = ast.Raise | ast.Assert | ast.JoinedStr | ast.While  # a while loop might never end
PARTS_LEFT_ALONE = {"decorator_list", "annotation", "returns", "keys"}
LOOSE = ast.BinOp | ast.UnaryOp | ast.BoolOp | ast.Compare | ast.IfExp | ast.Lambda | ast.NamedExpr
SMALL = ast.Constant | ast.UnaryOp | ast.Name | ast.Slice | ast.Tuple | ast.keyword

# Calls and arguments whose numbers stay: seeds, where any is as good; shapes, where most others
# fail; what no result shows; and what other mistakes are made in.
STEADY = set(
    "key seed PRNGKey default_rng RandomState Random fold_in split reshape zeros ones empty eye "
    "transpose swapaxes moveaxis squeeze expand_dims concatenate stack strict copy has_aux print "
    "maximum minimum max min where".split()
)
REDUCTIONS = set("sum mean max min argmax argmin std var prod any all".split())

HAND = "Work out one value by hand."
SIGN = "Work out the sign of one value by hand."
SIGNS = "Check values of both signs."
SIZES = "Try sizes that all differ."
ENTRIES = "Try entries that all differ."
ROWS = "Try several rows that differ a lot."
POWERS = "Try values other than 0 and 1."
SIDES = "Try values for which it holds, and for which it does not."
ENDS = "Count the results, and check the first and the last."
CHANGES = "Compare what comes out with what went in."
STEPS = "Take two steps: the second must build on the first."
BIAS = "Try a bias that is not zero."
RELU = "Try values below zero."
TANH = "Try large values: all must stay between -1 and 1."
ACTIVATIONS = {  # name -> another, hint
    "relu": ("tanh", RELU),
    "tanh": ("relu", TANH),
    "sigmoid": ("tanh", "Try large values: all must stay between 0 and 1."),
    "softmax": ("log_softmax", "Check that each row sums to 1."),
    "log_softmax": ("softmax", HAND),
    "gelu": ("relu", "Try values a little below zero."),
    "silu": ("relu", "Try values a little below zero."),
    "elu": ("relu", RELU),
    "softplus": ("relu", "Try values around zero."),
}


@dataclass(frozen=True)
class Mutation:
    """A small mistake made automatically in one function of the pair's own.

    `before` and `after` are the shortest expression or statement that shows it, each on one line.
    `hint` is the shortest way to a test that would catch it. `text` is the whole module's text
    with the mistake made.
    """

    function: str
    name: str
    line: int
    before: str
    after: str
    hint: str
    text: str


def mutations_of(text: str, functions: Iterable[str]) -> list[Mutation]:
    """List every mutation of these top-level functions of a module's text, in order of line.

    Raises: PackageError when the text has a syntax error.
    """
    tops = {node.name: node for node in package.parse(text).body if hasattr(node, "name")}
    nodes = [tops[name] for name in set(functions) & tops.keys()]
    nodes = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    found = [mutation for node in nodes for mutation in mutations_in(node, Source(text, node))]
    return sorted(found, key=lambda mutation: mutation.line)


def mutations_in(function, source):
    parents, seen, found = {}, {None, meaning(source.piece(*source.limits))}, []
    nodes = list(nodes_in(function, parents))
    for operator, node in itertools.product(OPERATORS, nodes):
        for name, hint, template, parts in operator(node, parents):
            edit, meant = source.edit(node, template, parts)
            if meant not in seen:
                seen.add(meant)
                shown = source.shown(node, edit, parents)
                text = source.edited(node, edit)
                mutation = Mutation(function.name, name, node.lineno, *shown, hint, text)
                found.append((source.span(node), mutation))
    return [mutation for _, mutation in sorted(found, key=lambda item: item[0])]


def nodes_in(node, parents):
    """Walk through what may be mutated, and note the parent of each node."""
    for part, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            is_left_alone = isinstance(child, LEFT_ALONE) or part in PARTS_LEFT_ALONE
            if isinstance(child, ast.AST) and not is_left_alone:
                parents[child] = node
                yield child
                yield from nodes_in(child, parents)


# --- editing ------------------------------------------------------------------------------


class Source:
    """The text of a module, in which one function is edited."""

    def __init__(self, text, function):
        self.data = text.encode()  # the columns of nodes count bytes
        self.line_end = "\r\n" if "\r\n" in text else "\n"
        lengths = (len(line.encode()) for line in package.lines_of(text))
        self.starts = [0, *itertools.accumulate(lengths)]
        self.limits = self.span(function)

    def span(self, node):
        start = self.starts[node.lineno - 1] + node.col_offset
        return start, self.starts[node.end_lineno - 1] + node.end_col_offset

    def piece(self, start, end):
        return self.data[start:end].decode()

    def edited(self, node, edit, first=0, last=None):
        """Return the text, or the part between two limits, with an edit in place of a node."""
        start, end = self.span(node)
        return self.piece(first, start) + edit + self.piece(end, last)

    def edit(self, node, template, parts):
        """Write what a template says for a node; return it and what the function then means.

        With every parenthesis it means what it should; then as few are written as keep that.
        """
        pieces = {letter: self.piece(*self.span(part)) for letter, part in parts.items()}
        loose = [letter for letter, part in parts.items() if isinstance(part, LOOSE)]
        wrapped = pieces | {letter: f"({pieces[letter]})" for letter in loose}
        meanings = {}
        for written in (pieces, wrapped):
            edit = re.sub(r"(?<!\.)\b[A-Z]\b", lambda found, by=written: by[found[0]], template)
            lines_lost = self.piece(*self.span(node)).count("\n") - edit.count("\n")
            edit += lines_lost * self.line_end
            for whole in (edit, f"({edit})"):
                meanings[whole] = meaning(self.edited(node, whole, *self.limits))
        meant = next(filter(None, reversed(meanings.values())), None)
        return next(item for item in meanings.items() if item[1] == meant)

    def shown(self, node, edit, parents):
        """Return the shortest expression or statement that shows an edit, before and after."""
        shown = node
        while is_shown_in(parents[shown], shown):
            shown = parents[shown]
        start, end = self.span(shown)
        if isinstance(parents[shown], ast.arguments):
            start, _ = self.span(argument_of(shown, parents))
        lines = self.piece(start, end), self.edited(node, edit, start, end)
        before, after = map(on_one_line, lines)
        start = max(0, len(os.path.commonprefix([before, after])) - LENGTH // 2)
        return [cut(line, start) for line in (before, after)]


def meaning(source):
    """Describe what a function does, if it is one: `x = x` does nothing."""
    try:
        dump = ast.dump(package.parse(source))
    except package.PackageError:
        return None
    target, value = r"Name\(id='(\w+)', ctx=Store\(\)\)", r"Name\(id='\1', ctx=Load\(\)\)"
    return re.sub(rf"Assign\(targets=\[{target}\], value={value}\)", "Pass()", dump)


def is_shown_in(parent, node):
    """Tell whether a node says too little without its parent."""
    is_block = isinstance(parent, ast.stmt) and hasattr(parent, "body")
    is_end = isinstance(parent, ast.Slice) or called(parent) == "range"
    is_function = isinstance(parent, ast.Call) and parent.func is node
    is_little = isinstance(node, SMALL) or is_end or is_function
    return is_little and hasattr(parent, "lineno") and not is_block


def on_one_line(source):
    """Write an expression or a statement on one line."""
    for attempt in (f"({source})", source) if "\n" in source else ():
        try:
            return " ".join(ast.unparse(package.parse(attempt)).split())
        except package.PackageError:
            pass
    return source


def cut(line, start):
    """Shorten a line to what is around its change."""
    if len(line) > LENGTH and start:
        line = "…" + line[start:]
    return line if len(line) <= LENGTH else line[: LENGTH - 1] + "…"


# --- what nodes are -----------------------------------------------------------------------


def number_in(node):
    """Return the number that is written out, or None."""
    match node:
        case ast.UnaryOp(ast.USub(), ast.Constant(int() | float() as value)):
            return -value
        case ast.Constant(int() | float() as value) if not isinstance(value, bool):
            return value
    return None


def is_module(node):
    return isinstance(node, ast.Name) and node.id.endswith(("np", "numpy"))


def is_array(node):
    if isinstance(node, ast.BinOp):
        return is_term(node.left) and is_term(node.right)
    others = ast.Constant | ast.JoinedStr | ast.List | ast.Tuple | ast.ListComp | ast.Starred
    return number_in(node) is None and not isinstance(node, others) and not is_module(node)


def is_term(node):
    return is_array(node) or number_in(node) is not None


def is_zero(node):
    """Tell whether a node is zero, perhaps of a dtype: `np.float32(0)`."""
    is_call = isinstance(node, ast.Call) and len(node.args) == 1
    return number_in(node.args[0] if is_call else node) == 0


def is_straight(node):
    return is_array(node) and not (isinstance(node, ast.Attribute) and node.attr == "T")


def is_variable(node):
    return isinstance(node, ast.Name | ast.Subscript | ast.Attribute)


def called(node):
    """Return the name of the function or method that is called, without its module."""
    match node:
        case ast.Call(ast.Name(name)) | ast.Call(ast.Attribute(attr=name)):
            return name
    return ""


def argument_of(default, parents):
    """Return the argument that a default stands behind."""
    own = [node for node in parents if isinstance(node, ast.arg)]
    place = default.lineno, default.col_offset
    return max(
        (node for node in own if (node.lineno, node.col_offset) < place),
        key=lambda node: (node.lineno, node.col_offset),
    )


def reads(node, name):
    names = [part for part in ast.walk(node) if isinstance(part, ast.Name)]
    return any(part.id == name and isinstance(part.ctx, ast.Load) for part in names)


# --- operators: each gives the mistakes in a node, as name, hint, template and its parts ----

KINDS = {  # letter of a pattern -> what it stands for
    "A": is_array,
    "B": lambda node: is_variable(node) and "bias" in ast.unparse(node),
    "C": is_array,
    "E": lambda node: number_in(node) is not None and abs(number_in(node)) < 1e-3,
    "F": lambda node: True,
    "M": is_module,
    "S": is_straight,
    "V": lambda node: is_variable(node) and is_straight(node),
    "X": is_term,
    "Y": is_term,
    "Z": is_zero,
}
REWRITES = [  # name, hint, pattern → template; of two that come to the same, the first counts
    ("bias dropped", BIAS, "A + B → A", "B + A → A"),
    ("sign flipped", BIAS, "X + B → X - B"),
    ("addend dropped", "Try an input of zeros.", "A + E → A"),
    ("addend dropped", HAND, "A + X → A", "X + A → A"),
    ("subtraction dropped", HAND, "A - X → A"),
    ("operands swapped", SIGN, "X - A → A - X"),
    ("sign flipped", SIGN, "X + A → X - A", "X - Y → X + Y", "F += X → F -= X", "F -= X → F += X"),
    ("scale dropped", HAND, "A * X → A", "X * A → A", "A / X → A", "A // X → A"),
    ("operands swapped", HAND, "X / A → A / X"),
    ("sign flipped", SIGNS, "-A → A"),
    ("power dropped", POWERS, "A ** X → A"),
    ("sign flipped", POWERS, "A ** -F → A ** F"),
    ("operands swapped", SIZES, "A @ C → C @ A", "F.matmul(A, C) → F.matmul(C, A)"),
    ("operands swapped", SIZES, "F.dot(A, C) → F.dot(C, A)", "A.dot(C) → C.dot(A)"),
    ("operand transposed", SIZES, "S @ V → S @ V.T", "F.matmul(S, V) → F.matmul(S, V.T)"),
    ("transpose dropped", SIZES, "A.T → A", "A.mT → A", "M.transpose(A, ...) → A"),
    ("transpose dropped", SIZES, "A.transpose(...) → A", "M.swapaxes(A, ...) → A"),
    ("transpose dropped", SIZES, "A.swapaxes(...) → A"),
    ("mean instead of sum", "Repeat every entry: a sum doubles.", "F.sum → F.mean"),
    ("sum instead of mean", "Repeat every entry: a mean stays as it is.", "F.mean → F.sum"),
    ("var instead of std", "Double every entry: a standard deviation doubles.", "F.std → F.var"),
    ("std instead of var", "Double every entry: a variance grows fourfold.", "F.var → F.std"),
    ("min instead of max", ENTRIES, "F.max → F.min", "max → min", "F.argmax → F.argmin"),
    ("max instead of min", ENTRIES, "F.min → F.max", "min → max", "F.argmin → F.argmax"),
    ("minimum instead of maximum", SIGNS, "F.maximum → F.minimum"),
    ("maximum instead of minimum", SIGNS, "F.minimum → F.maximum"),
    ("relu dropped", RELU, "F.maximum(A, Z) → A", "F.maximum(Z, A) → A", "F.where(F, A, Z) → A"),
    ("relu dropped", RELU, "max(A, Z) → A", "max(Z, A) → A", "F.clip(A, Z, None) → A"),
    ("relu instead of tanh", TANH, "M.tanh(A, ...) → M.maximum(A, 0)"),
    ("comparison negated", SIDES, "X > Y → X <= Y", "X >= Y → X < Y", "X == Y → X != Y"),
    ("comparison negated", SIDES, "X < Y → X >= Y", "X <= Y → X > Y", "X != Y → X == Y"),
    ("argument ignored", "Give the argument that may be left out.", "A is None → True"),
]
for name, (other, hint) in ACTIVATIONS.items():
    dropped = f"F.{name}(A, ...) → A", f"{name}(A, ...) → A"
    changed = f"F.nn.{name} → F.nn.{other}", f"nn.{name} → nn.{other}"
    REWRITES += (f"{name} dropped", hint, *dropped), (f"{other} instead of {name}", hint, *changed)
for name in "exp", "log", "sqrt", "square", "abs":
    REWRITES.append((f"{name} dropped", HAND, f"F.{name}(A, ...) → A", f"{name}(A, ...) → A"))
PATTERNS = [
    (name, hint, package.parse(pattern).body[0], template)
    for name, hint, *pairs in REWRITES
    for pattern, template in (pair.split(" → ") for pair in pairs)
]


def matches(pattern, node, parts):
    """Tell whether a node has the form of a pattern, and note what its letters stand for."""
    match pattern:
        case ast.Expr(value):
            return matches(value, node, parts)
        case ast.Name(letter) if letter in KINDS:
            parts[letter] = node
            return KINDS[letter](node)
        case ast.Call(function, [*args, ast.Constant(EllipsisType())]):
            is_call = isinstance(node, ast.Call) and len(node.args) >= len(args)
            is_in_place = is_call and "out" in [keyword.arg for keyword in node.keywords]
            pairs = [(function, node.func), *zip(args, node.args, strict=False)] if is_call else []
            return is_call and not is_in_place and all(matches(*pair, parts) for pair in pairs)
        case ast.AST():
            fields = [field for field in pattern._fields if field != "ctx"]
            return type(pattern) is type(node) and all(
                matches(getattr(pattern, field), getattr(node, field), parts) for field in fields
            )
        case list():
            pairs = zip(pattern, node, strict=False)
            return len(pattern) == len(node) and all(matches(*pair, parts) for pair in pairs)
    return pattern == node


def rewrites(node, parents):
    for name, hint, pattern, template in PATTERNS:
        parts = {}
        if matches(pattern, node, parts):
            yield name, hint, template, parts


def biases(node, parents):
    """Leave out a bias that a layer is called with."""
    match node, parents[node]:
        case ast.Subscript(slice=ast.Constant("bias")), ast.Call(args=[_, _, *_]) | ast.keyword():
            yield "bias dropped", BIAS, "0.0", {}


def axes(node, parents):
    call, value = reduction_along(node, parents), number_in(node)
    if call and value is not None:
        yield "axis changed", ROWS, "0" if value else "-1", {}
    if called(call) in REDUCTIONS and (value is not None or isinstance(node, ast.Tuple)):
        yield "axis dropped", ROWS, "None", {}


def reduction_along(node, parents):
    """Return the call that a number, or a tuple, is the axis of."""
    match parents[node]:
        case ast.keyword("axis") as keyword:
            return parents[keyword]
        case ast.Call(ast.Attribute(attr=name), args) as call if name in REDUCTIONS:
            return call if number_in(node) is not None and node in args[:2] else None
    return None


def constants(node, parents):
    """Change a number or a truth value that is an argument, a default or a value of its own."""
    is_truth = isinstance(node, ast.Constant) and isinstance(node.value, bool)
    value, parent = node.value if is_truth else number_in(node), parents[node]
    holders = ast.Call | ast.keyword | ast.arguments | ast.Assign | ast.Return | ast.Dict
    is_held = isinstance(parent, holders | ast.AnnAssign | ast.IfExp | ast.Lambda)
    is_held |= isinstance(parent, ast.Tuple | ast.List) and isinstance(value, float)
    if value is None or not is_held or reduction_along(node, parents):
        return
    name, hint, argument = "constant changed", HAND, ""
    if isinstance(parent, ast.keyword):
        argument, parent = parent.arg, parents[parent]
    if isinstance(parent, ast.arguments):
        argument = argument_of(node, parents).arg
        name, hint = "default changed", f"Leave out {argument} in one call."
    if argument in STEADY or called(parent) in STEADY:
        return
    if argument == "keepdims":
        yield "keepdims changed", SIZES, repr(not value), {}
    elif is_truth:
        yield name, hint, repr(not value), {}
    elif value < 0:
        yield "sign flipped", SIGN, repr(-value), {}
    elif called(parent) == "range":
        yield "off by one", ENDS, repr(value + 1), {}
    else:
        yield name, hint, repr(2 * (value or 0.5) if isinstance(value, float) else value + 1), {}


def positions(node, parents):
    """Take another index, or miss by one at an end of a slice or a range."""
    value, parent = number_in(node), parents[node]
    is_first = isinstance(parent, ast.Slice) and node is parent.lower
    is_last = isinstance(parent, ast.Slice) and node is parent.upper
    is_last |= called(parent) == "range" and node in parent.args[:2][-1:] and value is None
    place = parents.get(parent) if isinstance(parent, ast.Tuple) else parent
    if isinstance(place, ast.Subscript) and value is not None and not called(place.value):
        yield "index changed", ENTRIES, "0" if value else "-1", {}
    elif value is not None and (is_first or is_last):
        yield "off by one", ENDS, repr(value + 1 if is_first and value <= 0 else value - 1), {}
    elif (is_first or is_last) and not isinstance(node, ast.BinOp):
        yield "off by one", ENDS, "A + 1" if is_first else "A - 1", {"A": node}


def words(node, parents):
    """Change a word that chooses an activation or a branch, or the letters of an einsum."""
    match node, parents[node]:
        case ast.Constant(str(spec)), parent if called(parent) == "einsum":
            swapped = re.sub(r"(->.*)(\w)(\w)$", r"\1\3\2", spec)
            yield "output axes swapped", SIZES, f'"{swapped}"', {}
        case ast.Constant(str(word)), ast.Compare() | ast.MatchValue() if word:
            yield "word misspelled", "Try each choice by its name.", f'"{word + word[-1]}"', {}
        case ast.Constant(str(word)), parent if word in ACTIVATIONS:
            if not isinstance(parent, ast.Subscript | ast.Expr):
                other, hint = ACTIVATIONS[word]
                yield f"{word} dropped", hint, "None", {}
                yield f"{other} instead of {word}", hint, f'"{other}"', {}
        case ast.Attribute(attr=word), parent if word in ACTIVATIONS:
            if not (isinstance(parent, ast.Call) and parent.func is node):
                yield f"{word} dropped", ACTIVATIONS[word][1], "lambda x: x", {}


def updates(node, parents):
    match node:
        case ast.Assign([ast.Name(target)], value) if reads(value, target):
            yield "update skipped", CHANGES, "pass", {}
        case ast.Assign([ast.Subscript()]) | ast.AugAssign():
            yield "update skipped", "Look at every entry that comes out.", "pass", {}
        case ast.Expr(ast.Call(ast.Attribute(attr="append" | "extend"))):
            yield "update skipped", "Count the results.", "pass", {}
        case ast.Expr(ast.Call(ast.Attribute()) as call) if called(call) not in STEADY:
            yield "update skipped", CHANGES, "pass", {}
        case ast.Expr(ast.Call(ast.Name(function))) if function not in STEADY:
            yield "call skipped", f"Check that {function} is called.", "pass", {}
        case ast.Name(target, ast.Store()):
            match parents[node], parents.get(parents[node]):
                case ast.Tuple(), ast.Assign(value=value) if reads(value, target):
                    hint = "Check that two draws differ." if called(value) == "split" else STEPS
                    yield "update skipped", hint, "_", {}


OPERATORS = rewrites, biases, axes, constants, positions, words, updates
