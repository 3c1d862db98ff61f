"""Measure what the card says of the autoencoder."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from costs import count_flops, count_memory
from data import digit_data
from losses import mse_loss
from model import autoencoder
from params import make_autoencoder_params
from training import train
from uncertainty import is_strange, strangeness

RECORDING = Path(__file__).with_name("recording.safetensors")
TRAINED = """\
On 900 of the 1,797 handwritten digits that scikit-learn ships, 8 by 8 pixels from 0 to 1, by 1,500
steps of Adam of size 0.002, all images in each. 450 more set the threshold of `is_strange`, and the
last 447 are those that are measured below."""


# given by the workbook
@jax.enable_x64(True)
def measured():
    """Train anew, and measure: numbers that are counted, values of images, scores of two kinds."""
    images, _ = digit_data(RECORDING)
    images = np.random.default_rng(0).permutation(images)
    known, calibration, trial = images[:900], images[900:1350], images[1350:]
    params, _ = train(
        make_autoencoder_params(), autoencoder, mse_loss, known, known, steps=1500, step_size=2e-3
    )
    half = len(trial) // 2
    squares = trial.reshape(-1, 8, 8)
    turned = np.rot90(squares, axes=(1, 2)).reshape(trial.shape)
    dead_pixel = np.where(np.arange(64) == 20, 0, trial)
    as_it_was = strangeness(params, trial[:half], known)
    return {
        "weights and biases": sum(array.size for array in jax.tree.leaves(params)),
        "operations, one image": count_flops(1)["forward"],
        "operations, training step of 64 images": count_flops(64)["train_step"],
        "bytes, training step of 64 images": sum(count_memory(64).values()),
        "error of a pixel, squared": ((autoencoder(params, trial) - trial) ** 2).mean(axis=1),
        "images of its own kind called strange": is_strange(params, trial, known, calibration),
        "turned images told apart": (as_it_was, strangeness(params, turned[half:], known)),
        "a dead pixel told apart": (as_it_was, strangeness(params, dead_pixel[half:], known)),
    }


# given by the workbook
def timed():
    """Give what is timed: functions to call, each compiled at its first call."""
    params = jax.tree.map(jnp.float32, make_autoencoder_params())
    model = jax.jit(autoencoder)
    one, many = np.zeros((1, 64), np.float32), np.zeros((64, 64), np.float32)
    return {
        "one image": lambda: model(params, one).block_until_ready(),
        "64 images": lambda: model(params, many).block_until_ready(),
    }
