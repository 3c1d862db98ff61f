"""The autoencoder's parameters: drawn afresh, or the original's own."""

import jax
from shapes import param_shapes


def make_autoencoder_params(key=0, pixels=64, hidden=32, code=8):
    """Draw initial parameters from the distribution that the original draws from.

    Shapes: those of param_shapes(pixels, hidden, code)
    Source: torch.nn.Linear.reset_parameters, which original.py leaves as it is: weight and bias
        are uniform within 1 / sqrt(in_features) of zero
    """
    shapes = param_shapes(pixels, hidden, code)
    params = {}
    keys = jax.random.split(jax.random.key(key), len(shapes))
    for layer, layer_key in zip(shapes, keys, strict=True):
        weight_key, bias_key = jax.random.split(layer_key)
        weight, bias = shapes[layer]["weight"], shapes[layer]["bias"]
        bound = weight[1] ** -0.5
        params[layer] = {
            "weight": jax.random.uniform(weight_key, weight, minval=-bound, maxval=bound),
            "bias": jax.random.uniform(bias_key, bias, minval=-bound, maxval=bound),
        }
    return params


def params_from_state_dict(state_dict):
    """Turn PyTorch's flat names into the nested params that the model reads.

    Shapes: every array keeps its own
    Source: the names that Autoencoder().state_dict() gives, such as "enc_hidden.weight"
    """
    params = {}
    for path, value in state_dict.items():
        layer, name = path.split(".")
        params.setdefault(layer, {})[name] = value
    return params
