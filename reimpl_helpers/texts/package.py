"""Keep the pair's package: plain modules that hold each piece and run without this workbook."""

import ast
import builtins
import codecs
import contextlib
import functools
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import io
import linecache
import os
import re
import symtable
import sys
import sysconfig
import textwrap
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType, ModuleType

import numpy as np

from reimpl_helpers.base.clocks import TIME_LIMIT, time_limit
from reimpl_helpers.base.files import locked, replace_files
from reimpl_helpers.base.places import is_cell
from reimpl_helpers.base.words import shorten

MODULES = (
    "shapes", "model", "params", "data", "losses", "training", "uncertainty", "costs",
    "card", "test_model", "mistakes",
)  # fmt: skip
GIVEN = "# given by the workbook"  # the line above a piece that the pair did not write,
FROM_TRACK = "# yours, from "  # or wrote in another track
NOTEBOOK = "__main__", "__mp_main__"  # the second is what multiprocessing calls it
LINE_LENGTH = 100  # of an import of several names; ones that would be longer are written apart


class PackageError(Exception):
    """Say why a piece cannot be read from, or saved to, the pair's package."""

    def _render_traceback_(self):
        return [str(self)]


# --- importing ----------------------------------------------------------------------------


@functools.cache
def hidden_by(name: str) -> str:
    """Say what a module of this name in a folder hides from everything that runs there."""
    if name in sys.stdlib_module_names:
        return f"Python's own module `{name}`"
    installed = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    spec = importlib.machinery.PathFinder.find_spec(name, installed)
    if name not in MODULES and spec and spec.origin:  # no origin: a folder without __init__.py
        return f"the installed package `{name}`"
    return ""


class PackageFinder(importlib.abc.MetaPathFinder, importlib.abc.SourceLoader):
    """Import plain modules from one folder, with the text of some of them replaced."""

    def __init__(self, folder: Path, replaced: dict[str, str]):
        self.folder, self.replaced = folder, replaced

    def find_spec(self, name, path=None, target=None):
        is_here = name in self.replaced or (self.folder / f"{name}.py").is_file()
        if is_here and not hidden_by(name):
            return importlib.util.spec_from_file_location(
                name, self.get_filename(name), loader=self
            )
        return None

    def get_filename(self, name):
        return str(self.folder / f"{name}.py")

    def get_data(self, path):
        return Path(path).read_bytes()

    def get_code(self, name):
        path = self.get_filename(name)
        linecache.checkcache(path)
        if name not in self.replaced:
            return self.source_to_code(self.get_data(path), path)
        return code_of(self.replaced[name], path)


@functools.lru_cache(1000)
def code_of(text, path):
    """Compile a text that stands in for a file, under a name of its own.

    Tracebacks must not show the file's lines.
    """
    path = f"{path} #{hash(text) & 0xFFFFFFFF:x}"
    linecache.cache[path] = len(text), None, lines_of(text), path
    return compile(text.encode(), path, "exec", dont_inherit=True)


@contextlib.contextmanager
def imported_from(
    folder: Path, replaced: dict[str, str] | None = None, kept: dict[str, ModuleType] | None = None
):
    """Import modules from a folder inside, fresh, and leave no trace of them afterwards.

    Two packages whose modules have the same names can so be used side by side. `kept` are modules
    of an earlier time, which are not imported again.
    """
    replaced = replaced or {}
    names = {*MODULES, *replaced, *(path.stem for path in folder.glob("*.py"))}
    names = {name for name in names if not hidden_by(name)}
    before = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    finder = PackageFinder(folder, replaced)
    sys.meta_path.insert(0, finder)
    sys.modules.update(kept or {})
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(before)


def plain_sources(module: str, texts: dict[str, str]) -> dict[str, str] | None:
    """Give the text of a module and of those that it imports from its package, by name.

    None where one of them has a place in which one call could leave something for the next.
    """
    found, left = {}, [module]
    while left:
        name = left.pop()
        if name in texts and name not in found:
            found[name] = texts[name]
            imports = plain_imports(texts[name])
            if imports is None:
                return None
            left += imports
    return found


