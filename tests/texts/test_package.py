"""What is saved must run on its own, and what else the pair wrote must stay byte for byte."""

import builtins
import os
import subprocess
import sys
import textwrap
from types import ModuleType, SimpleNamespace

import jax
import numpy as np
import pytest
from cells import Notebook

from reimpl_helpers.texts import package
from reimpl_helpers.texts.package import PackageError

PIECES = {"piece": "model", "encoder": "model", "param_shapes": "shapes", "train": "training"}


def saved(notebook, name="piece", texts=None, module="model"):
    """Return the text of the module that a function of a notebook was put into."""
    return package.with_piece(texts or {}, notebook[name], module, PIECES)[module]


def refused(notebook, name="piece", texts=None, module="model"):
    with pytest.raises(PackageError) as caught:
        package.with_piece(texts or {}, notebook[name], module, PIECES)
    message = str(caught.value)
    assert len(message) < 350 and "\n" not in message, "one clear message"
    return message


def loaded(text, folder, **others):
    """Import the text of a module on its own."""
    return package.load_pieces(folder, "model", {"model": text, **others})


# --- the text of a piece ----------------------------------------------------------------------

WORD_FOR_WORD = {
    "comments": """\
        def piece(x):  # ours
            # first   double it

            y = 2 * x      # aligned oddly
        # a comment at the margin
            return y  # done
            # and an afterthought
        """,
    "odd quotes": '''\
        def piece(x):
            """Says "quoted", 'single' and \\"\\"\\" too.

               indented, and a blank line with spaces:
            BLANK
            """
            return x * len('"\\'"')
        ''',
    "not ASCII": """\
        def piece(x, größe=1.5):
            'Größe in µm, π ≈ 3.14, 日本語, 🐍'
            return x * größe
        """,
    "tabs": "def piece(x):\n\tif x:\n\t\treturn 2 * x\n\treturn x\n",
    "one line": "def piece(x): return 3 * x\n",
    "over many lines": """\
        def piece(
            x, *, scale=(
                2),
        ) -> (
            float
        ):
            return (
                x
                * scale
            )
        """,
    "functions inside": """\
        def piece(x):
            def inner(y):
                return helper(y)
            helper = lambda y: y + 1
            return [inner(each) for each in (x, x)][0]
        """,
}


@pytest.mark.parametrize("source", WORD_FOR_WORD.values(), ids=WORD_FOR_WORD)
def test_text_is_kept_word_for_word(source, tmp_path):
    source = textwrap.dedent(source).replace("BLANK", " \t ")
    notebook = Notebook(f"import math\n\ny = 1\n{source}\nz = 2\n")
    text = saved(notebook)
    assert text == source
    assert saved(notebook, texts={"model": text}) == text
    assert loaded(text, tmp_path).piece(3) == notebook["piece"](3)


def test_function_inside_other_code_is_saved_at_the_margin(tmp_path):
    notebook = Notebook(
        "for scale in (1, 2):\n    if scale:\n        def piece(x):\n            return x + scale\n"
    )
    text = saved(notebook)
    assert "\n\n\ndef piece(x):\n    return x + scale\n" in text
    assert loaded(text, tmp_path).piece(3) == 5


NO_PLAIN_DEF = {
    "lambda": "piece = lambda x: x",
    "lambda among others": "piece = max(\n    [lambda x: x], key=id)",
    "async": "async def piece(x):\n    return x",
}


@pytest.mark.parametrize("cell", NO_PLAIN_DEF.values(), ids=NO_PLAIN_DEF)
def test_what_is_no_plain_def_is_refused(cell):
    assert "is not written with a plain `def`" in refused(Notebook(cell))


def test_text_that_a_magic_hides_is_asked_for_again():
    notebook = Notebook()
    exec("def piece(x):\n    return x", notebook)  # as %%time does
    assert "%% at the top of that cell hides" in refused(notebook)


DECORATED = {
    "jax.jit": "import jax\n@jax.jit\ndef piece(x):\n    return x * 2",
    "jit with options": "import jax\nfrom functools import partial\n"
    "@partial(jax.jit, static_argnames='k')\ndef piece(x, k=2):\n    return x * k",
    "jitted afterwards": "import jax\ndef piece(x):\n    return x * 2\npiece = jax.jit(piece)",
    "cached": "from functools import lru_cache\n@lru_cache\ndef piece(x):\n    return x * 2",
    "own decorator": "from functools import wraps\ndef timed(f):\n    @wraps(f)\n"
    "    def inner(*args):\n        return f(*args)\n    return inner\n"
    "@timed\ndef piece(x):\n    return x * 2",
    "library's decorator": "from contextlib import ContextDecorator\nimport numpy as np\n"
    "class quiet(ContextDecorator):\n    def __enter__(self): pass\n"
    "    def __exit__(self, *error): pass\n@quiet()\ndef piece(x):\n    return np.add(x, x)",
}


