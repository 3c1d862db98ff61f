"""The two pieces as they stand in NumPy, before step 5 ports them to JAX."""

import numpy as np
from shapes import param_shapes


def numpy_counterparts():
    """Say how NumPy writes each operation of the original.

    Shapes: linear takes x (batch, in_features), weight (out_features, in_features) and
        bias (out_features,); the others take one array and keep its shape
    Source: original.py, Autoencoder.encoder and Autoencoder.decoder
    """
    return {
        "linear": lambda x, weight, bias: x @ weight.T + bias,
        "relu": lambda x: np.maximum(x, 0),
        "tanh": lambda x: np.tanh(x),
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    }


def nn_layer(weights, data, bias=0.0, nonlinearity=None):
    """Compute one dense layer and what follows it.

    Shapes: weights (in_features, out_features), data (batch, in_features), bias (out_features,)
        -> (batch, out_features)
    Source: original.py, any of its four layers; nn.Linear keeps its weight the other way round
    """
    output = np.matmul(data, weights) + bias
    if nonlinearity == "relu":
        return np.maximum(output, 0)
    if nonlinearity == "tanh":
        return np.tanh(output)
    if nonlinearity == "sigmoid":
        return 1 / (1 + np.exp(-output))
    return output


def make_autoencoder_params(key=0, pixels=64, hidden=32, code=8):
    """Draw initial parameters from the distribution that the original draws from.

    Shapes: those of param_shapes(pixels, hidden, code)
    Source: torch.nn.Linear.reset_parameters, which original.py leaves as it is: weight and bias
        are uniform within 1 / sqrt(in_features) of zero
    """
    rng = np.random.default_rng(key)
    params = {}
    for layer, shapes in param_shapes(pixels, hidden, code).items():
        bound = shapes["weight"][1] ** -0.5
        params[layer] = {
            name: rng.uniform(-bound, bound, size=shape) for name, shape in shapes.items()
        }
    return params
