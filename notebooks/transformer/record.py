"""Make the recording of the transformer: its data, its training, its probes.

Needs PyTorch; `reimpl record transformer` calls record() and writes the result.
"""

from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy

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
Transformer = load_original(SOURCE).Transformer

SIZES = {"words": 30, "positions": 8, "width": 6, "inner": 10, "heads": 3, "layers": 2}
OTHER_SIZES = {"words": 11, "positions": 9, "width": 10, "inner": 7, "heads": 2, "layers": 1}
LEARNING_RATE = 1e-3


def record() -> Recording:
    """Train a transformer to tell sentences apart, and record what it computes."""
    torch.set_num_threads(1)  # more threads add in another order: other last digits
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    params = trained_params(rng)
    return Recording(
        track="transformer",
        path=SOURCE.with_name("recording.safetensors"),
        versions={name: version(name) for name in ("torch", "numpy")},
        source_sha256=source_sha256(SOURCE),
        params=params,
        probes={probe.name: probe for probe in probes(params, rng)},
        training=training(rng),
        initial=initial_quantiles(build),
        data={},
    )


def build(**sizes) -> Transformer:
    """Build a transformer that computes in float64."""
    return Transformer(**sizes).double()


def contrastive_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Measure how well each vector is told apart from all but the one that it belongs to.

    Shapes: output (batch, width), target (batch,), the row that each belongs to -> ()
    """
    scores = 20 * output @ output.T
    itself = torch.eye(len(scores), dtype=torch.bool)
    return cross_entropy(scores.masked_fill(itself, -1e9), target)


def sentences(rng, batch, seq=6, words=30):
    """Make up sentences in pairs that differ in one word at most, and who belongs to whom.

    Shapes: -> tokens (batch, seq), is_real (batch, seq), target (batch,)
    """
    pairs = np.arange(batch // 2)
    length = rng.integers(3, seq + 1, size=batch // 2)
    tokens = np.repeat(rng.integers(1, words, size=(batch // 2, seq)), 2, axis=0)
    tokens[2 * pairs, rng.integers(length)] = rng.integers(1, words, size=batch // 2)
    is_real = np.arange(seq) < np.repeat(length, 2)[:, None]
    x = {"tokens": np.where(is_real, tokens, 0), "is_real": is_real}
    return x, np.arange(batch) ^ 1


def trained_params(rng, steps: int = 500) -> dict[str, np.ndarray]:
    """Train a transformer until sentences of a pair are nearer than others."""
    model = build(**SIZES)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    for _ in range(steps):
        x, target = sentences(rng, batch=16)
        optimizer.zero_grad()
        output = model(*map(torch.tensor, x.values()))
        contrastive_loss(output, torch.tensor(target)).backward()
        optimizer.step()
    return params_of(model)


def training(rng) -> Training:
    """Record the first steps of training, from fresh parameters."""
    model = build(**SIZES)
    params = params_of(model)
    x, target = sentences(rng, batch=10)
    losses = adam_losses(model, x, target, loss=contrastive_loss, learning_rate=LEARNING_RATE)
    return Training(params, x, target, LEARNING_RATE, losses)


def probes(trained: dict[str, np.ndarray], rng) -> list[Probe]:
    """Record the probes: inputs chosen so that mistakes show, with no two axes of one size."""

    def made(name, why, params, is_real, sizes):
        is_real = np.array(is_real, dtype=bool)
        batch, seq = is_real.shape
        tokens = np.where(is_real, rng.integers(1, sizes["words"], size=(batch, seq)), 0)
        target = (np.arange(batch) + 1) % batch
        sizes = {"batch": batch, "seq": seq, **sizes}
        return probe(name, why, sizes, params, {"tokens": tokens, "is_real": is_real}, target)

    def random(name, why, is_real, scale=0.7, **sizes):
        shapes = {key: value.shape for key, value in params_of(build(**sizes)).items()}
        params = {key: rng.normal(scale=scale, size=shape) for key, shape in shapes.items()}
        return made(name, why, params, is_real, sizes)

    def padded(*lengths):
        return np.arange(max(lengths)) < np.array(lengths)[:, None]

    return [
        made(
            "ordinary",
            "Five sentences of different lengths: what the network is for.",
            trained,
            padded(3, 4, 2, 4, 3),
            SIZES,
        ),
        random(
            "one row",
            "One sentence alone, in three blocks: shows a batch axis that is lost or mixed up.",
            padded(4),
            **{**OTHER_SIZES, "layers": 3},
        ),
        random(
            "one word",
            "One word a sentence: it has nothing to look at but itself.",
            padded(1, 1, 1, 1),
            **OTHER_SIZES,
        ),
        random(
            "tiny values",
            "Faint parameters: shows what large values hide.",
            padded(3, 4, 2),
            scale=1e-3,
            **OTHER_SIZES,
        ),
        random(
            "large values",
            "Parameters far from zero: attention is all on one word, and shows a missing root.",
            padded(4, 3, 4),
            scale=5.0,
            **OTHER_SIZES,
        ),
        random(
            "padding anywhere",
            "Padding at the start and in the middle: shows what counts on it at the end.",
            [[0, 1, 1, 0], [1, 0, 0, 1], [0, 0, 0, 1], [1, 1, 1, 1], [0, 1, 0, 1], [1, 1, 0, 1]],
            **OTHER_SIZES,
        ),
        random(
            "other sizes",
            "Other widths, and more heads: shows a number written where a size belongs.",
            padded(5, 2, 3),
            words=13,
            positions=7,
            width=8,
            inner=6,
            heads=4,
            layers=1,
        ),
    ]


def probe(name, why, sizes, params, x, target) -> Probe:
    """Record one probe, of a model with the given sizes and parameters."""
    model = build(**{axis: sizes[axis] for axis in SIZES})
    load_params(model, params)
    axes = {axis: size for axis, size in sizes.items() if axis != "layers"}  # of no array's shape
    return record_probe(
        model,
        name=name,
        why=why,
        sizes={**axes, "head_size": sizes["width"] // sizes["heads"]},
        inputs=x,
        target=target,
        loss=contrastive_loss,
        parts=parts,
        source=SOURCE,
    )


def parts(model: Transformer, tokens, is_real) -> dict[str, torch.Tensor]:
    """Give what the parts of the model return on the way."""
    embedded = model.embed(tokens)
    first, blocks, x = model.layers[0], {}, embedded
    for number, layer in enumerate(model.layers):
        blocks[f"layer_{number}"] = x = layer(x, is_real)
    return {
        "embed": embedded,
        "attention": first.attention(embedded, is_real),
        **blocks,
        "pool": model.pool(x, is_real),
    }
