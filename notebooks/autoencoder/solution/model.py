"""The autoencoder's forward pass."""

import jax.numpy as jnp


def nn_layer(weights, data, bias=0.0, nonlinearity=None):
    """Compute one dense layer and what follows it.

    Shapes: weights (in_features, out_features), data (batch, in_features), bias (out_features,)
        -> (batch, out_features)
    Source: original.py, any of its four layers; nn.Linear keeps its weight the other way round
    """
    output = jnp.matmul(data, weights) + bias
    if nonlinearity == "relu":
        return jnp.maximum(output, 0)
    if nonlinearity == "tanh":
        return jnp.tanh(output)
    if nonlinearity == "sigmoid":
        return 1 / (1 + jnp.exp(-output))
    return output


def encoder(params, x):
    """Squeeze images into codes.

    Shapes: x (batch, pixels) -> (batch, code)
    Source: original.py, Autoencoder.encoder
    """
    layer, code_layer = params["enc_hidden"], params["enc_code"]
    hidden = nn_layer(layer["weight"].T, x, layer["bias"], "relu")
    return nn_layer(code_layer["weight"].T, hidden, code_layer["bias"], "tanh")


def decoder(params, z):
    """Draw images from codes.

    Shapes: z (batch, code) -> (batch, pixels)
    Source: original.py, Autoencoder.decoder
    """
    layer, pixel_layer = params["dec_hidden"], params["dec_pixels"]
    hidden = nn_layer(layer["weight"].T, z, layer["bias"], "relu")
    return nn_layer(pixel_layer["weight"].T, hidden, pixel_layer["bias"], "sigmoid")


def autoencoder(params, x):
    """Squeeze images into codes and draw them again.

    Shapes: x (batch, pixels) -> (batch, pixels)
    Source: original.py, Autoencoder.forward
    """
    return decoder(params, encoder(params, x))
