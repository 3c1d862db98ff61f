"""Ask a piece that is written in JAX (step 5).

Called as it is, a function has every operation compiled anew for every shape; as a whole, it is
one program. So a piece is asked as it is at one set of sizes, and compiled at the others.
"""

from dataclasses import replace
from functools import partial

from reimpl_helpers.checks import Case


def compiled(case: Case, static: int | tuple[int, ...] = ()) -> Case:
    """Put the same question to a piece compiled by JAX; `static` are places of no arrays."""
    return replace(case, probe=f"compiled, {case.probe}", call=partial(call_compiled, static))


def call_compiled(static, piece, *args):
    """Call a piece compiled by JAX."""
    import jax

    return jax.jit(piece, static_argnums=static)(*args)


def call_compiled_gradient(static, piece, *args):
    """Call the gradient of a piece compiled by JAX, by its first argument."""
    import jax

    return jax.jit(jax.grad(piece), static_argnums=static)(*args)
