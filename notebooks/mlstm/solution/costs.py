"""What the model costs, from its sizes alone: operations, and memory."""

import numpy as np
from shapes import activation_shapes, param_shapes


def count_flops(batch, seq, embedding=10, units=12, layers=2):
    """Count the operations of the matrix products, forward and in a training step.

    Shapes: -> forward and train_step, each ()
    Units: floating-point operations; a multiplication and the addition after it are two
    Source: original.py, the products of MLSTMLayer.step and of MLSTM.forward; the chain rule for
        a product's weight and for what is multiplied by it. A look-up is no product
    """
    shapes = param_shapes(embedding, units, layers)
    weights = [shapes["dense"]["weight"]]
    for layer in shapes["mlstm"].values():
        weights += [layer[name] for name in ("wmx", "wmh", "wx", "wh")]
    forward = 2 * batch * seq * sum(map(np.prod, weights))
    by_weights, by_inputs = forward, forward
    return {"forward": forward, "train_step": forward + by_weights + by_inputs}


def count_memory(batch, seq, embedding=10, units=12, layers=2):
    """Count the bytes of what a training step with Adam keeps, in float32.

    Shapes: -> params, gradients, adam and activations, each ()
    Units: bytes
    Source: original.py: for each letter, its embedding and its scores, and in each layer m, z, c
        and hidden; Kingma and Ba (2014), the two averages of every gradient
    """
    shapes = param_shapes(embedding, units, layers)
    parts = [shapes["embedding"], shapes["dense"], *shapes["mlstm"].values()]
    params = 4 * sum(np.prod(shape) for part in parts for shape in part.values())
    outputs = activation_shapes(batch, seq, embedding, units)
    size = {name: np.prod(shape) for name, shape in outputs.items()}
    layer = seq * (size["m"] + size["z"] + size["c"]) + size["hidden"]
    activations = 4 * (size["embedding"] + layers * layer + size["dense"])
    return {"params": params, "gradients": params, "adam": 2 * params, "activations": activations}
