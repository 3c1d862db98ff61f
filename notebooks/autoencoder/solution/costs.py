"""What the model costs, from its sizes alone: operations, and memory."""

import numpy as np
from shapes import activation_shapes, param_shapes


def count_flops(batch, pixels=64, hidden=32, code=8):
    """Count the operations of the matrix products, forward and in a training step.

    Shapes: -> forward and train_step, each ()
    Units: floating-point operations; a multiplication and the addition after it are two
    Source: original.py, its four layers; the chain rule for a layer's weight and for its input
    """
    shapes = param_shapes(pixels, hidden, code)
    products = {layer: np.prod(shapes[layer]["weight"]) for layer in shapes}
    forward = 2 * batch * sum(products.values())
    by_weights, by_inputs = forward, forward - 2 * batch * products["enc_hidden"]
    return {"forward": forward, "train_step": forward + by_weights + by_inputs}


def count_memory(batch, pixels=64, hidden=32, code=8):
    """Count the bytes of what a training step with Adam keeps, in float32.

    Shapes: -> params, gradients, adam and activations, each ()
    Units: bytes
    Source: original.py, its four layers: what goes into the first, and what leaves each; Kingma
        and Ba (2014), the two averages of every gradient
    """
    layers = param_shapes(pixels, hidden, code).values()
    params = 4 * sum(np.prod(shape) for layer in layers for shape in layer.values())
    outputs = activation_shapes(batch, pixels, hidden, code).values()
    activations = 4 * (batch * pixels + sum(map(np.prod, outputs)))
    return {"params": params, "gradients": params, "adam": 2 * params, "activations": activations}
