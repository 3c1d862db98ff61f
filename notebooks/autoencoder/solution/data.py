"""The autoencoder's data: made up, and real."""

import numpy as np
from safetensors.numpy import load_file


def dummy_image_data(key=0, batch=32, pixels=64):
    """Make up a batch of images, and the images to draw from them: the same ones.

    Shapes: -> x (batch, pixels), y (batch, pixels), every value between 0 and 1
    Source: record.py, whose images are scaled to the same range
    """
    rng = np.random.default_rng(key)
    x = rng.uniform(size=(batch, pixels))
    return x, x


def digit_data(recording):
    """Read the handwritten digits that the original was trained on.

    Shapes: -> x (batch, pixels), y (batch, pixels), every value between 0 and 1
    Units: the recording holds grey levels, whole numbers from 0 to 16
    Source: record.py, which trains on the same images
    """
    images = load_file(recording)["data/images"]
    x = images.reshape(len(images), -1) / 16
    return x, x


def checked_images(x, pixels=64):
    """Return images that the model may be given, as floats, and refuse all others.

    Shapes: x (batch, pixels), the batch may be empty -> (batch, pixels)
    Raises: ValueError where x has another shape, or a value that is not between 0 and 1
    """
    x = np.asarray(x, dtype=float)
    if x.ndim != 2 or x.shape[1] != pixels:
        raise ValueError(f"expected images of shape (batch, {pixels}), got {x.shape}")
    wrong = ~((x >= 0) & (x <= 1))
    if wrong.any():
        raise ValueError(f"expected values from 0 to 1, got {x[wrong][0]}: is x scaled?")
    return x