@pytest.mark.parametrize("cell", DECORATED.values(), ids=DECORATED)
def test_decorated_piece_runs_on_its_own(cell, tmp_path):
    assert loaded(saved(Notebook(cell)), tmp_path).piece(3) == 6


# --- what a piece needs -----------------------------------------------------------------------

IMPORTED = {  # what the notebook says, how the piece uses it: what the file must say
    ("import math", "math.tau"): "import math",
    ("import numpy as np", "np.ones(2)"): "import numpy as np",
    ("import numpy.linalg as la", "la.norm(x)"): "import numpy.linalg as la",
    ("import os.path", "os.path.sep"): "import os",
    ("import jax.numpy as jnp", "jnp.tanh(x)"): "import jax.numpy as jnp",
    ("from jax import numpy as jnp", "jnp.tanh(x)"): "import jax.numpy as jnp",
    ("import jax.scipy.special", "jax.scipy.special.expit(x)"): "import jax",
    ("from jax import grad", "grad"): "from jax import grad",
    ("from jax.nn import relu", "relu(x)"): "from jax.nn import relu",
    ("from jax.random import split", "split"): "from jax.random import split",
    ("import jax\nrelu = jax.nn.relu", "relu(x)"): "from jax.nn import relu",
    ("from numpy import exp", "exp(x)"): "from numpy import exp",
    ("from numpy import absolute as size", "size(x)"): "from numpy import absolute as size",
    ("from numpy.random import default_rng", "default_rng()"): (
        "from numpy.random import default_rng"
    ),
    ("from functools import reduce", "reduce"): "from functools import reduce",
    ("from operator import mul", "mul"): "from operator import mul",
    ("from functools import partial", "partial(max, 1)"): "from functools import partial",
    ("from pathlib import Path", "Path('a')"): "from pathlib import Path",
    ("from math import inf", "inf"): "from math import inf",
    ("from optax import adam", "adam(0.1)"): "from optax import adam",
    ("from jax.typing import ArrayLike", "ArrayLike"): "from jax.typing import ArrayLike",
    ("from typing import Any", "Any"): "from typing import Any",
    ("from collections.abc import Callable", "Callable"): "from collections.abc import Callable",
    ("from safetensors.numpy import load_file", "load_file"): (
        "from safetensors.numpy import load_file"
    ),
}


@pytest.mark.parametrize("said, used", IMPORTED, ids=lambda text: text.replace("\n", "; "))
def test_imports_come_along(said, used, tmp_path):
    text = saved(Notebook(said, f"def piece(x):\n    return {used}"))
    assert text.splitlines()[0] == IMPORTED[said, used]
    assert loaded(text, tmp_path).piece is not None


def test_imports_that_are_written_work_in_a_fresh_process():
    lines = [*IMPORTED.values(), "jax.scipy.special.expit"]
    subprocess.run([sys.executable, "-W", "error", "-c", "\n".join(lines)], check=True)


def test_imports_stand_in_the_order_of_the_field():
    notebook = Notebook(
        "import numpy as np, math, jax\ndef param_shapes(): pass",
        "def piece(x):\n    return np, math, jax, param_shapes",
    )
    assert saved(notebook).splitlines()[:4] == [
        "import math",
        "import jax",
        "import numpy as np",
        "from shapes import param_shapes",
    ]


@pytest.mark.parametrize(
    "value", ["8", "-1.5", "'a \"b\" \\n'", "(1, 2)", "{'a': [1, None]}", "True", "b'x'", "{1}"]
)
def test_constants_come_along(value, tmp_path):
    notebook = Notebook(f"SIZE = {value}", "def piece(x=SIZE):\n    return SIZE, x")
    text = saved(notebook)
    assert loaded(text, tmp_path).piece() == notebook["piece"]()


def test_number_of_numpy_is_written_as_a_number(tmp_path):
    notebook = Notebook("import numpy as np\nSCALE = np.sqrt(8)", "def piece():\n    return SCALE")
    assert saved(notebook) == "SCALE = 2.8284271247461903\n\n\ndef piece():\n    return SCALE\n"


MADE_IN_PASSING = {
    "in a loop": ("import numpy as np\nfor n in 2, 3:\n    kept = np.ones(n)", "Pass it as an"),
    "one of two": ("import numpy as np\nkept, rest = np.ones(2), 1", "Pass it as an argument"),
    "with for": (
        "import operator as op\nfor n in 2, 3:\n    kept = op.itemgetter(n)",
        "with `def`",
    ),
}


@pytest.mark.parametrize("cell, way_out", MADE_IN_PASSING.values(), ids=MADE_IN_PASSING)
def test_value_that_no_statement_of_its_own_makes_is_refused(cell, way_out):
    message = refused(Notebook(cell, "def piece(x):\n    return kept"))
    assert way_out in message and "`kept`" in message


