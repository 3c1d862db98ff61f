"""Make the recording of the multiplicative LSTM: its data, its training, its probes.

Needs PyTorch; `reimpl record mlstm` calls record() and writes the result.
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
MLSTM = load_original(SOURCE).MLSTM

SIZES = {"embedding": 10, "units": 12, "layers": 2}
LEARNING_RATE = 1e-2

# Well-known proteins with their accession in UniProt; ubiquitin is residues 1 to 76 of its
# precursor, lysozyme is the mature chain.
PROTEINS = {
    "P42212 green fluorescent protein": (
        "MSKGEELFTGVVPILVELDGDVNGHKFSVSGEGEGDATYGKLTLKFICTTGKLPVPWPTLVTTFSYGVQCFSRYPDHMKQHDFFKSAMPEG"
        "YVQERTIFFKDDGNYKTRAEVKFEGDTLVNRIELKGIDFKEDGNILGHKLEYNYNSHNVYIMADKQKNGIKVNFKIRHNIEDGSVQLADHY"
        "QQNTPIGDGPVLLPDNHYLSTQSALSKDPNEKRDHMVLLEFVTAAGITHGMDELYK"
    ),
    "P0CG48 human ubiquitin": (
        "MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEGIPPDQQRLIFAGKQLEDGRTLSDYNIQKESTLHLVLRLRGG"
    ),
    "P00698 hen lysozyme": (
        "KVFGRCELAAAMKRHGLDNYRGYSLGNWVCAAKFESNFNTQATNRNTDGSTDYGILQINSRWWCNDGRTPGSRNLCNIPCSALLSSDITAS"
        "VNCAKKIVSDGNGMNAWVAWRNRCKGTDVQAWIRGCRL"
    ),
    "P01308 human insulin": (
        "MALWMRLLPLLALLALWGPDPAAAFVNQHLCGSHLVEALYLVCGERGFFYTPKTRREAEDLQVGQVELGGGPGAGSLQPLALEGSLQKRGI"
        "VEQCCTSICSLYQLENYCN"
    ),
    "P69905 human haemoglobin alpha": (
        "MVLSPADKTNVKAAWGKVGAHAGEYGAEALERMFLSFPTTKTYFPHFDLSHGSAQVKGHGKKVADALTNAVAHVDDMPNALSALSDLHAHK"
        "LRVDPVNFKLLSHCLLVTLAAHLPAEFTPAVHASLDKFLASVSTVLTSKYR"
    ),
    "P68871 human haemoglobin beta": (
        "MVHLTPEEKSAVTALWGKVNVDEVGGEALGRLLVVYPWTQRFFESFGDLSTPDAVMGNPKVKAHGKKVLGAFSDGLAHLDNLKGTFATLSE"
        "LHCDKLHVDPENFRLLGNVLVCVLAHHFGKEFTPPVQAAYQKVVAGVANALAHKYH"
    ),
    "P02185 sperm whale myoglobin": (
        "MVLSEGEWQLVLHVWAKVEADVAGHGQDILIRLFKSHPETLEKFDRFKHLKTEAEMKASEDLKKHGVTVLTALGAILKKKGHHEAELKPLA"
        "QSHATKHKIPIKYLEFISEAIIHVLHSRHPGDFGADAQGAMNKALELFRKDIAAKYKELGYQG"
    ),
    "P99999 human cytochrome c": (
        "MGDVEKGKKIFIMKCSQCHTVEKGGKHKTGPNLHGLFGRKTGQAPGYSYTAANKNKGIIWGEDTLMEYLENPKKYIPGTKMIFVGIKKKEE"
        "RADLIAYLKKATNE"
    ),
}


def record() -> Recording:
    """Train a multiplicative LSTM on some proteins, and record what it computes."""
    torch.set_num_threads(1)  # more threads add in another order: other last digits
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    params = trained_params(rng)
    return Recording(
        track="mlstm",
        path=SOURCE.with_name("recording.safetensors"),
        versions={name: version(name) for name in ("torch", "numpy")},
        source_sha256=source_sha256(SOURCE),
        params=params,
        probes={probe.name: probe for probe in probes(params, rng)},
        training=training(rng),
        initial=initial_quantiles(build),
        data={
            name: np.frombuffer(protein.encode("ascii"), dtype=np.uint8)
            for name, protein in PROTEINS.items()
        },
    )


def build(**sizes) -> MLSTM:
    """Build a multiplicative LSTM that computes in float64."""
    return MLSTM(**sizes).double()


def next_letter_loss(scores, y):
    """Take the mean cross-entropy over the letters that are there.

    Shapes: scores (batch, seq, 25), y (batch, seq) -> ()
    """
    return cross_entropy(scores.reshape(-1, 25), y.reshape(-1) - 1, ignore_index=-1)


def made_up(rng, lengths):
    """Make up proteins of these lengths, start included, and what comes next.

    Shapes: -> x (batch, longest), y (batch, longest)
    """
    x = rng.integers(1, 24, size=(len(lengths), max(lengths)))
    x[:, 0] = 24
    x[np.arange(max(lengths)) >= np.array(lengths)[:, None]] = 0
    y = np.zeros_like(x)
    y[:, :-1] = x[:, 1:]
    y[(x > 0) & (y == 0)] = 25
    return x, y


def trained_params(rng, steps: int = 400) -> dict[str, np.ndarray]:
    """Train a multiplicative LSTM on windows of the proteins."""
    table = {letter: number for number, letter in enumerate("MRHKDESTNQCUGPAVIFYWLO", 1)}
    text = np.array([table[letter] for protein in PROTEINS.values() for letter in protein])
    model = build(**SIZES)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    for _ in range(steps):
        first = rng.integers(len(text) - 21, size=(16, 1))
        window = torch.tensor(text[first + np.arange(21)])
        optimizer.zero_grad()
        next_letter_loss(model(window[:, :-1]), window[:, 1:]).backward()
        optimizer.step()
    return params_of(model)


def training(rng) -> Training:
    """Record the first steps of training, from fresh parameters."""
    model = build(**SIZES)
    params = params_of(model)
    x, y = made_up(rng, (7, 4, 6, 7, 2))
    losses = adam_losses(model, x, y, loss=next_letter_loss, learning_rate=LEARNING_RATE)
    return Training(params, x, y, LEARNING_RATE, losses)


def probes(trained: dict[str, np.ndarray], rng) -> list[Probe]:
    """Record the probes: inputs chosen so that mistakes show, with no two axes of one size."""

    def trained_on(name, why, lengths):
        return probe(name, why, SIZES, trained, *made_up(rng, lengths))

    def random(name, why, lengths, change=lambda name, value: value, **sizes):
        shapes = {key: value.shape for key, value in params_of(build(**sizes)).items()}
        params = {
            key: change(key, rng.normal(scale=0.7, size=shape)) for key, shape in shapes.items()
        }
        return probe(name, why, sizes, params, *made_up(rng, lengths))

    other = {"embedding": 4, "units": 3, "layers": 2}
    return [
        trained_on("ordinary", "Three made-up proteins of different lengths.", (5, 2, 4)),
        trained_on("one row", "One protein: shows a batch axis that is lost or mixed up.", (4,)),
        random(
            "one letter",
            "Nothing but the start: the first step speaks alone.",
            (1, 1),
            **{**other, "layers": 1},
        ),
        random(
            "zeros",
            "Embeddings of zeros: gains, biases and what was said before speak alone.",
            (3, 6, 5, 2, 6),
            lambda name, value: 0 * value if name.startswith("embedding") else value,
            **other,
        ),
        random(
            "tiny values",
            "Weights next to nothing, too short to be scaled to length 1.",
            (5, 2),
            lambda name, value: value * 1e-7 if ".w" in name and "dense" not in name else value,
            **other,
        ),
        random(
            "large values",
            "Large gains and biases of both signs: shows a gate that is missing or wrong.",
            (5, 6),
            lambda name, value: value * 15 if ".g" in name or name.endswith(".b") else value,
            **other,
        ),
        random(
            "other sizes",
            "Other widths and three layers: shows a number written where a size belongs.",
            (5, 3, 1, 4, 2, 5, 4),
            embedding=6,
            units=2,
            layers=3,
        ),
    ]


def probe(name, why, sizes, params, x, y) -> Probe:
    """Record one probe, of a model with the given sizes and parameters."""
    model = build(**sizes)
    load_params(model, params)
    return record_probe(
        model,
        name=name,
        why=why,
        sizes={"batch": len(x), "seq": x.shape[1], **sizes},
        inputs={"letters": x},
        target=y,
        loss=next_letter_loss,
        parts=parts,
        source=SOURCE,
    )


def parts(model: MLSTM, letters: torch.Tensor) -> dict[str, torch.Tensor]:
    """Give what the layers and the representation return."""
    results, hidden, is_real = {}, model.embedding(letters), letters > 0
    for number, layer in enumerate(model.mlstm):
        hidden, h, c = layer(hidden, is_real)
        results |= {f"hidden {number}": hidden, f"h {number}": h, f"c {number}": c}
    names = "mean h", "last h", "last c"
    return {**results, **dict(zip(names, model.representation(letters), strict=True))}
