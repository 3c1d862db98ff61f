"""Keep the pair's package: plain modules that hold each piece and run without this workbook."""

import ast
import builtins
import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import linecache
import re
import symtable
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType, ModuleType

from reimpl_helpers.checks import is_cell, shorten, unwrap
from reimpl_helpers.files import replace_file

MODULES = ("shapes", "model", "params", "data", "losses", "training", "test_model")
GIVEN = "# given by the workbook"  # the line above a piece that the pair did not write


class PackageError(Exception):
    """Say why a piece cannot be read from, or saved to, the pair's package."""

    def _render_traceback_(self):
        return [str(self)]


# --- importing ----------------------------------------------------------------------------


class PackageFinder(importlib.abc.MetaPathFinder, importlib.abc.SourceLoader):
    """Import plain modules from one folder, with the text of some of them replaced."""

    def __init__(self, folder: Path, replaced: dict[str, str]):
        self.folder, self.replaced = folder, replaced

    def find_spec(self, name, path=None, target=None):
        if name in sys.stdlib_module_names:
            return None
        if name in self.replaced or (self.folder / f"{name}.py").is_file():
            return importlib.util.spec_from_loader(name, self, origin=self.get_filename(name))
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
        text = self.replaced[name]
        path = f"{path} #{hash(text) & 0xFFFFFFFF:x}"  # tracebacks must not show the file's lines
        linecache.cache[path] = len(text), None, text.splitlines(keepends=True), path
        return self.source_to_code(text.encode(), path)


@contextlib.contextmanager
def imported_from(folder: Path, replaced: dict[str, str] | None = None):
    """Import modules from a folder inside, fresh, and leave no trace of them afterwards.

    Two packages whose modules have the same names can so be used side by side.
    """
    replaced = replaced or {}
    names = {*MODULES, *replaced, *(path.stem for path in folder.glob("*.py"))}
    names -= set(sys.stdlib_module_names)
    before = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    finder = PackageFinder(folder, replaced)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(before)


def load_pieces(folder: Path, module: str, replaced: dict[str, str] | None = None) -> ModuleType:
    """Import one module of a package.

    Raises: PackageError naming the file and the line that does not import.
    """
    path = folder / f"{module}.py"
    try:
        with imported_from(folder, replaced):
            return importlib.import_module(module)
    except (Exception, SystemExit) as error:
        raise PackageError(
            f"{folder.name}/{path.name} cannot be imported{line_of(error, path)}: "
            f"{type(error).__name__}: {error}. Mend that line; nothing in the file was changed."
        ) from error


def line_of(error, path):
    if isinstance(error, SyntaxError):
        return f" (line {error.lineno})"
    numbers = [
        entry.lineno
        for entry in inspect.getinnerframes(error.__traceback__, 0)
        if entry.filename == str(path)
    ]
    return f" (line {numbers[-1]})" if numbers else ""


# --- what a piece needs -------------------------------------------------------------------


@dataclass
class Needs:
    """List what the text of a piece takes from around it."""

    imports: dict[str, str] = field(default_factory=dict)  # name -> import statement
    pieces: dict[str, FunctionType] = field(default_factory=dict)
    helpers: dict[str, object] = field(default_factory=dict)  # the pair's own small functions
    constants: dict[str, str] = field(default_factory=dict)  # name -> literal


def source_of_piece(function) -> str:
    """Return the text of a function as it was typed.

    Raises: PackageError when there is no text to be had, or it is no `def`.
    """
    try:
        source = textwrap.dedent(inspect.getsource(unwrap(function)))
        tree = ast.parse(source)
    except (OSError, TypeError, SyntaxError) as error:
        raise PackageError(
            f"the text of {getattr(function, '__name__', shorten(function))} cannot be found. "
            "Run the cell that defines it again, then its check."
        ) from error
    if not isinstance(tree.body[0], ast.FunctionDef | ast.ClassDef):
        raise PackageError(
            f"this is not written with `def`: {source.splitlines()[0]} "
            "Write it as a function with a name, then check it again."
        )
    return source.rstrip() + "\n"


def names_used(source: str) -> set[str]:
    """Name everything that the text reads from its module, built-in names left out."""
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
    return used - {ast.parse(source).body[0].name}


def needs_of(function, piece_names) -> Needs:
    """Find the imports, pieces, helpers and constants that a function uses.

    Raises: PackageError for a value that a file cannot carry.
    """
    needs = Needs()
    function_name = unwrap(function).__name__
    namespace = unwrap(function).__globals__
    for name in sorted(names_used(source_of_piece(function))):
        if name in namespace:
            sort_need(needs, function_name, name, namespace[name], piece_names)
        elif not hasattr(builtins, name):
            raise PackageError(
                f"{function_name} uses `{name}`, which is defined nowhere. "
                "Define it, or take it out, then check again."
            )
    return needs