def test_name_that_is_defined_nowhere_is_refused():
    assert "`nowhere`, which is defined nowhere" in refused(
        Notebook("def piece(x):\n    return [y + nowhere for y in x]")
    )


OF_THE_WORKBOOK = {
    "function": ("from reimpl_helpers.params import nested", "nested(x)"),
    "module": ("from reimpl_helpers import params", "params.nested(x)"),
    "object": ("from reimpl_helpers.tracks.track import Track\ntrack = Track('a')", "track.name"),
    "import inside": ("", "__import__('sys')\n    from reimpl_helpers import params"),
    "other import inside": ("", "1\n    import reimpl_helpers.params as p"),
    "through a function": (
        "from reimpl_helpers.params import nested\ndef own(x):\n    return nested(x)",
        "own(x)",
    ),
}


@pytest.mark.parametrize("cell, used", OF_THE_WORKBOOK.values(), ids=OF_THE_WORKBOOK)
def test_use_of_the_workbook_is_refused(cell, used):
    message = refused(Notebook(cell, f"def piece(x):\n    y = {used}\n    return y"))
    assert "of the workbook's helpers. Your package has to run without them" in message


def test_built_in_names_need_nothing():
    notebook = Notebook("def piece(x):\n    return open, print, __name__, sorted(x), ValueError")
    assert saved(notebook).startswith("def piece(x):")


def test_open_and_display_of_a_notebook(monkeypatch):
    """IPython gives notebooks an `open` of its own, and `display` as if Python had it."""
    notebook = Notebook("def piece(x):\n    display(x)\n    return open")
    from IPython.core.interactiveshell import _modified_open
    from IPython.display import display

    notebook["open"] = _modified_open
    monkeypatch.setattr(builtins, "display", display, raising=False)
    assert saved(notebook).startswith("from IPython.display import display\n\n\ndef piece")


def test_own_names_hide_built_in_ones(tmp_path):
    notebook = Notebook("max = 3", "def piece():\n    return max")
    assert loaded(saved(notebook), tmp_path).piece() == 3


OWN_FUNCTIONS = {
    "one": "def act(x):\n    return 2 * x\n\ndef piece(x):\n    return act(x)",
    "one of another": "SCALE = 2\ndef times(x):\n    return SCALE * x\n"
    "def act(x):\n    return times(x)\n\ndef piece(x):\n    return act(x)",
    "each of the other": "def even(n):\n    return n == 0 or odd(n - 1)\n"
    "def odd(n):\n    return n > 0 and even(n - 1)\ndef piece(x):\n    return 6 if odd(x) else 0",
    "of the piece itself": "def down(x):\n    return piece(x - 1)\n"
    "def piece(x):\n    return 6 if x <= 0 else down(x)",
    "itself": "def piece(x):\n    return 6 if x <= 0 else piece(x - 1)",
    "cached": "import functools\n@functools.cache\ndef act(x):\n    return 2 * x\n"
    "def piece(x):\n    return act(x)",
    "jitted": "import jax\n@jax.jit\ndef act(x):\n    return 2 * x\n"
    "def piece(x):\n    return act(x)",
    "as decorator": "def twice(f):\n    return lambda x: 2 * f(x)\n"
    "def same(f):\n    return f\n@same\ndef act(x):\n    return x\n"
    "def piece(x, f=twice(act)):\n    return f(x)",
    "class": "class Layer:\n    def __call__(self, x):\n        return act(2, x)\n"
    "def act(scale, x):\n    return scale * x\ndef piece(x):\n    return Layer()(x)",
    "class without functions": "from typing import NamedTuple\nclass Sizes(NamedTuple):\n"
    "    code: int = 2\ndef piece(x, sizes=Sizes()):\n    return sizes.code * x",
    "under another name": "def act(x): return 2 * x\nrelu = act\ndef piece(x):\n    return relu(x)",
    "a lambda with a name": "act = lambda x: 2 * x\ndef piece(x):\n    return act(x)",
    "a partial function": "from functools import partial\nSCALE = 2\n"
    "def times(scale, x):\n    return scale * x\nact = partial(times, SCALE)\n"
    "def piece(x):\n    return act(x)",
    "vectorized": "import math\nimport numpy as np\nceil = np.vectorize(math.ceil)\n"
    "def piece(x):\n    return int(2 * ceil(x))",
    "a decorator of NumPy's": "import numpy as np\n@np.vectorize\ndef act(x):\n    return 2 * x\n"
    "def piece(x):\n    return int(act(x))",
    "an array": "import numpy as np\nTABLE = 2 * np.arange(4)\n"
    "def piece(x):\n    return int(TABLE[x])",
    "a named tuple": "from collections import namedtuple\nGates = namedtuple('Gates', 'i f')\n"
    "def piece(x):\n    return Gates(x, 2).i * Gates(x, 2).f",
    "a dataclass": "from dataclasses import dataclass\n@dataclass\nclass Gate:\n    x: int\n"
    "def piece(x):\n    return 2 * Gate(x).x",
    "in an annotation": "class Params(dict):\n    pass\n"
    "def piece(x: Params) -> Params:\n    return 2 * x",
}


