"""The training loop."""

import jax
import optax
from losses import mse_loss


def train(params, model, x, y, steps=100, step_size=1e-3, report=None):
    """Make the loss small with Adam; return the trained params and the loss before each step.

    Shapes: x (batch, pixels), y (batch, pixels) -> params, list of steps losses
    Source: torch.optim.Adam with its default betas and eps, which optax.adam shares
    """
    optimizer = optax.adam(step_size)

    @jax.jit
    def update(params, state):
        loss, grads = jax.value_and_grad(mse_loss)(params, model, x, y)
        changes, state = optimizer.update(grads, state)
        return optax.apply_updates(params, changes), state, loss

    state, losses = optimizer.init(params), []
    for _ in range(steps):
        params, state, loss = update(params, state)
        losses.append(float(loss))
        if report is not None:
            report(losses)
    return params, losses