def sort_need(needs, function_name, name, value, piece_names):
    plain = unwrap(value)
    if isinstance(value, ModuleType):
        needs.imports[name] = import_module_line(name, value, function_name)
    elif name in piece_names and isinstance(plain, FunctionType):
        needs.pieces[name] = value
    elif isinstance(plain, FunctionType | type) and is_own(plain):
        needs.helpers[name] = value
    elif (statement := import_from_line(name, value)) is not None:
        needs.imports[name] = statement
    elif (literal := as_literal(value)) is not None:
        needs.constants[name] = literal
    else:
        raise PackageError(
            f"{function_name} uses `{name}`, {shorten(value)}, which lives in the notebook only. "
            "Pass it as an argument, then check again."
        )


def is_own(value):
    """Tell whether a function or class was typed in a notebook or in the pair's files."""
    if isinstance(value, type):
        return value.__module__ == "__main__"
    return value.__module__ in ("__main__", *MODULES) or is_cell(value.__code__.co_filename)


def import_module_line(name, module, function_name):
    if module.__name__.split(".")[0] == "reimpl_helpers":
        raise PackageError(
            f"{function_name} uses `{name}` of the workbook's helpers. Your package has to run "
            "without them: write what you need yourself, then check again."
        )
    return f"import {name}" if module.__name__ == name else f"import {module.__name__} as {name}"


def import_from_line(name, value):
    """Find the shortest public module that offers a value: `from jax import grad`."""
    home = getattr(value, "__module__", None) or type(value).__module__
    original = getattr(value, "__name__", name)
    parts = home.split(".")
    if parts[0] in ("builtins", "__main__", "reimpl_helpers"):
        return None
    for length in range(1, len(parts) + 1):
        module = ".".join(parts[:length])
        if getattr(sys.modules.get(module), original, None) is value:
            alias = "" if original == name else f" as {name}"
            return f"from {module} import {original}{alias}"
    return None


def as_literal(value):
    text = repr(value)
    try:
        return text if ast.literal_eval(text) == value else None
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


# --- the text of a module -----------------------------------------------------------------


def parse(text, filename):
    try:
        return ast.parse(text)
    except SyntaxError as error:
        raise PackageError(
            f"{filename} has a syntax error on line {error.lineno}: {error.msg}. Mend that line, "
            "then check again; the file was not touched and your piece is safe in its cell."
        ) from error


def find_definition(text, name, filename="the file"):
    """Return the first and last line (from 1, both included) of a top-level definition."""
    for node in parse(text, filename).body:
        is_definition = isinstance(node, ast.FunctionDef | ast.ClassDef)
        if is_definition and node.name == name:
            first = min([node.lineno, *(entry.lineno for entry in node.decorator_list)])
            lines = text.splitlines()
            if first > 1 and lines[first - 2].strip() == GIVEN:
                first -= 1
            return first, node.end_lineno
    return None


def docstring_of(text) -> str:
    """Return the docstring that a module opens with, as it is typed."""
    first = ast.parse(text).body[0]
    return "".join(text.splitlines(keepends=True)[: first.end_lineno])


def uses_jax(text, name) -> bool:
    """Tell whether a definition computes with JAX, by the imports that it uses."""
    first, last = find_definition(text, name)
    used = names_used("".join(text.splitlines(keepends=True)[first - 1 : last]))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for entry in node.names:
                home = getattr(node, "module", None) or entry.name
                bound = entry.asname or entry.name.split(".")[0]
                if home.split(".")[0] in ("jax", "optax") and bound in used:
                    return True
    return False


def is_given(text, name) -> bool:
    """Tell whether the definition in this text was given by the workbook."""
    place = find_definition(text, name)
    return place is not None and text.splitlines()[place[0] - 1].strip() == GIVEN


def with_definition(text, name, source, filename) -> str:
    """Put a definition in place of the one of the same name, or at the end."""
    place = find_definition(text, name, filename)
    lines = text.splitlines(keepends=True)
    if place is None:
        return f"{text.rstrip()}\n\n\n{source}" if text.strip() else source
    first, last = place
    return "".join(lines[: first - 1]) + source + "".join(lines[last:])


def with_import(text, name, statement, filename) -> str:
    """Add an import unless it is there.

    Raises: PackageError when the file already uses that name for something else.
    """
    tree = parse(text, filename)
    last = 1 if tree.body and is_docstring(tree.body[0]) else 0
    for number, node in enumerate(tree.body):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        if number == last:
            last = number + 1
        bound = {(entry.asname or entry.name): entry for entry in node.names}
        if name in bound:
            if same_import(node, bound[name], statement):
                return text
            raise PackageError(
                f"{filename} already has `{ast.unparse(node)}`, and the piece needs "
                f"`{statement}`: two meanings of {name} in one file. Give one of them another name."
            )
    lines = text.splitlines(keepends=True)
    after = tree.body[last - 1].end_lineno if last else 0
    is_first = after == 0 or not isinstance(tree.body[last - 1], ast.Import | ast.ImportFrom)
    gap_before = "\n" if is_first and after else ""
    gap_after = "\n\n" if is_first and "".join(lines[after:]).strip() else ""
    return (
        "".join(lines[:after]) + gap_before + statement + "\n" + gap_after
        + "".join(lines[after:]).lstrip("\n" if is_first else "")
    )  # fmt: skip