@functools.lru_cache(1000)
def plain_imports(text: str) -> list[str] | None:
    """Name what a text imports, if it has imports, plain functions and constants only."""
    try:
        tree = parse(text)
    except PackageError:
        return None
    nodes = list(ast.walk(tree))
    if not all(map(is_plain, tree.body)) or any(map(leaves_something, nodes)):
        return None
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return names + [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]


def is_plain(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.FunctionDef):
        defaults = [*statement.args.defaults, *filter(None, statement.args.kw_defaults)]
        return not statement.decorator_list and all(map(is_constant, defaults))
    if isinstance(statement, ast.Assign | ast.Expr):
        return is_constant(statement.value)
    return isinstance(statement, ast.Import | ast.ImportFrom)


def is_constant(value: ast.expr) -> bool:
    """Tell whether a value is written out, and cannot change."""
    if isinstance(value, ast.Tuple):
        return all(map(is_constant, value.elts))
    operand = value.operand if isinstance(value, ast.UnaryOp) else value
    return isinstance(operand, ast.Constant)


def leaves_something(node: ast.AST) -> bool:
    """Tell whether a statement, or part of one, may change what outlives a call."""
    is_set = isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load)
    return is_set or isinstance(node, ast.Global)


def load_pieces(folder: Path, module: str, replaced: dict[str, str] | None = None) -> ModuleType:
    """Import one module of a package.

    Raises: PackageError naming the file and the line that does not import, or never ends.
    """
    try:
        with imported_from(folder, replaced), time_limit(TIME_LIMIT):
            return importlib.import_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit, and what pytest's skip raises, are no Exception
        reason = error.msg if isinstance(error, SyntaxError) else error
        raise PackageError(
            f"{folder.name}/{module}.py cannot be imported: {type(error).__name__}"
            f"{import_error_place(error, folder)}: {reason}. Mend that line; "
            "the file was not touched."
        ) from error


def import_error_place(error, folder):
    """Name the last line of a folder's own on the way to an exception."""
    if isinstance(error, SyntaxError):
        places = [(error.filename or "", error.lineno)]
    else:
        steps = traceback.extract_tb(error.__traceback__)
        places = [(step.filename, step.lineno) for step in steps]
    own = [(name, line) for name, line in places if Path(name).parent == folder]
    return f" in {Path(own[-1][0]).name.partition(' #')[0]}, line {own[-1][1]}" if own else ""


# --- what a piece needs -------------------------------------------------------------------


@dataclass
class Dependencies:
    """List what a piece, and the pair's small functions that it uses, take from around them."""

    imports: dict[str, str] = field(default_factory=dict)  # name -> import statement
    constants: dict[str, str] = field(default_factory=dict)  # name -> assignment
    helpers: dict[str, str] = field(default_factory=dict)  # name -> definition, inner ones first
    pieces: dict[str, object] = field(default_factory=dict)
    homes: dict[str, str] = field(default_factory=dict)  # name -> module of the package it is in
    beside: dict[str, object] = field(default_factory=dict)  # small functions of such a module


def source_of_piece(function) -> str:
    """Return the text of a function as it was typed.

    Raises: PackageError when there is no text to be had, or it is no `def`.
    """
    plain = inspect.unwrap(function)
    name = getattr(plain, "__name__", shorten(plain))
    try:
        source = class_source(plain) if isinstance(plain, type) else inspect.getsource(plain)
        source = textwrap.dedent(source) if source[:1].isspace() else source
        is_plain = isinstance(parse(source).body[0], ast.FunctionDef | ast.ClassDef)
    except (OSError, TypeError, PackageError) as error:
        if name != "<lambda>":
            raise PackageError(
                f"the text of {name} cannot be found. Run the cell that defines it again, then "
                "its check; a line with %% at the top of that cell hides its text."
            ) from error
        is_plain = False
    if not is_plain:
        raise PackageError(
            f"{name} is not written with a plain `def`. Write it as a function with a name, then "
            "check again."
        )
    return source.rstrip() + "\n"