@pytest.mark.parametrize("cell", OWN_FUNCTIONS.values(), ids=OWN_FUNCTIONS)
def test_own_functions_come_along(cell, tmp_path):
    notebook = Notebook(cell)
    text = saved(notebook)
    assert loaded(text, tmp_path).piece(3) == 6
    assert saved(notebook, texts={"model": text}) == text


@pytest.mark.parametrize("name", ["__main__", "__mp_main__"])
def test_nothing_is_imported_from_the_notebook(name, tmp_path, monkeypatch):
    notebook = Notebook(OWN_FUNCTIONS["vectorized"])
    monkeypatch.setitem(sys.modules, name, SimpleNamespace(ceil=notebook["ceil"]))
    assert loaded(saved(notebook), tmp_path).piece(3) == 6
    assert "import ceil" not in saved(notebook)


def test_class_is_saved_as_it_was_run_last(tmp_path):
    notebook = Notebook("class Layer:\n    scale = 1", "def piece(x):\n    return Layer.scale * x")
    notebook.run("class Layer:\n    scale = 2")
    assert loaded(saved(notebook), tmp_path).piece(3) == 6


def test_fixtures_of_a_test_come_along():
    notebook = Notebook(
        "import pytest\n@pytest.fixture\ndef size():\n    return 3",
        "def test_size(size):\n    assert size == 3",
    )
    text = package.with_piece({}, notebook["test_size"], "test_model", {})["test_model"]
    assert text.startswith("import pytest\n\n\n@pytest.fixture\ndef size():\n    return 3\n\n\ndef")


def test_pieces_of_other_modules_are_imported():
    notebook = Notebook(
        "def param_shapes():\n    return 1",
        "def both():\n    return param_shapes(), encoder()",
        "def encoder():\n    return 2",
        "def piece():\n    return both()",
    )
    text = saved(notebook)
    assert text.startswith("from shapes import param_shapes\n\n\ndef both")
    assert "def encoder" not in text and "import encoder" not in text


def test_functions_of_the_pairs_own_files_are_imported(tmp_path):
    (tmp_path / "losses.py").write_text("def squared(x):\n    return x * x\n")
    (tmp_path / "ours.py").write_text("def halved(x):\n    return x / 2\n")
    with package.imported_from(tmp_path):
        notebook = Notebook(
            "from losses import squared\nfrom ours import halved",
            "def piece(x):\n    return halved(squared(x))",
        )
        text = saved(notebook)
    assert set(text.splitlines()[:2]) == {"from losses import squared", "from ours import halved"}
    assert loaded(text, tmp_path).piece(4) == 8


# --- the text of a module ---------------------------------------------------------------------

OLD = "def piece(x):\n    return 1\n"
NEW = "def piece(x):\n    return 2\n"
SURROUNDINGS = {
    "nothing": ("", ""),
    "comments": ("# ours\n\n# above\n", "# below, at the margin\n\n\n\n# the end"),
    "functions": ("def a():\n    pass\n\n\n\n\n\n", "\n\nclass B:\n    def piece(self): pass\n"),
    "blank lines": ("\n\n\n  \n\t\n", "\n\n  \n"),
    "docstring, imports": ('"""Ours."""\nimport os, sys\nfrom a import *\n', "x = 1; y = 2\n"),
    "form feed, separators": (
        "# \x0c\x0b\x1c\x85\u2028\u2029\nx = '\x0c'\n\x0c\n",
        "\x0c\ny = 0\n",
    ),
    "earlier version": ("def piece():\n    return 0\n\n\n", "\nafter = piece\n"),
    "not ASCII": ("# Größe 日本\n", "s = '🐍'\n"),
    "decorated others": ("@print\ndef a(): pass\n", "@print\ndef b(): pass\n"),
}


@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["unix", "windows"])
@pytest.mark.parametrize("before, after", SURROUNDINGS.values(), ids=SURROUNDINGS)
def test_all_else_stays_byte_for_byte(before, after, ends, tmp_path):
    path = tmp_path / "model.py"
    before, old, new, after = (
        text.replace("\n", ends).encode() for text in (before, OLD, NEW, after)
    )
    path.write_bytes(before + old + after)
    texts = package.read_texts(tmp_path)
    package.write_texts(tmp_path, {"model": saved(Notebook(NEW), texts=texts)}, texts)
    assert path.read_bytes() == before + new + after


def test_byte_order_mark_and_mixed_line_ends_stay(tmp_path):
    before, after = b"\xef\xbb\xbf# ours\r\nx = 1\n\n", b"\r\ny = 2\n"
    (tmp_path / "model.py").write_bytes(before + OLD.encode() + after)
    texts = package.read_texts(tmp_path)
    package.write_texts(tmp_path, {"model": saved(Notebook(NEW), texts=texts)}, texts)
    new = NEW.replace("\n", "\r\n").encode()
    assert (tmp_path / "model.py").read_bytes() == before + new + after


