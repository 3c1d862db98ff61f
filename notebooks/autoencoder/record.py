"""Make the recording of the autoencoder: its data, its training, its probes.

Needs PyTorch and scikit-learn; `reimpl record autoencoder` calls record() and writes the result.
"""

from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch.nn.functional import mse_loss

from reimpl_helpers.originals.recording import Probe, Recording, Training, source_sha256
from reimpl_helpers.originals.tracing import (
    adam_losses,
    initial_quantiles,
    load_original,
    load_params,
    params_of,
    record_probe,
)

SOURCE = Path(__file__).with_name("original.py")
Autoencoder = load_original(SOURCE).Autoencoder

SIZES = {"pixels": 64, "hidden": 32, "code": 8}
LEARNING_RATE = 1e-3


def record() -> Recording:
    """Train an autoencoder on the digits, and record what it computes."""
    torch.set_num_threads(1)  # more threads add in another order: other last digits
    torch.manual_seed(0)
    digits = load_digits()
    images = digits.data / 16  # grey values 0..16 become 0..1
    params = trained_params(images)
    return Recording(
        track="autoencoder",
        path=SOURCE.with_name("recording.safetensors"),
        versions={name: version(name) for name in ("torch", "numpy", "scikit-learn")},
        source_sha256=source_sha256(SOURCE),
        params=params,
        probes={probe.name: probe for probe in probes(params, images)},
        training=training(images[:40]),
        initial=initial_quantiles(build),
        data={"images": digits.images.astype(np.uint8), "labels": digits.target.astype(np.uint8)},
    )


def build(**sizes) -> Autoencoder:
    """Build an autoencoder that computes in float64."""
    return Autoencoder(**sizes).double()


def trained_params(images: np.ndarray, epochs: int = 300) -> dict[str, np.ndarray]:
    """Train an autoencoder until its reconstructions look like digits.

    Shapes: images (number of images, pixels)
    """
    model, data = build(**SIZES), torch.tensor(images)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    for _ in range(epochs):
        for batch in data[torch.randperm(len(data))].split(32):
            optimizer.zero_grad()
            mse_loss(model(batch), batch).backward()
            optimizer.step()
    return params_of(model)


def training(batch: np.ndarray) -> Training:
    """Record the first steps of training, from fresh parameters.

    Shapes: batch (number of images, pixels)
    """
    model = build(**SIZES)
    params = params_of(model)
    losses = adam_losses(model, batch, batch, loss=mse_loss, learning_rate=LEARNING_RATE)
    return Training(params, batch, batch, LEARNING_RATE, losses)


def probes(trained: dict[str, np.ndarray], images: np.ndarray) -> list[Probe]:
    """Record the probes: inputs chosen so that mistakes show, with no two axes of one size."""
    rng = np.random.default_rng(0)

    def digits(name, why, x):
        return probe(name, why, {"batch": len(x), **SIZES}, trained, x, target=x)

    def random(name, why, batch, **sizes):
        shapes = {key: value.shape for key, value in params_of(build(**sizes)).items()}
        params = {key: rng.normal(scale=0.7, size=shape) for key, shape in shapes.items()}
        x, target = rng.normal(size=(2, batch, sizes["pixels"]))
        return probe(name, why, {"batch": batch, **sizes}, params, x, target)

    return [
        digits("ordinary", "Real digits: what the network is for.", images[:5]),
        digits("one row", "One image: shows a batch axis that is lost or mixed up.", images[5:6]),
        digits("zeros", "Empty images: only the biases speak.", np.zeros((3, 64))),
        digits("tiny values", "Faint images: shows what large values hide.", images[6:12] / 100),
        digits(
            "large values",
            "Values far outside 0 to 1, of both signs: shows a missing or wrong activation.",
            rng.normal(scale=20, size=(7, 64)),
        ),
        random(
            "other sizes",
            "Other widths and random parameters: shows a number written where a size belongs.",
            batch=4,
            pixels=7,
            hidden=5,
            code=3,
        ),
        random(
            "wide hidden",
            "A hidden layer wider than the image: shows two axes taken for each other.",
            batch=9,
            pixels=6,
            hidden=11,
            code=2,
        ),
    ]


def probe(name, why, sizes, params, x, target) -> Probe:
    """Record one probe, of a model with the given sizes and parameters."""
    model = build(**{axis: size for axis, size in sizes.items() if axis != "batch"})
    load_params(model, params)
    return record_probe(
        model,
        name=name,
        why=why,
        sizes=sizes,
        inputs={"x": x},
        target=target,
        loss=mse_loss,
        parts=parts,
        source=SOURCE,
    )


def parts(model: Autoencoder, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Give what encoder and decoder return on the way."""
    z = model.encoder(x)
    return {"encoder": z, "decoder": model.decoder(z)}