def class_source(value):
    """Find the text of a class among the cells that were run, the newest first.

    Raises: OSError when no cell defines it.
    """
    for text in cells_run():
        source = definition_of(text, value.__name__)
        if source is not None:
            return source
    raise OSError(f"no cell defines {value.__name__}")


def cells_run() -> Iterator[str]:
    """Give the text of every cell that was run and can be read, the newest first."""
    for filename in filter(is_cell, reversed(list(linecache.cache))):
        text = "".join(linecache.getlines(filename))
        with contextlib.suppress(PackageError):
            parse(text)
            yield text


def assignment_of(name) -> str | None:
    """Find the statement that gave a name its value, among the cells that were run."""
    for text in cells_run():
        lines = lines_of(text)
        for node in reversed(parse(text).body):
            if not is_import(node) and name in meanings(node, lines):
                return f"{ast.unparse(node)}\n"
    return None


def names_used(source: str) -> set[str]:
    """Name everything that the text of a definition reads from its module."""
    with warnings.catch_warnings(action="ignore"):
        table = symtable.symtable(source, "piece", "exec")
    used = {
        symbol.get_name()
        for symbol in table.get_symbols()
        if symbol.is_referenced() and not symbol.is_assigned()
    }

    def collect(inner):
        for symbol in inner.get_symbols():
            if symbol.is_global() and symbol.is_referenced():
                used.add(symbol.get_name())
        for child in inner.get_children():
            collect(child)

    for child in table.get_children():
        collect(child)
    return used - {getattr(parse(source).body[0], "name", None)}


def fixtures_used(function, namespace) -> set[str]:
    """Name the pytest fixtures that a test takes as arguments."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    arguments = code.co_varnames[: code.co_argcount] if code else ()
    kinds = {name: type(namespace.get(name)).__name__ for name in arguments}
    return {name for name, kind in kinds.items() if kind == "FixtureFunctionDefinition"}


def dependencies_of(function, piece_modules) -> Dependencies:
    """Find the imports, constants, small functions and pieces that a function uses.

    Raises: PackageError for a value that a file cannot carry.
    """
    needs = Dependencies()
    add_needs(needs, function, piece_modules, {}, set())
    return needs


def add_needs(needs, function, piece_modules, namespace, seen):
    plain, source = inspect.unwrap(function), source_of_piece(function)
    namespace = getattr(plain, "__globals__", namespace)  # a class has none: its user's then
    names = names_used(source) | fixtures_used(function, namespace)
    add_dependencies_of(needs, plain.__name__, source, names, piece_modules, namespace, seen)


def add_dependencies_of(needs, user, source, names, piece_modules, namespace, seen):
    """Add what a statement needs, which uses these names."""
    refuse_helpers_inside(user, source)
    for name in sorted(names):
        if name in seen or is_built_in(name, namespace):
            continue
        seen.add(name)
        value = namespace.get(name, vars(builtins).get(name))
        if name not in namespace and value is None:
            raise PackageError(
                f"{user} uses `{name}`, which is defined nowhere. "
                "Define it, or take it out, then check again."
            )
        if is_definition(name, value, piece_modules):
            add_needs(needs, value, piece_modules, namespace, seen)
            needs.helpers[name] = source_of_piece(value)
        elif statement := sort_need(needs, user, name, value, piece_modules):
            more = names_used(statement)
            add_dependencies_of(needs, name, statement, more, piece_modules, namespace, seen)
            needs.helpers[name] = statement


def is_built_in(name, namespace):
    """Tell whether every Python has this name; IPython adds some, and wraps `open`."""
    if name.startswith("__") and name.endswith("__"):
        return True
    value = vars(builtins).get(name)
    is_python = name in vars(builtins) and top(value) != "IPython"
    return is_python and inspect.unwrap(namespace.get(name, value)) is value


def top(value):
    """Name the top-level package that a value, or its class, comes from."""
    if isinstance(value, ModuleType):
        home = value.__name__
    else:
        home = getattr(value, "__module__", None) or type(value).__module__
    return str(home).partition(".")[0]


def is_own(name, value) -> bool:
    """Tell whether a value is a function or a class of the pair's own, under its own name."""
    plain, homes = inspect.unwrap(value), ("__main__", "before_port", *MODULES)
    is_code = isinstance(plain, FunctionType | type) and plain.__name__ == name
    return is_code and (top(plain) in homes or is_from_cell(plain))