ENDINGS = {"": 3, "\n": 2, "\n\n": 1, "\n\n\n": 0, "\n\n\n\n\n": 0}


@pytest.mark.parametrize("ending", ENDINGS, ids=ENDINGS.values())
def test_new_piece_goes_to_the_end(ending):
    text = saved(Notebook(NEW), texts={"model": f"x = 1  {ending}"})
    assert text == f"x = 1  {ending}" + "\n" * ENDINGS[ending] + NEW


def test_comments_that_a_piece_ends_on_go_with_it():
    old = f"{OLD}    # to do: faster\n\n    # or not\n# stays\nx = 1\n"
    assert saved(Notebook(NEW), texts={"model": old}) == f"{NEW}# stays\nx = 1\n"


def test_last_definition_counts():
    old = "def piece():\n    return 0\n\n\ndef piece():\n    return 1\n"
    assert saved(Notebook(NEW), texts={"model": old}) == f"def piece():\n    return 0\n\n\n{NEW}"


def test_decorators_go_with_the_definition():
    old = "import jax\n\n\n@jax.jit\ndef piece(x):\n    return 1\n"
    assert saved(Notebook(NEW), texts={"model": old}).strip() == NEW.strip()


def test_given_piece_is_marked_until_it_is_the_pairs_own():
    notebook = Notebook(NEW)
    texts = package.with_piece({}, notebook["piece"], "model", PIECES, package.GIVEN)
    assert texts["model"] == f"{package.GIVEN}\n{NEW}"
    assert package.is_given(texts["model"], "piece")
    assert package.definition_of(texts["model"], "piece") == NEW
    texts = package.with_piece(texts, notebook["piece"], "model", PIECES)
    assert texts["model"] == NEW
    assert not package.is_given(NEW, "piece") and not package.is_given("", "piece")


OPENINGS = {
    "docstring": ('"""Ours."""\n', '"""Ours."""\n\nimport math\n\n\n'),
    "docstring, blank lines": (
        '"""Ours."""\n\n\n\nx = 1\n',
        '"""Ours."""\n\nimport math\n\n\n\nx = 1\n',
    ),
    "docstring, code": ('"""Ours."""\nx = 1\n', '"""Ours."""\n\nimport math\n\n\nx = 1\n'),
    "imports": ("import os\nimport sys\nx = 1\n", "import math\nimport os\nimport sys\nx = 1\n"),
    "future": (
        "from __future__ import annotations\n",
        "from __future__ import annotations\nimport math\n",
    ),
    "code": ("x = 1\n", "import math\n\n\nx = 1\n"),
    "comment": ("# ours\n\nx = 1\n", "import math\n\n\n# ours\n\nx = 1\n"),
    "imports, in order": (
        "import abc\nimport jax\nfrom a import b\n\n# ours\n",
        "import abc\nimport math\nimport jax\nfrom a import b\n\n# ours\n",
    ),
    "import over lines": (
        "from abc import (\n    ABC,\n)\n",
        "import math\nfrom abc import (\n    ABC,\n)\n",
    ),
    "late import": ("x = 1\nimport os\n", "import math\n\n\nx = 1\nimport os\n"),
}


@pytest.mark.parametrize("old, new", OPENINGS.values(), ids=OPENINGS)
def test_import_goes_to_the_top(old, new):
    notebook = Notebook("import math", "def piece(x):\n    return math.tau")
    text = saved(notebook, texts={"model": old})
    assert text.startswith(new)
    assert text.endswith("\n\n\ndef piece(x):\n    return math.tau\n")


def test_constants_stand_below_the_imports(tmp_path):
    notebook = Notebook("import math\nA = 1\nB = 2", "def piece(x=A):\n    return x + B, math.tau")
    text = saved(
        notebook, texts={"model": '"""Ours."""\n\nimport os\n\n\ndef a(): pass\nimport re\n'}
    )
    assert text.startswith(
        '"""Ours."""\n\nimport math\nimport os\n\nA = 1\nB = 2\n\n\ndef a(): pass\nimport re\n'
    )


USES_NP = "import numpy as np", "def piece(x):\n    return np.tanh(x)"
USES_JNP = "import jax.numpy as np", "def piece(x):\n    return np.tanh(x)"


def test_import_of_a_port_takes_the_place_of_the_old_one():
    text = saved(Notebook(*USES_JNP), texts={"model": saved(Notebook(*USES_NP))})
    assert text == "import jax.numpy as np\n\n\ndef piece(x):\n    return np.tanh(x)\n"


