"""Look into a program that JAX has written down (a jaxpr)."""

from collections.abc import Iterator


def programs_in(equation) -> Iterator:
    """Yield the programs that one operation runs: a loop's body, a branch, a function."""
    import jax

    for value in jax.tree.leaves(list(equation.params.values())):
        program = getattr(value, "jaxpr", value)
        if hasattr(program, "eqns"):
            yield program