def is_definition(name, value, piece_modules) -> bool:
    """Tell whether a value is a small function or class of the pair's own, of no other module."""
    plain = inspect.unwrap(value)
    if not is_own(name, value) or name in piece_modules or top(plain) in MODULES:
        return False
    return isinstance(plain, FunctionType) or any(
        definition_of(text, name) is not None for text in cells_run()
    )


def sort_need(needs, user, name, value, piece_modules) -> str:
    """Note one need of a piece; return the statement that makes it, where it is kept as that."""
    plain = inspect.unwrap(value)
    if top(plain) == "reimpl_helpers":
        raise needs_helpers(user, name)
    if is_own(name, value) and name in piece_modules:
        needs.pieces[name], needs.homes[name] = value, piece_modules[name]
    elif is_own(name, value) and top(plain) in MODULES:
        needs.homes[name], needs.beside[name] = top(plain), value
    elif isinstance(value, ModuleType):
        needs.imports[name] = import_module_line(name, value)
    elif (literal := as_literal(value)) is not None:
        needs.constants[name] = f"{name} = {literal}"
    elif (statement := import_from_line(name, value)) is not None:
        needs.imports[name] = statement
    elif (statement := assignment_of(name)) is not None:
        return statement
    else:
        raise lives_in_notebook(user, name, value)
    return ""


def is_from_cell(value):
    return isinstance(value, FunctionType) and is_cell(value.__code__.co_filename)


def refuse_helpers_inside(user, source):
    for node in ast.walk(parse(source)):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for module in modules:
            if module.partition(".")[0] == "reimpl_helpers":
                raise needs_helpers(user, module)


def needs_helpers(user, name):
    return PackageError(
        f"{user} uses `{name}` of the workbook's helpers. Your package has to run without them: "
        "write what you need yourself, then check again."
    )


def lives_in_notebook(user, name, value):
    way_out = "Write it as a function with `def`" if callable(value) else "Pass it as an argument"
    return PackageError(
        f"{user} uses `{name}`, {shorten(value)}, which lives in the notebook only. "
        f"{way_out}, then check again."
    )


def import_module_line(name, module):
    return f"import {name}" if module.__name__ == name else f"import {module.__name__} as {name}"


def import_from_line(name, value):
    """Find the shortest public module that offers a value: `from jax import grad`."""
    for offered in (name, getattr(value, "__name__", name)):
        modules = [
            module
            for module in sys.modules
            if getattr(sys.modules[module], "__dict__", {}).get(offered) is value
            if module.partition(".")[0] not in (*NOTEBOOK, "reimpl_helpers")
        ]
        if modules:
            home = top(value)
            module = min(modules, key=lambda module: import_path_rank(module, home))
            return f"from {module} import {offered}" + (f" as {name}" if name != offered else "")
    return None


def import_path_rank(module, home):
    """Order modules: public first, then of the value's own package, then short."""
    parts = module.split(".")
    private = any(part.startswith("_") for part in parts)
    return private, parts[0] != home.lstrip("_"), len(parts), len(module), module


def as_literal(value):
    text = repr(value.item() if isinstance(value, np.generic) else value)
    try:
        return text if ast.literal_eval(text) == value else None
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


# --- the text of a module -----------------------------------------------------------------


def parse(text, filename="the text"):
    """Parse the text of a module.

    Nobody may change the tree: it is kept for who asks for the same text again.

    Raises: PackageError naming the line with a syntax error.
    """
    try:
        return tree_of(text)
    except (RecursionError, MemoryError) as error:
        raise PackageError(
            f"{filename} is nested too deeply for Python. Mend it, then check again; the file was "
            "not touched."
        ) from error
    except (SyntaxError, ValueError) as error:  # ValueError: a null byte, up to 3.11.3
        line = f" on line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise PackageError(
            f"{filename} has a syntax error{line}: {error.args[0]}. Mend it, then check again; "
            "the file was not touched."
        ) from error


