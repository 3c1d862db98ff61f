"""What the model costs, from its sizes alone: operations, and memory."""

import jax
import numpy as np
from shapes import activation_shapes, param_shapes


def count_flops(batch, seq, width=6, inner=10, layers=2):
    """Count the operations of the matrix products, forward and in a training step.

    Forward is the model alone; a training step has the loss too, which compares every sentence
    with every other.

    Shapes: -> forward and train_step, each ()
    Units: floating-point operations; a multiplication and the addition after it are two
    Source: original.py, Attention.forward and Block.forward; contrastive_loss; the chain rule for
        both factors of a product
    """
    weights = 4 * width**2 + 2 * width * inner
    attention = 2 * seq * width  # scores with every word, and shares of every word's value
    forward = 2 * batch * seq * layers * (weights + attention)
    compared = 2 * batch**2 * width
    return {"forward": forward, "train_step": 3 * (forward + compared)}


def count_memory(batch, seq, words=30, positions=8, width=6, inner=10, heads=3, layers=2):
    """Count the bytes of what a training step with Adam keeps, in float32.

    Activations are those of activation_shapes: embed and pool once, the others in every block, and
    key and value beside query.

    Shapes: -> params, gradients, adam and activations, each ()
    Units: bytes
    Source: original.py, Attention.forward and Block.forward; Kingma and Ba (2014), the two
        averages of every gradient
    """
    nested = param_shapes(words, positions, width, inner, layers)
    shapes = jax.tree.leaves(nested, is_leaf=lambda part: isinstance(part, tuple))
    params = 4 * sum(map(np.prod, shapes))
    outputs = activation_shapes(batch, seq, width, inner, heads)
    sizes = {name: np.prod(shape) for name, shape in outputs.items()}
    once = sizes["embed"] + sizes["pool"]
    in_a_block = sum(sizes.values()) - once + 2 * sizes["query"]
    activations = 4 * (once + layers * in_a_block)
    return {"params": params, "gradients": params, "adam": 2 * params, "activations": activations}
