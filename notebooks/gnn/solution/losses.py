"""What training makes small."""

import jax.numpy as jnp


def mse_loss(params, model, x, y):
    """Measure how far a model's answers are from what they should be.

    Shapes: x (batch, pixels), y (batch, pixels) -> ()
    Source: torch.nn.functional.mse_loss with its default reduction
    """
    return jnp.mean((model(params, x) - y) ** 2)