@functools.lru_cache(100)
def tree_of(text):
    with warnings.catch_warnings(action="ignore"):
        return ast.parse(text)


def lines_of(text) -> list[str]:
    """Split a text into lines as Python counts them; str.splitlines knows more line ends."""
    return io.StringIO(text, newline="").readlines()


def with_line_ends(source, text):
    """Write a source with the line ends of the text that it goes into."""
    return source.replace("\n", "\r\n") if "\r\n" in text else source


def span_of(node, lines) -> tuple[int, int]:
    """Return the first and last line (from 1) of a statement, with the comments it ends on."""
    starts = [node, *getattr(node, "decorator_list", [])]
    first, last = min(start.lineno for start in starts), node.end_lineno
    if first > 1 and is_mark(lines[first - 2]):
        first -= 1
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        for number, line in enumerate(lines[last:], last + 1):
            inner = line.lstrip()
            if inner.startswith("#") and len(line) - len(inner) >= node.body[0].col_offset:
                last = number
            elif inner:
                break
    return first, last


def find_definition(text, name, filename="the file") -> tuple[int, int] | None:
    """Return the first and last line (from 1, both included) of a top-level definition.

    Of several with the same name it is the last, as for Python.
    """
    for node in reversed(parse(text, filename).body):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return span_of(node, lines_of(text))
    return None


def definition_of(text, name) -> str | None:
    """Return the text of a top-level definition, as `source_of_piece` would."""
    place = find_definition(text, name)
    if place is None:
        return None
    lines = lines_of(text.replace("\r\n", "\n"))[place[0] - 1 : place[1]]
    return "".join(lines[1:] if is_mark(lines[0]) else lines).rstrip() + "\n"


def docstring_of(text) -> str:
    """Return the docstring that a module opens with, as it is typed."""
    return "".join(lines_of(text)[: parse(text).body[0].end_lineno])


def is_given(text, name) -> bool:
    """Tell whether the definition in this text was not written here: given, or from a track."""
    place = find_definition(text, name)
    return place is not None and is_mark(lines_of(text)[place[0] - 1])


def is_mark(line) -> bool:
    return line.strip() == GIVEN or line.startswith(FROM_TRACK)


def is_in_numpy(text, name, pieces) -> bool:
    """Tell whether a definition, with what it calls in its file, computes in NumPy or SciPy alone.

    `pieces` that it calls are left out: each is ported on its own.
    """
    nodes, homes = statements_giving([text]), {}
    for node in ast.walk(parse(text)):
        if is_import(node):
            for alias in node.names:
                home = getattr(node, "module", None) or alias.name
                homes[bound_by(alias)] = home.partition(".")[0]
    names, queue = set(), [name]
    while queue:
        new = names_in(nodes.get(queue.pop(), [])) - names - set(pieces)
        names |= new
        queue += new
    used = {homes[name] for name in names if name in homes}
    return bool(used & {"numpy", "scipy"}) and not used & {"jax", "optax"}


def depends_on_process(text) -> bool:
    """Tell whether a text has in it what differs between two runs of Python."""
    tree = parse(text)
    return bool(names_in([tree]) & {"hash", "id", "set", "frozenset"}) or any(
        isinstance(node, ast.Set | ast.SetComp) for node in ast.walk(tree)
    )


def functions_of(text) -> list[str]:
    """Name the functions of a module's text, in its order."""
    return [node.name for node in parse(text).body if isinstance(node, ast.FunctionDef)]


def reached_from(texts, name) -> set[str]:
    """Name the functions of a package that one of them uses, itself and further ones included."""
    bodies = statements_giving(texts.values())
    reached, queue = set(), [name]
    while queue:
        if (found := queue.pop()) in bodies and found not in reached:
            reached.add(found)
            queue += names_in(bodies[found])
    return reached


def names_reached(texts, name) -> set[str]:
    """Name whatever a definition of a package may use: as a name, an attribute or a text."""
    bodies = statements_giving(texts.values())
    reached, queue = set(), [name]
    while queue:
        if (found := queue.pop()) not in reached:
            reached.add(found)
            queue += words_in(bodies.get(found, []))
    return reached