def without_stale_imports(text, definition, imports, filename) -> str:
    """Drop imports that only the replaced definition used, where the new one means another thing.

    A port may so keep its names: `import numpy as np` gives way to `import jax.numpy as np`.
    """
    place = find_definition(text, definition, filename)
    if place is None:
        return text
    lines = text.splitlines(keepends=True)
    rest = parse("".join(lines[: place[0] - 1] + lines[place[1] :]), filename)
    in_use = {node.id for node in ast.walk(rest) if isinstance(node, ast.Name)}
    stale = set()
    for node in parse(text, filename).body:
        if isinstance(node, ast.Import | ast.ImportFrom) and len(node.names) == 1:
            name = node.names[0].asname or node.names[0].name
            if name in imports and name not in in_use:
                if not same_import(node, node.names[0], imports[name]):
                    stale.update(range(node.lineno, node.end_lineno + 1))
    return "".join(line for number, line in enumerate(lines, 1) if number not in stale)


def is_docstring(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def same_import(node, entry, statement):
    (wanted,) = ast.parse(statement).body
    (wanted_entry,) = wanted.names
    same_module = getattr(node, "module", None) == getattr(wanted, "module", None)
    return same_module and entry.name == wanted_entry.name


def with_constant(text, name, literal, filename) -> str:
    """Add `NAME = value` below the imports unless it is there.

    Raises: PackageError when the file gives the name another value.
    """
    tree = parse(text, filename)
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            if ast.unparse(node.value) == ast.unparse(ast.parse(literal).body[0].value):
                return text
            raise PackageError(
                f"{filename} already has `{ast.unparse(node)}`, and your cell uses "
                f"{name} = {literal}. Give one of them another name, then check again."
            )
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    after = imports[-1].end_lineno if imports else 0
    lines = text.splitlines(keepends=True)
    gap = "\n" if imports else ""
    return "".join(lines[:after]) + f"{gap}{name} = {literal}\n" + "".join(lines[after:])


# --- saving -------------------------------------------------------------------------------


def with_piece(texts, function, module, piece_modules, given=False) -> dict[str, str]:
    """Return the texts of a package with one function put in, its imports and helpers included.

    `texts` maps module names to their text, `piece_modules` piece names to their module.

    Raises: PackageError when the function needs what a file cannot carry.
    """
    texts, filename = dict(texts), f"{module}.py"
    if module in sys.stdlib_module_names:
        raise PackageError(
            f"a file called {filename} would hide Python's own module `{module}` from everything "
            "that runs in its folder. Choose another name; nothing was saved."
        )
    text = texts.get(module, "")
    needs = needs_of(function, piece_modules)
    for name, piece in needs.pieces.items():
        home = piece_modules[name]
        if home != module:
            needs.imports[name] = f"from {home} import {name}"
        elif unwrap(piece).__name__ != name:
            raise PackageError(f"call the piece {unwrap(piece).__name__} by that name.")
    name, source = unwrap(function).__name__, source_of_piece(function)
    text = without_stale_imports(text, name, needs.imports, filename)
    text = with_definition(text, name, f"{GIVEN}\n{source}" if given else source, filename)
    for name, statement in sorted(needs.imports.items(), key=lambda item: import_order(item[1])):
        text = with_import(text, name, statement, filename)
    for name, literal in needs.constants.items():
        text = with_constant(text, name, literal, filename)
    texts[module] = text
    for helper in needs.helpers.values():
        if source_of_piece(helper) not in texts[module]:
            texts = with_piece(texts, helper, module, piece_modules, given)
    return texts


def import_order(statement):
    """Order imports as the field does: the standard library, libraries, the package's own."""
    module = re.match(r"(?:import|from) (\w+)", statement).group(1)
    if module in MODULES:
        return 2, statement
    return (0 if module in sys.stdlib_module_names else 1), statement


def read_texts(folder: Path) -> dict[str, str]:
    """Read the text of every module of a package, line ends as `\\n`.

    Raises: PackageError for a file that is not UTF-8 text.
    """
    texts = {}
    for name in MODULES:
        path = folder / f"{name}.py"
        if path.is_file():
            try:
                texts[name] = path.read_bytes().decode().replace("\r\n", "\n")
            except UnicodeDecodeError as error:
                raise PackageError(
                    f"{folder.name}/{path.name} is not UTF-8 text (byte {error.start}). Save it as "
                    "UTF-8, then check again; it was not touched."
                ) from error
    return texts


def write_texts(folder: Path, texts: dict[str, str], before: dict[str, str]) -> list[str]:
    """Write the modules that changed, each whole; return their names.

    Raises: PackageError when the folder cannot be written; what was there stays whole.
    """
    changed = [name for name in texts if texts[name] != before.get(name)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in changed:
            path = folder / f"{name}.py"
            windows = path.is_file() and b"\r\n" in path.read_bytes()
            text = texts[name].replace("\n", "\r\n") if windows else texts[name]
            replace_file(path, text.encode())
    except OSError as error:
        raise PackageError(
            f"{folder.parent.name}/{folder.name} cannot be written ({error.strerror}). Make room "
            "or allow writing there, then check again; your piece is safe in its cell and what "
            "was saved before is untouched."
        ) from error
    return changed
