"""The autoencoder's shapes, from its sizes alone."""


def param_shapes(pixels=64, hidden=32, code=8):
    """Give the shape of every parameter.

    Shapes: as nn.Linear keeps them, weight (out_features, in_features), bias (out_features,)
    Source: original.py, Autoencoder.__init__
    """
    return {
        "enc_hidden": {"weight": (hidden, pixels), "bias": (hidden,)},
        "enc_code": {"weight": (code, hidden), "bias": (code,)},
        "dec_hidden": {"weight": (hidden, code), "bias": (hidden,)},
        "dec_pixels": {"weight": (pixels, hidden), "bias": (pixels,)},
    }


def activation_shapes(batch, pixels=64, hidden=32, code=8):
    """Give the shape of what leaves each layer.

    Shapes: the input x is (batch, pixels)
    Source: original.py, Autoencoder.encoder and Autoencoder.decoder
    """
    return {
        "enc_hidden": (batch, hidden),
        "enc_code": (batch, code),
        "dec_hidden": (batch, hidden),
        "dec_pixels": (batch, pixels),
    }