@pytest.mark.parametrize(
    "old",
    ["import jax.numpy as jnp", "from jax import numpy as jnp", "import jax.numpy as jnp, os"],
)
def test_import_that_is_there_is_not_added(old):
    notebook = Notebook("import jax.numpy as jnp", "def piece(x):\n    return jnp.tanh(x)")
    text = f"{old}\n\n\ndef piece(x):\n    return jnp.tanh(x)\n"
    assert saved(notebook, texts={"model": text}) == text


def test_names_of_one_module_stand_on_one_line():
    notebook = Notebook(
        "def encoder(): pass\ndef param_shapes(): pass",
        "def train():\n    return encoder, param_shapes",
    )
    old = "import jax\nfrom model import autoencoder, decoder\nfrom shapes import (\n    a,\n)\n"
    uses = "x = autoencoder, decoder, a, jax\n"
    text = saved(notebook, "train", {"training": old + uses}, "training")
    assert text.startswith(
        "import jax\nfrom model import autoencoder, decoder, encoder\n"
        "from shapes import (\n    a,\n)\nfrom shapes import param_shapes\n"
    )
    notebook.run("def train():\n    return 1")
    text = saved(notebook, "train", {"training": text}, "training")
    assert text == old + uses + "\n\ndef train():\n    return 1\n"
    long = f"from model import {', '.join(f'piece_{number}' for number in range(9))}\n"
    text = saved(
        Notebook("def encoder(): pass", "def train(): return encoder"),
        "train",
        {"training": long},
        "training",
    )
    assert text.startswith(f"{long}from model import encoder\n\n\ndef train")


def test_import_without_a_use_goes_and_all_others_stay():
    old = "import os\nimport numpy as np\nimport re; import math\n\n\n"
    uses = "def piece(x):\n    return np, re\n"
    notebook = Notebook("import jax", "def piece(x):\n    return jax")
    text = saved(notebook, texts={"model": old + uses})
    assert text.startswith("import os\nimport re; import math\nimport jax\n\n\ndef piece")
    used_elsewhere = f"{old}x = np.ones(3)\n{uses}"
    assert "import numpy as np" in saved(notebook, texts={"model": used_elsewhere})


CONFLICTS = {
    "import": (USES_JNP, "import numpy as np\n\n\ndef other(x):\n    return np.exp(x)\n"),
    "one of several on a line": (USES_JNP, "import os, numpy as np\n"),
    "one of two on a line": (USES_JNP, "import numpy as np; import os\n"),
    "constant": (
        ("np = 3", "def piece(x):\n    return np"),
        "np = 4\n\n\ndef other(x):\n    return np\n",
    ),
    "annotated constant": (
        ("np = 3", "def piece(x):\n    return np"),
        "np: int = 4\n\n\ndef other(x):\n    return np\n",
    ),
    "function": (
        ("def np(x):\n    return 3", "def piece(x):\n    return np(x)"),
        "def np(x):\n    return 4\n\n\ndef other(x):\n    return np(x)\n",
    ),
    "function and import": (
        ("def np(x):\n    return 3", "def piece(x):\n    return np(x)"),
        "import numpy as np\n\n\ndef other(x):\n    return np.exp(x)\n",
    ),
    "constant and function": (
        ("np = 3", "def piece(x):\n    return np"),
        "def np(x):\n    return 4\n\n\ndef other(x):\n    return np(x)\n",
    ),
}


@pytest.mark.parametrize("cells, text", CONFLICTS.values(), ids=CONFLICTS)
def test_name_that_the_rest_of_the_file_uses_keeps_its_meaning(cells, text):
    message = refused(Notebook(*cells), texts={"model": text})
    assert message.startswith("model.py already has another `np`, `")
    assert message.endswith("Give one of them another name, then check again.")


@pytest.mark.parametrize("kind", [kind for kind in CONFLICTS if "line" not in kind])
def test_name_that_only_the_piece_uses_takes_its_new_meaning(kind, tmp_path):
    cells, text = CONFLICTS[kind]
    notebook = Notebook(*cells)
    new = saved(notebook, texts={"model": text.replace("def other(x)", "def piece(x)")})
    assert loaded(new, tmp_path).piece(0.5) == notebook["piece"](0.5)
    assert new.count("np") < 6, "the old meaning is gone"


def test_helper_is_mended_in_place():
    cells = "def act(x):\n    return 2 * x", "def piece(x):\n    return act(x)"
    text = "# our activation\n" + saved(Notebook(*cells)).replace("2 * x", "3 * x")
    text = f"{text}\n\ndef other():\n    pass\n"
    assert saved(Notebook(*cells), texts={"model": text}) == text.replace("3 * x", "2 * x")


def test_comment_above_a_piece_stays_above_it():
    cells = "def act(x):\n    return 2 * x", "def piece(x):\n    return act(x)"
    text = saved(Notebook(*cells), texts={"model": f"x = 1\n\n\n# ours\n{OLD}"})
    assert text.endswith(
        "act(x):\n    return 2 * x\n\n\n# ours\ndef piece(x):\n    return act(x)\n"
    )