def statements_giving(texts) -> dict[str, list[ast.stmt]]:
    """Find the statements of modules that give a name its meaning, by the name."""
    found = {}
    for node in (node for text in texts for node in parse(text).body):
        for name in names_given(node):
            found.setdefault(name, []).append(node)
    return found


def names_given(statement) -> set[str]:
    """Name what a statement of a module defines, assigns or imports."""
    definitions = ast.FunctionDef | ast.ClassDef
    if isinstance(statement, definitions):
        return {statement.name}
    inner = list(ast.walk(statement))
    assigned = {
        each.id for each in inner if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
    }
    imported = {bound_by(each) for each in inner if isinstance(each, ast.alias)}
    return assigned | imported | {each.name for each in inner if isinstance(each, definitions)}


def words_in(nodes) -> set[str]:
    """Name all names, attributes and texts in some statements."""
    inner = [inner for node in nodes for inner in ast.walk(node)]
    found = {getattr(each, "attr", None) for each in inner}
    found |= {each.value for each in inner if isinstance(each, ast.Constant)}
    return names_in(nodes) | {word for word in found if isinstance(word, str)}


def imports_of(texts) -> list[str]:
    """Name the modules that a package imports, those of its own included."""
    nodes = [inner for text in texts.values() for inner in ast.walk(parse(text))]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return sorted(names - {""})


def names_in(nodes) -> set[str]:
    """Name everything that is read or called in some statements."""
    return {inner.id for node in nodes for inner in ast.walk(node) if isinstance(inner, ast.Name)}


def meanings(node, lines) -> dict[str, str]:
    """Say which names a top-level statement gives a meaning, and which."""
    match node:
        case ast.Import(names=aliases):
            return {
                bound_by(alias): alias.name if alias.asname else bound_by(alias)
                for alias in aliases
            }
        case ast.ImportFrom(module=module, names=aliases):
            return {bound_by(alias): f"{module}.{alias.name}" for alias in aliases}
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            return {name: ast.unparse(value)}
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            return {name: ast.unparse(value)}
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            first, last = span_of(node, lines)
            return {name: "".join(lines[first - 1 : last]).replace("\r\n", "\n").rstrip()}
    return {}


def bound_by(alias):
    return alias.asname or alias.name.partition(".")[0]


def with_definition(text, name, source, filename) -> str:
    """Put a definition in place of the one of the same name, or at the end."""
    place, source = find_definition(text, name, filename), with_line_ends(source, text)
    if place is None:
        return f"{text}{gap(text, 2)}{source}" if text.strip() else source
    lines = lines_of(text)
    return "".join(lines[: place[0] - 1]) + source + "".join(lines[place[1] :])


def gap(text, blank_lines):
    """Return the line ends that it takes to have so many blank lines after a text."""
    there = re.search(r"(\r?\n)*\Z", text).group().count("\n")
    return with_line_ends("\n" * max(0, blank_lines + 1 - there), text)


def with_name(text, name, statement, users, filename) -> str:
    """Give a name its meaning in a module: keep the statement, mend it in place, or add it.

    `users` are the piece and its own small functions: what else in the file uses the name must
    go on to mean the same by it.

    Raises: PackageError when that is not so.
    """
    tree, lines = parse(text, filename), lines_of(text)
    (wanted,) = parse(statement).body
    for node in reversed(tree.body):
        before = meanings(node, lines)
        if name not in before:
            continue
        if before[name] == meanings(wanted, lines_of(statement))[name]:
            return text
        rest = [other for other in tree.body if other is not node]
        others = [other for other in rest if getattr(other, "name", None) not in users]
        if len(before) > 1 or shares_lines(node, tree) or name in names_in(others):
            raise PackageError(
                f"{filename} already has another `{name}`, {first_line(node)}, and {users[0]} "
                f"needs {first_line(wanted)}. Give one of them another name, then check again."
            )
        first, last = span_of(node, lines)
        statement = with_line_ends(statement.rstrip() + "\n", text)
        return "".join(lines[: first - 1]) + statement + "".join(lines[last:])
    return with_new_name(text, tree, wanted, statement, users[0])


