"""The training loop: the same for every model, so that on a new task only the data is swapped."""

import jax
import numpy as np
import optax

STEPS_PER_REPORT = 100


def adam_steps(params, state, model, loss_fn, x, y, steps=100, step_size=1e-3):
    """Take steps of Adam, compiled as one loop; return params, state and the loss before each.

    Shapes: x and y as the model and the loss take them -> params, state, losses (steps,)
    Source: torch.optim.Adam with its default betas and eps, which optax.adam shares
    """
    optimizer = optax.adam(step_size)

    def step(carry, _):
        params, state = carry
        loss, grads = jax.value_and_grad(loss_fn)(params, model, x, y)
        changes, state = optimizer.update(grads, state)
        return (optax.apply_updates(params, changes), state), loss

    (params, state), losses = jax.lax.scan(step, (params, state), length=steps)
    return params, state, losses


def not_finite(tree):
    """Name the arrays that hold NaN or infinity."""
    return [
        jax.tree_util.keystr(path, simple=True, separator=".")
        for path, values in jax.tree.leaves_with_path(tree)
        if not np.isfinite(values).all()
    ]


def where_it_broke(take, params, state, step):
    """Take the steps again one by one, and say which parameter was the first to go, and when."""
    while True:
        step += 1
        params, state, (loss,) = take(params, state, 1)
        if names := not_finite(params) or not_finite({"the loss": loss}):
            others = f" (and {len(names) - 1} more)" if names[1:] else ""
            return (
                f"{names[0]}{others} is no longer finite after step {step}; the loss before it "
                f"was {loss:.4g}. Try a smaller step_size, and look at what {names[0]} goes into."
            )


def train(params, model, loss_fn, x, y, steps=100, step_size=1e-3, report=None):
    """Make the loss small with Adam; return the trained params and the loss before each step.

    After every hundred steps, `report` is called with the losses so far. Interrupted, it returns
    the best params that it knows.

    Raises: FloatingPointError when a parameter or the loss is no longer finite, saying which.
    """
    compiled = jax.jit(adam_steps, static_argnames=("model", "loss_fn", "steps"))

    def take(params, state, steps):
        return compiled(params, state, model, loss_fn, x, y, steps, step_size)

    state, losses = optax.adam(step_size).init(params), []
    best, lowest = params, float("inf")
    try:
        while len(losses) < steps:
            before, count = (params, state), min(STEPS_PER_REPORT, steps - len(losses))
            params, state, new = take(params, state, count)
            if not_finite((params, new)):
                raise FloatingPointError(where_it_broke(take, *before, len(losses)))
            if new[0] < lowest:
                best, lowest = before[0], float(new[0])
            losses += new.tolist()
            if report is not None:
                report(losses)
    except KeyboardInterrupt:
        print(f"Stopped after {len(losses)} of {steps} steps. You get the best params so far.")
        return params if loss_fn(params, model, x, y) < lowest else best, losses
    return params, losses