# --- in NumPy, or in JAX ----------------------------------------------------------------------

IN_NUMPY = {
    "NumPy": (True, "import numpy as np\ndef piece(x):\n    return np.tanh(x)"),
    "import inside": (True, "def piece(x):\n    import numpy as np\n    return np.tanh(x)"),
    "through a function": (
        True,
        "from numpy import tanh\ndef act(x):\n    return tanh(x)\ndef piece(x):\n    return act(x)",
    ),
    "SciPy": (True, "import scipy\ndef piece(x):\n    return scipy.special.erf(x)"),
    "JAX's SciPy": (
        False,
        "from jax.scipy.special import erf\nimport numpy as np\ndef piece(x):\n    return erf(x)",
    ),
    "through a name": (
        True,
        "import math\nimport numpy as np\nerf = np.vectorize(math.erf)\n"
        "def piece(x):\n    return x * erf(x)",
    ),
    "JAX": (False, "import jax.numpy as np\ndef piece(x):\n    return np.tanh(x)"),
    "JAX through a function": (
        False,
        "import jax, numpy as np\ndef act(x):\n    return jax.nn.relu(x)\n"
        "def piece(x):\n    return act(np.pi * x)",
    ),
    "JAX from inside": (False, "def piece(x):\n    from jax.nn import relu\n    return relu(x)"),
    "operators alone": (False, "import numpy as np\ndef piece(x):\n    return x @ x"),
    "none": (False, "import numpy as np"),
    "calls a piece that is ported": (
        True,
        "import jax.numpy as jnp\nimport numpy as np\n"
        "def step(x):\n    return jnp.tanh(x)\n"
        "def piece(x):\n    return np.stack([step(x)])\n",
    ),
    "calls a piece that is not ported": (
        False,
        "import jax.numpy as jnp\nimport numpy as np\n"
        "def step(x):\n    return np.tanh(x)\n"
        "def piece(x):\n    return jnp.stack([step(x)])\n",
    ),
}


@pytest.mark.parametrize("expected, text", IN_NUMPY.values(), ids=IN_NUMPY)
def test_in_numpy(expected, text):
    assert package.is_in_numpy(text, "piece", {"piece": "model", "step": "model"}) == expected


# --- files ------------------------------------------------------------------------------------


def files_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


UNREADABLE = {
    "syntax error": (b"def a(:\n", "model.py has a syntax error on line 1: "),
    "syntax error later": (b"x = 1\n\n\ny = (\n", "model.py has a syntax error on line 4: "),
    "null byte": (b"x = 1\0\n", "model.py has a syntax error"),
    "not UTF-8": (b"# gr\xf6sse\n", "model.py is not UTF-8 text (byte 4)"),
}


@pytest.mark.parametrize("content, said", UNREADABLE.values(), ids=UNREADABLE)
def test_file_that_is_no_python_is_refused(content, said, tmp_path):
    (tmp_path / "model.py").write_bytes(content)
    with pytest.raises(PackageError) as caught:
        saved(Notebook(NEW), texts=package.read_texts(tmp_path))
    assert said in str(caught.value) and str(caught.value).endswith("not touched.")
    assert files_in(tmp_path) == {"model.py": content}