def shares_lines(node, tree):
    """Tell whether another statement stands on a line of this one."""
    return any(
        other is not node and other.lineno <= node.end_lineno and node.lineno <= other.end_lineno
        for other in tree.body
    )


def first_line(node):
    lines = ast.unparse(node).splitlines()
    return f"`{lines[len(getattr(node, 'decorator_list', []))]}`"


def with_new_name(text, tree, wanted, statement, piece):
    """Add a small function above the piece that uses it, an import or constant at the top."""
    lines, opening = lines_of(text), opening_of(tree, wanted)
    if not is_import(wanted) and not is_constant(getattr(wanted, "value", None)):
        after, added = find_definition(text, piece)[0] - 1, f"{statement}\n\n"
        while after and lines[after - 1].startswith("#"):
            after -= 1
    elif is_import(wanted) and any(map(is_import, opening)):
        return with_next_import(text, list(filter(is_import, opening)), wanted)
    else:
        after, added = (opening[-1].end_lineno if opening else 0), f"{statement}\n"
        if not opening or not isinstance(opening[-1], ast.Assign):
            gap_after = "\n\n" if lines[after].strip() else ""
            added = ("\n" if opening else "") + added + gap_after
    return "".join(lines[:after]) + with_line_ends(added, text) + "".join(lines[after:])


def is_import(node):
    return isinstance(node, ast.Import | ast.ImportFrom)


def opening_of(tree, wanted):
    """Return the docstring and imports that a module opens with, for a constant also those."""
    opening = []
    for number, node in enumerate(tree.body):
        is_docstring = number == 0 and isinstance(node, ast.Expr)
        is_constant = isinstance(node, ast.Assign) and isinstance(wanted, ast.Assign)
        if not (is_docstring or is_constant or is_import(node)):
            break
        opening.append(node)
    return opening


def with_next_import(text, imports, wanted):
    """Add an import to others: to the line of the same module, or on a line of its own."""
    lines = lines_of(text)
    for node in imports:
        if is_plain_from(node, lines) and node.module == getattr(wanted, "module", None):
            together = import_of(node, node.names + wanted.names)
            if len(together) <= LINE_LENGTH:
                lines[node.lineno - 1] = with_line_ends(f"{together}\n", text)
                return "".join(lines)
    order = import_order(wanted)
    after = [imports[0].lineno - 1, *(n.end_lineno for n in imports if import_order(n) <= order)]
    lines.insert(after[-1], with_line_ends(f"{ast.unparse(wanted)}\n", text))
    return "".join(lines)


def is_plain_from(node, lines):
    """Tell whether a line is `from module import names`, and nothing else."""
    line = lines[node.lineno - 1].rstrip("\r\n")
    return isinstance(node, ast.ImportFrom) and line == ast.unparse(node)


def import_of(node, aliases):
    aliases = sorted(aliases, key=lambda alias: alias.name)
    return ast.unparse(ast.ImportFrom(node.module, aliases, node.level))


def import_order(node):
    """Order imports as the field does: the standard library, libraries, the package's own."""
    module = getattr(node, "module", None) or node.names[0].name
    top_name = module.partition(".")[0]
    if top_name == "__future__":
        section = 0
    elif top_name in sys.stdlib_module_names:
        section = 1
    else:
        section = 3 if top_name in MODULES else 2
    return section, isinstance(node, ast.ImportFrom), module


def without_idle_imports(text, before, filename) -> str:
    """Drop the imports whose last use went with the definition that was replaced."""
    tree, lines = parse(text, filename), lines_of(text)
    lost = names_in(parse(before).body) - names_in(tree.body)
    for node in filter(is_import, reversed(tree.body)):
        kept = [alias for alias in node.names if bound_by(alias) not in lost]
        if not kept and not shares_lines(node, tree):
            del lines[node.lineno - 1 : node.end_lineno]
        elif kept != node.names and is_plain_from(node, lines):
            lines[node.lineno - 1] = with_line_ends(f"{import_of(node, kept)}\n", text)
    return "".join(lines)