def test_file_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    (tmp_path / "model.py").write_text(OLD)

    def no(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_bytes", no)
    with pytest.raises(PackageError, match=r"model.py cannot be read \(Permission denied\)"):
        package.read_texts(tmp_path)


def write(folder, **texts):
    before = package.read_texts(folder)
    package.write_texts(folder, {**before, **texts}, before)


def test_folder_in_the_place_of_a_file(tmp_path):
    (tmp_path / "model.py").mkdir()
    with pytest.raises(PackageError, match="^model.py cannot be written in .*safe in its cell"):
        write(tmp_path, model=NEW)
    assert [path.name for path in tmp_path.iterdir()] == ["model.py"]


def test_file_in_the_place_of_the_folder(tmp_path):
    folder = tmp_path / "autoencoder"
    folder.write_text("ours")
    with pytest.raises(PackageError, match="^model.py cannot be written in .*autoencoder"):
        write(folder, model=NEW)
    assert folder.read_text() == "ours"


def full_disk_from(count, monkeypatch):
    """Let the disk be full from the count-th file on that is brought to it."""
    synced, calls = os.fsync, []

    def fsync(descriptor):
        calls.append(descriptor)
        if len(calls) >= count:
            raise OSError(28, "No space left on device")
        synced(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("count", [1, 2])
def test_full_disk_leaves_every_file_as_it_was(count, tmp_path, monkeypatch):
    write(tmp_path, shapes="x = 1\n", model=OLD)
    before = files_in(tmp_path)
    full_disk_from(count, monkeypatch)
    with pytest.raises(PackageError, match=r"shapes.py, model.py .*\(No space left on device\)"):
        write(tmp_path, shapes="x = 2\n", model=NEW)
    assert files_in(tmp_path) == before


def test_read_only_folder(tmp_path, monkeypatch):
    def no(**arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", no)
    with pytest.raises(PackageError, match=r"\(Permission denied\). Make room or allow writing"):
        write(tmp_path, model=NEW)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_read_only_folder_for_real(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(PackageError, match=r"\(Permission denied\). Make room or allow writing"):
        write(tmp_path, model=NEW)
    tmp_path.chmod(0o755)
    assert files_in(tmp_path) == {}


def test_file_that_changed_during_a_check_is_left_alone(tmp_path):
    write(tmp_path, model=OLD)
    before = package.read_texts(tmp_path)
    (tmp_path / "model.py").write_text("# edited meanwhile\n")
    with pytest.raises(PackageError, match="model.py was changed while your piece was being"):
        package.write_texts(tmp_path, {"model": NEW, "shapes": "x = 1\n"}, before)
    assert files_in(tmp_path) == {"model.py": b"# edited meanwhile\n"}


def test_only_modules_that_changed_are_written(tmp_path):
    write(tmp_path, shapes="x = 1\n", model=OLD)
    os.utime(tmp_path / "shapes.py", (1, 1))
    write(tmp_path, model=NEW)
    assert (tmp_path / "shapes.py").stat().st_mtime == 1


@pytest.mark.parametrize("name", ["random", "numpy", "jax"])
def test_name_that_hides_another_module_is_refused(name):
    message = refused(Notebook(NEW), module=name)
    assert message.startswith(f"a file called {name}.py would hide ")


# --- importing --------------------------------------------------------------------------------


def test_modules_that_hide_others_do_not_break_imports(tmp_path, monkeypatch):
    for name in ("random", "numpy", "jax", "colorsys", "tomllib"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('hidden')\n")
    for name in ("colorsys", "tomllib"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "model.py").write_text(
        "import random, numpy, jax, colorsys, tomllib\npiece = numpy.ones(2)\n"
    )
    modules = sys.modules["random"], sys.modules["numpy"], sys.modules["jax"]
    assert package.load_pieces(tmp_path, "model").piece.shape == (2,)
    assert modules == (sys.modules["random"], np, jax)


def test_two_packages_side_by_side(tmp_path):
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "shapes.py").write_text(f"name = {name!r}\n")
        (tmp_path / name / "model.py").write_text(
            "from shapes import name\n"
            "def piece():\n    import shapes\n    return name, shapes.name\n"
        )
    mine = sys.modules["shapes"] = ModuleType("shapes")
    try:
        ours, theirs = (
            package.load_pieces(tmp_path / name, "model") for name in ("ours", "theirs")
        )
        assert (ours.name, theirs.name) == ("ours", "theirs")
        with package.imported_from(tmp_path / "theirs"):
            assert theirs.piece() == ("theirs", "theirs")
        assert sys.modules["shapes"] is mine
    finally:
        del sys.modules["shapes"]
    assert "model" not in sys.modules
    assert sorted(path.name for path in (tmp_path / "ours").iterdir()) == ["model.py", "shapes.py"]


def test_module_is_read_anew_each_time(tmp_path):
    for number in range(3):
        (tmp_path / "model.py").write_text(f"number = {number}\n")
        assert package.load_pieces(tmp_path, "model").number == number


BROKEN = {
    "syntax": ("x = 1\ny = (\n", "SyntaxError in model.py, line 2: '(' was never closed"),
    "name": ("x = 1\n\nx + nowhere\n", "NameError in model.py, line 3: name 'nowhere'"),
    "exit": ("import sys\nsys.exit(3)\n", "SystemExit in model.py, line 2: 3"),
    "skip": ("import pytest\npytest.skip('no', allow_module_level=True)\n", "Skipped in model.py"),
    "missing": ("import not_installed\n", "ModuleNotFoundError in model.py, line 1: No module"),
}


@pytest.mark.parametrize("text, said", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("replace", [True, False])
def test_module_that_does_not_import(text, said, replace, tmp_path):
    (tmp_path / "training.py").write_text("import math\nfrom model import piece\n")
    (tmp_path / "model.py").write_text("" if replace else text)
    with pytest.raises(PackageError) as caught:
        package.load_pieces(tmp_path, "training", {"model": text} if replace else None)
    assert f"training.py cannot be imported: {said}" in str(caught.value)
    assert str(caught.value).count("model.py") == 1
    assert "model" not in sys.modules and "training" not in sys.modules


def test_module_that_never_ends_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(package, "TIME_LIMIT", 0.3)
    (tmp_path / "model.py").write_text("x = 1\nwhile x:\n    pass\n")
    with pytest.raises(PackageError, match=r"model.py cannot be imported: TookTooLong in model.py"):
        package.load_pieces(tmp_path, "model")
    assert "model" not in sys.modules