# --- saving -------------------------------------------------------------------------------


def with_piece(texts, function, module, piece_modules, mark="") -> dict[str, str]:
    """Return the texts of a package with one function put in, its imports and helpers included.

    `texts` maps module names to their text, `piece_modules` piece names to their module. `mark`
    is the line above it that says where it is from, if the pair did not write it here.

    Raises: PackageError when the function needs what a file cannot carry.
    """
    filename = f"{module}.py"
    if hidden_by(module):
        raise PackageError(
            f"a file called {filename} would hide {hidden_by(module)} from everything that runs in "
            "its folder. Choose another name; nothing was saved."
        )
    needs = dependencies_of(function, piece_modules)
    for beside, value in needs.beside.items():
        if find_definition(texts.get(needs.homes[beside], ""), beside) is None:
            texts = with_piece(texts, value, needs.homes[beside], piece_modules, mark)
    before = texts.get(module, "")
    name, source = inspect.unwrap(function).__name__, source_of_piece(function)
    users = [name, *needs.helpers]
    for used, home in needs.homes.items():
        if home != module:
            needs.imports[used] = f"from {home} import {used}"
    text = with_definition(before, name, f"{mark}\n{source}" if mark else source, filename)
    for needed in (needs.helpers, needs.imports, needs.constants):
        for used, statement in needed.items():
            text = with_name(text, used, statement, users, filename)
    return {**texts, module: without_idle_imports(text, before, filename)}


def read_texts(folder: Path, modules=MODULES) -> dict[str, str]:
    """Read the text of every module of a package that is there, with its own line ends.

    Raises: PackageError for a file that cannot be read, or is not UTF-8 text.
    """
    texts = {}
    for name in modules:
        path = folder / f"{name}.py"
        try:
            if path.is_file():
                texts[name] = path.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise PackageError(
                f"{folder.name}/{path.name} is not UTF-8 text (byte {error.start}). Save it as "
                "UTF-8, then check again; it was not touched."
            ) from error
        except OSError as error:
            raise PackageError(
                f"{folder.name}/{path.name} cannot be read ({error.strerror}). Allow reading it, "
                "then check again; it was not touched."
            ) from error
    return texts


def write_texts(folder: Path, texts: dict[str, str], before: dict[str, str]) -> None:
    """Write the modules that are not as they were before: all of them, each whole, or none.

    Raises: PackageError when the folder cannot be written, or a file is not what it was before;
    what was there then stays whole.
    """
    changed = [name for name in MODULES if name in texts and texts[name] != before.get(name)]
    refuse_links(folder, changed)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder.parent):
            refuse_changed(folder, changed, before)
            paths = {folder / f"{name}.py": texts[name].encode() for name in changed}
            replace_files({path: byte_order_mark(path) + paths[path] for path in paths})
    except OSError as error:
        files = ", ".join(f"{name}.py" for name in changed)
        raise PackageError(
            f"{files} cannot be written in {folder.parent.name}/{folder.name} ({error.strerror}). "
            "Make room or allow writing there, then check again; your piece is safe in its cell "
            "and what was saved before is untouched."
        ) from error


def refuse_links(folder, changed):
    """Keep what is saved where it belongs: a link could lead it anywhere."""
    for path in (folder, *(folder / f"{name}.py" for name in changed)):
        if path.is_symlink():
            raise PackageError(
                f"{path} is a link to {os.readlink(path)}, and nothing is saved through links. Put "
                "the file or folder itself there, then check again."
            )


def refuse_changed(folder, changed, before):
    now = read_texts(folder)
    for name in changed:
        if now.get(name) != before.get(name):
            raise PackageError(
                f"{folder.name}/{name}.py was changed while your piece was being checked, so it "
                "was left as it is. Check again."
            )


def byte_order_mark(path):
    has_mark = path.is_file() and path.read_bytes().startswith(codecs.BOM_UTF8)
    return codecs.BOM_UTF8 if has_mark else b""
