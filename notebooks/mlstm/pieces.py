"""What the pair writes in this track, and the questions that each piece is asked."""

from dataclasses import replace
from functools import partial

import numpy as np

from reimpl_helpers.base.words import shorten
from reimpl_helpers.checks.cases import Case, Piece, Refusal, tests_of
from reimpl_helpers.checks.compare import as_array
from reimpl_helpers.checks.porting import call_compiled_gradient, compiled
from reimpl_helpers.forward import call_counterpart, missing_counterparts
from reimpl_helpers.knowing import (
    distances_from,
    drawn_alpha,
    limits_case,
    refused_case,
    threshold_of,
    whole,
    words_cases,
)
from reimpl_helpers.params import (
    draw_cases,
    flat,
    nested,
    shapes_of,
    state_dict_cases,
    traced_key_case,
)
from reimpl_helpers.training import growth_complaint, operations_in

COMPILED = "ordinary", "other sizes"  # compiling for every probe would only take longer
WEIGHTS = "wmx", "wmh", "wx", "wh"
TABLE = "MRHKDESTNQCUGPAVIFYWLO"  # the letters 1 to 22


def sizes_of(probe):
    return tuple(probe.sizes[axis] for axis in ("embedding", "units", "layers"))


def layers_of(probe):
    """Give number, params, what goes in, which letters are real, and what comes out."""
    hidden, is_real = probe.params["embedding.weight"][probe.inputs["letters"]], real(probe)
    for number, params in nested(probe.params)["mlstm"].items():
        results = {name: probe.results[f"{name} {number}"] for name in ("hidden", "h", "c")}
        yield params, hidden, is_real, results
        hidden = results["hidden"]


def real(probe):
    return probe.inputs["letters"] > 0


def letters_like(letters, rng):
    """Draw other letters of the same kind: a start, then letters, then padding."""
    lengths = rng.integers(1, letters.shape[1] + 1, size=len(letters))
    drawn = rng.integers(1, 24, size=letters.shape)
    drawn[:, 0] = 24
    return np.where(np.arange(letters.shape[1]) < lengths[:, None], drawn, 0)


def noisy(params, rng):
    return nested({name: value + rng.normal(size=value.shape) for name, value in params.items()})


def several(*names):
    """Take apart what a piece returns, by these names."""

    def part(answer):
        try:
            answers = list(answer)
        except TypeError:
            answers = []
        if len(answers) != len(names):
            raise Refusal(
                "type", f"returns {shorten(answer)}, expected {len(names)} arrays: {many(names)}."
            )
        return dict(zip(names, answers, strict=True))

    return part


def many(names):
    return f"{', '.join(names[:-1])} and {names[-1]}"


# --- 1 forward pass -----------------------------------------------------------------------

A_PROTEIN = "What does a row of numbers look like that is a protein?"
COUNTERPARTS = "embedding", "clamp", "Tensor.matmul", "chunk", "sigmoid", "where"


def counterpart_cases(recording):
    for probe in recording.probes.values():
        yield Case(probe.name, complaint=partial(missing_counterparts, COUNTERPARTS))
        for operation in probe.operations[:50]:
            if operation.op in COUNTERPARTS:
                yield Case(
                    f"{operation.op}, {probe.name}",
                    args=tuple(probe.value(name) for name in operation.inputs),
                    expected=of_operation(operation),
                    call=partial(call_counterpart, operation.op),
                    part=in_parts if operation.op == "chunk" else as_it_is,
                    unseen=None if operation.op != "embedding" else lambda rng: None,
                )
    call = partial(call_counterpart, "sigmoid")
    x = np.array([[-1000.0, 0.0, 1000.0]])
    yield Case("sigmoid, very large values", (x,), np.array([[0.0, 0.5, 1.0]]), call=call)
    call = partial(call_counterpart, "clamp")
    yield Case("clamp, very large values", (x**4,), np.array([[1e12, 1e-12, 1e12]]), call=call)
    is_real, call = np.array([[True], [False]]), partial(call_counterpart, "where")
    yield Case("where, with padding", (is_real, x, -x), np.concatenate([x, -x]), call=call)


def of_operation(operation):
    return operation.values[0] if len(operation.values) == 1 else in_parts(operation.values)


def as_it_is(answer):
    return answer


def in_parts(answer):
    """Name the parts that an operation gives by their numbers."""
    if isinstance(answer, dict):
        return answer
    return {str(number): part for number, part in enumerate(answer)}


def normalise_cases(recording):
    for probe in recording.probes.values():
        for number in range(probe.sizes["layers"]):
            for name in WEIGHTS:
                weight, gain = (probe.params[f"mlstm.{number}.{n}"] for n in (name, gain_of(name)))
                yield Case(probe.name, (weight, gain), normalised(weight, gain))
    weight = np.array([[0.0, 3e-7, 3e-6, 2.0], [0.0, 4e-7, 4e-6, 0.0]])
    gain = np.array([2.0, -2.0, 3.0, 0.5])
    yield Case("columns next to nothing", (weight, gain), normalised(weight, gain))


def normalise_cases_in_jax(recording):
    *cases, last = normalise_cases(recording)
    yield last
    yield from (compiled(case) for case in cases if case.probe == "one letter")
    yield compiled(last)


def gain_of(name):
    return f"g{name[1:]}"


def normalised(weight, gain):
    return weight / np.sqrt(np.maximum((weight**2).sum(axis=0), 1e-12)) * gain


def normalised_weights(params):
    weights = {name: normalised(params[name], params[gain_of(name)]) for name in WEIGHTS}
    return {**weights, "b": params["b"]}


def stepped(weights, x, h, c):
    """Take one step as the original does."""
    z = x @ weights["wx"] + (x @ weights["wmx"] * (h @ weights["wmh"])) @ weights["wh"]
    i, f, o, u = np.split(z + weights["b"], 4, axis=1)
    i, f, o = (0.5 + 0.5 * np.tanh(gate / 2) for gate in (i, f, o))
    c = f * c + i * np.tanh(u)
    return {"h": o * np.tanh(c), "c": c}


def step_cases(recording):
    for probe in recording.probes.values():
        for params, x, is_real, results in layers_of(probe):
            if is_real.shape[1] > 1:
                before = results["hidden"][:, 0]
                weights = normalised_weights(params)
                c = stepped(weights, x[:, 0], 0 * before, 0 * before)["c"]
                after = stepped(weights, x[:, 1], before, c)
                args = weights, x[:, 1], before, c
                yield Case(probe.name, args, after, part=several("h", "c"))
    rng = np.random.default_rng(0)
    params = next(layers_of(recording.probes["other sizes"]))[0]
    weights = normalised_weights(params)
    x, h, c = (rng.normal(scale=scale, size=(4, n)) for scale, n in ((1, 6), (3, 2), (9, 2)))
    args = weights, x, h, c
    yield Case("large memories", args, stepped(*args), part=several("h", "c"))
    args = weights, 1e4 * x, h, c
    yield Case("very large values", args, stepped(*args), part=several("h", "c"))
    for gates, b in (("open", 1000.0), ("closed", -300.0)):
        args = {**weights, "b": np.full(8, b)}, x, h, c
        yield Case(f"gates far {gates}", args, stepped(*args), part=several("h", "c"))


def step_cases_in_jax(recording):
    cases = {case.probe: case for case in step_cases(recording)}
    yield from (cases["large memories"], cases["very large values"])
    some = "ordinary", "gates far open", "gates far closed"
    yield from (compiled(cases[name]) for name in some)


def layer_cases(recording):
    for probe in recording.probes.values():
        for params, x, is_real, results in layers_of(probe):
            yield Case(
                probe.name,
                (params, x, is_real),
                results,
                part=several("hidden", "h", "c"),
            )
    params, x, is_real, _ = next(layers_of(recording.probes["other sizes"]))
    gaps = np.arange(is_real.size).reshape(is_real.shape) % 3 != 1
    args = params, x, gaps
    yield Case("letters missing in between", args, layered(*args), part=several("hidden", "h", "c"))


def layered(params, x, is_real):
    """Compute a layer as the original does."""
    weights, hidden = normalised_weights(params), []
    h = c = np.zeros((len(x), len(params["wmh"])))
    for t in range(x.shape[1]):
        new, here = stepped(weights, x[:, t], h, c), is_real[:, t, None]
        h, c = np.where(here, new["h"], h), np.where(here, new["c"], c)
        hidden.append(h)
    return {"hidden": np.stack(hidden, axis=1), "h": h, "c": c}


def layer_cases_in_jax(recording):
    cases = {case.probe: case for case in layer_cases(recording)}
    gaps = cases["letters missing in between"]
    params, x, is_real = gaps.args
    square = params, x[:5], is_real[:5]
    yield from (gaps, compiled(gaps), compiled(cases["one letter"]))
    yield compiled(
        replace(gaps, probe="as many proteins as letters", args=square, expected=layered(*square))
    )
    params, x, _, _ = next(layers_of(recording.probes["other sizes"]))
    yield Case(
        "longer proteins",
        (params, x[:2, :1]),
        complaint=partial(growth_complaint, (4, 40), "letters", "real proteins"),
        call=lambda piece, *args: [program_size(piece, *args, seq=seq) for seq in (4, 40)],
    )


def program_size(piece, params, x, seq):
    """Count the operations that JAX compiles for a protein of so many letters."""
    import jax

    x = np.repeat(x, seq, axis=1)
    return operations_in(jax.make_jaxpr(piece)(params, x, x[:, :, 0] > -np.inf).jaxpr)


def read_cases(recording):
    for probe in recording.probes.values():
        last = probe.sizes["layers"] - 1
        names = "hidden", "h", "c"
        yield Case(
            probe.name,
            (nested(probe.params), probe.inputs["letters"]),
            {name: probe.results[f"{name} {last}"] for name in names},
            part=several(*names),
            unseen=other_letters(probe),
        )
    args = made_up(units=3, layers=11)
    yield Case("eleven layers", args, read_by(*args), part=several(*names))


def made_up(units, layers):
    """Make up a model, the numbers of its layers in no order, and letters for it."""
    rng = np.random.default_rng(layers)

    def drawn(*shape):
        return rng.normal(size=shape)

    def layer(width):
        weights = {"wmx": drawn(width, units), "wmh": drawn(units, units)}
        weights |= {"wx": drawn(width, 4 * units), "wh": drawn(units, 4 * units)}
        gains = {gain_of(name): drawn(weight.shape[1]) for name, weight in weights.items()}
        return {**weights, **gains, "b": drawn(4 * units)}

    made = {
        "embedding": {"weight": drawn(26, 4)},
        "mlstm": {str(number): layer(units if number else 4) for number in range(layers)[::-1]},
        "dense": {"weight": drawn(25, units), "bias": drawn(25)},
    }
    return made, letters_like(np.ones((3, 4), dtype=int), rng)


def read_by(params, letters):
    """Read letters as the original does."""
    hidden, is_real = params["embedding"]["weight"][letters], letters > 0
    for number in range(len(params["mlstm"])):
        said = layered(params["mlstm"][str(number)], hidden, is_real)
        hidden = said["hidden"]
    return said


def scores_of(params, letters):
    dense = params["dense"]
    return read_by(params, letters)["hidden"] @ dense["weight"].T + dense["bias"]


def other_letters(probe):
    return lambda rng: (
        noisy(probe.params, rng),
        letters_like(probe.inputs["letters"], rng),
    )


def representation_cases(recording):
    names = "mean h", "last h", "last c"
    for probe in recording.probes.values():
        yield Case(
            probe.name,
            (nested(probe.params), probe.inputs["letters"]),
            {name: probe.results[name] for name in names},
            part=several(*names),
            unseen=other_letters(probe),
        )


def model_cases(recording):
    for probe in recording.probes.values():
        yield Case(
            probe.name,
            (nested(probe.params), probe.inputs["letters"]),
            probe.results["forward"],
            unseen=other_letters(probe),
        )
    params, letters = made_up(units=25, layers=1)
    yield Case("as many units as letters", (params, letters), scores_of(params, letters))


# --- 2 shapes -----------------------------------------------------------------------------


def param_shape_cases(recording):
    for probe in recording.probes.values():
        yield Case(probe.name, sizes_of(probe), shapes_of(probe.params))
    yield Case("no sizes given", (), shapes_of(recording.params))


def activation_shape_cases(recording):
    for probe in recording.probes.values():
        sizes = tuple(probe.sizes[axis] for axis in ("batch", "seq", "embedding", "units"))
        yield Case(probe.name, sizes, expected_activations(*sizes))
    yield Case("no widths given", (3, 5), expected_activations(3, 5, 10, 12))


def expected_activations(batch, seq, embedding, units):
    return {
        "embedding": (batch, seq, embedding),
        "m": (batch, units),
        "z": (batch, 4 * units),
        "c": (batch, units),
        "hidden": (batch, seq, units),
        "representation": (batch, units),
        "dense": (batch, seq, 25),
    }


# --- 3 params -----------------------------------------------------------------------------


def fresh_cases(recording):
    return draw_cases(recording, COMPILED, sizes_of, initial_at)


def fresh_cases_in_jax(recording):
    yield from fresh_cases(recording)
    yield traced_key_case(recording)


def initial_at(probe, recording):
    """Scale the original's distributions to other sizes: each has a width of its own."""
    evenly = np.linspace(-1, 1, 257)
    expected = {}
    for name, value in probe.params.items():
        layer, kind = name.rpartition(".")[::2]
        if layer == "dense":
            expected[name] = evenly / probe.sizes["units"] ** 0.5
        elif kind in WEIGHTS or layer == "embedding":
            expected[name] = evenly * (6 / sum(value.shape)) ** 0.5
        else:
            expected[name] = np.full(257, 0.0 if kind == "b" else 1.0)
    return expected


# --- 5 training test ----------------------------------------------------------------------

NUMBERS = {
    **{letter: number for number, letter in enumerate(TABLE, 1)},
    **dict.fromkeys("XZBJ", 23),
}


def encode_cases(recording):
    real = [bytes(protein).decode() for protein in recording.data.values()]
    for name, proteins in (
        ("real proteins", real[:3]),
        ("one protein", real[3:4]),
        ("every letter", [TABLE, "XZBJ", "", "M"]),
    ):
        yield Case(
            name,
            (proteins,),
            encoded(proteins),
            part=whole_numbers,
            unseen=lambda rng, proteins=proteins: (
                ["".join(rng.choice(list(NUMBERS), size=rng.integers(1, 9))) for _ in proteins],
            ),
        )
    for character in "*", "k", "é", "-", " ", "1":
        complaint = partial(refusal_complaint, character)
        yield Case("no letter", complaint=complaint, call=partial(refusal_of, character))


def encoded(proteins):
    letters = np.zeros((len(proteins), 1 + max(map(len, proteins))), dtype=int)
    for row, protein in zip(letters, proteins, strict=True):
        row[: 1 + len(protein)] = [24, *(NUMBERS[letter] for letter in protein)]
    return letters


def whole_numbers(answer):
    """Take any kind of whole number for one."""
    array = as_array(answer, "for the letters")
    return array.astype(int) if array.dtype.kind in "iu" else array


def refusal_of(character, piece):
    """Hand over what is no protein, three times; return how it is refused, where it is."""
    answers = []
    for proteins in ["MK", f"M{character}K"], [f"{character}MK"], [f"MK{character}", "M"]:
        try:
            answers.append(piece(proteins))
        except ValueError as error:
            answers.append(str(error))
    return answers


def refusal_complaint(character, answers):
    for answer in answers:
        if not isinstance(answer, str):
            return f"takes {character!r} for a letter.", "What should happen where one is none?"
        if character not in answer:
            return (
                f"raises ValueError: {shorten(answer)}.",
                f"Does the message name the character {character!r}?",
            )
    return None


def next_cases(recording):
    for probe in recording.probes.values():
        letters = probe.inputs["letters"]
        yield Case(
            probe.name,
            (letters,),
            following(letters),
            part=whole_numbers,
            unseen=lambda rng, letters=letters: (letters_like(letters, rng),),
        )
    full = np.array([[24, 3, 5], [24, 22, 23]])
    yield Case("no padding", (full,), np.array([[3, 5, 25], [22, 23, 25]]), part=whole_numbers)


def following(letters):
    after = np.pad(letters[:, 1:], ((0, 0), (0, 1)))
    return np.where(letters > 0, np.where(after > 0, after, 25), 0)


def letters_and_next(answer):
    """Take apart what a function of data.py returns."""
    try:
        x, y = answer
    except (TypeError, ValueError):
        raise Refusal(
            "type", f"returns {shorten(answer)}, expected two arrays: letters, and what comes next."
        ) from None
    return {"x": whole_numbers(x), "y": whole_numbers(y)}


def dummy_data_cases(recording):
    for batch, seq in ((8, 12), (30, 5), (1, 3)):
        yield Case(
            f"{batch} by {seq}",
            args=(batch, seq),
            complaint=partial(dummy_data_complaint, batch, seq),
            call=lambda piece, *sizes: [piece(key, *sizes) for key in (1, 1, 2)],
        )
    yield Case(
        "no arguments",
        complaint=partial(dummy_data_complaint, 8, 12),
        call=lambda piece: [piece(), piece(0), piece(1)],
    )
    yield Case("500 proteins", complaint=many_complaint, call=lambda piece: piece(3, 500, 6))


def dummy_data_complaint(batch, seq, answers):
    first, again, other = (letters_and_next(answer) for answer in answers)
    x, y = first["x"], first["y"]
    for name, value in first.items():
        if value.shape != (batch, seq) or value.dtype.kind not in "iu":
            return (
                f"{name} is {value.dtype} of shape {value.shape}, expected whole numbers, {batch} "
                f"proteins by {seq} letters.",
                "Which axis is which?",
            )
    if (x[:, 0] != 24).any():
        return f"a protein starts with {x[0, 0]}.", "With which number does every protein start?"
    if ((x[:, 1:] > 0) & (x[:, :-1] == 0)).any():
        return "a letter stands behind padding.", "Where does the padding of a protein belong?"
    if x[:, 1:].max() > 23:
        return f"the letter {x[:, 1:].max()} stands within a protein.", "Which letters are there?"
    if not np.array_equal(y, following(x)):
        return "y is not what comes next in x.", "What follows the last letter, and the padding?"
    if not np.array_equal(x, again["x"]):
        return "made twice with the same key, and different.", "Does it use the key?"
    if np.array_equal(x, other["x"]) and x.size > 3:
        return "the same proteins for two different keys.", "Does it use the key?"
    return None


def many_complaint(answer):
    x = letters_and_next(answer)["x"]
    lengths = sorted(set((x > 0).sum(axis=1).tolist()))
    if lengths != [2, 3, 4, 5, 6]:
        return (
            f"among 500 proteins there are lengths of {', '.join(map(str, lengths))}, the start "
            "included; expected 2 to 6, seq.",
            "Which end does the generator leave out?",
        )
    letters = sorted(set(x[:, 1:][x[:, 1:] > 0].tolist()))
    if letters != list(range(1, 24)):
        return (
            f"among 500 proteins there are letters {letters[0]} to {letters[-1]}; expected 1 to "
            "23.",
            "Which end does the generator leave out?",
        )
    return None


def other_model(params, x):
    """Compute other scores than the LSTM: losses must take any model."""
    import jax.numpy as jnp

    return jnp.asarray(other_answer(params, x))


def other_answer(params, x):
    return params["dense"]["bias"] * (1 + x[:, :, None])


def loss_cases(recording):
    for probe in recording.probes.values():
        scores = probe.results["forward"]
        case = Case(
            probe.name,
            ({"scores": scores}, told_scores, probe.inputs["letters"], probe.target),
            np.float64(probe.loss),
            unseen=partial(other_scores, probe),
        )
        yield case if probe.name == "ordinary" else compiled(case, static=1)
    probe = recording.probes["other sizes"]
    scores, y = probe.results["forward"], probe.target
    yield Case(
        "gradients",
        ({"scores": scores}, told_scores, probe.inputs["letters"], y),
        {"scores": gradient_of_surprise(scores, y)},
        call=partial(call_compiled_gradient, 1),
        unseen=lambda rng: None,
    )
    probe = recording.probes["ordinary"]
    x, y = probe.inputs["letters"], probe.target
    large = {"scores": 1e3 * probe.results["forward"]}
    yield Case("very large scores", (large, told_scores, x, y), surprise(large["scores"], y))
    some = y * (np.arange(y.size).reshape(y.shape) % 3 > 0)
    scores = probe.results["forward"]
    args = {"scores": scores}, told_scores, x, some
    yield Case("some letters not asked for", args, surprise(scores, some))
    params = {"dense": {"bias": np.linspace(-1, 1, 25)}}
    expected = surprise(other_answer(params, x), y)
    yield Case("another model", (params, other_model, x, y), expected)


def told_scores(params, letters):
    import jax.numpy as jnp

    return jnp.asarray(params["scores"])


def other_scores(probe, rng):
    letters = letters_like(probe.inputs["letters"], rng)
    scores = rng.normal(scale=2, size=(*letters.shape, 25))
    return {"scores": scores}, told_scores, letters, following(letters)


def gradient_of_surprise(scores, y):
    p = np.exp(scores - scores.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    came = np.arange(1, 26) == y[..., None]
    return np.where(y[..., None] > 0, p - came, 0) / (y > 0).sum()


def surprise(scores, y):
    shifted = scores - scores.max(axis=-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    of_letter = np.take_along_axis(log_p, np.maximum(y - 1, 0)[..., None], axis=-1)[..., 0]
    return np.float64(-of_letter[y > 0].mean())


def published_cases(recording):
    names = "ordinary", "other sizes", "one letter"
    asked = {name: recording.probes[name].params for name in names}
    many, _ = made_up(units=3, layers=11)
    asked["eleven layers"] = flat(many)
    for name, params in asked.items():
        layers = {k: v for k, v in params.items() if k.startswith("mlstm.")}
        arrays = {
            "embedding": params["embedding.weight"],
            **layers,
            "dense.w": params["dense.weight"].T,
            "dense.b": params["dense.bias"],
        }
        yield Case(name, (arrays,), nested(params))


# --- 6 know your model --------------------------------------------------------------------


def strangeness_cases(recording):
    rng = np.random.default_rng(0)
    for name, count in (("ordinary", 6), ("other sizes", 3)):
        probe = recording.probes[name]
        args = nested(probe.params), probe.inputs["letters"], some_proteins(rng, count, 8)
        unseen = partial(other_proteins, probe)
        yield Case(probe.name, args, distances(*args), unseen=unseen)


def some_proteins(rng, count, seq):
    """Draw proteins of three letters and more: so no two are alike, and no distance is zero."""
    letters = rng.integers(1, 24, size=(count, seq))
    letters[:, 0] = 24
    lengths = rng.integers(4, seq + 1, size=(count, 1))
    return np.where(np.arange(seq) < lengths, letters, 0)


def other_proteins(probe, rng):
    return noisy(probe.params, rng), some_proteins(rng, 6, 7), some_proteins(rng, 4, 9)


def distances(params, x, known):
    """Measure from each protein's mean h to the nearest of the known ones' means."""
    gaps = mean_said(params, x)[:, None] - mean_said(params, known)
    return np.linalg.norm(gaps, axis=-1).min(axis=1)


def mean_said(params, letters):
    is_real = letters > 0
    hidden = read_by(params, letters)["hidden"]
    return np.einsum("bsu,bs->bu", hidden, is_real / is_real.sum(axis=1, keepdims=True))


def verdict_cases(recording):
    rng = np.random.default_rng(0)
    for name, count, alpha in (("ordinary", 19, 0.3), ("other sizes", 12, 0.5)):
        probe = recording.probes[name]
        args = nested(probe.params), *proteins_to_judge(rng, count), alpha
        unseen = partial(other_proteins_to_judge, probe)
        yield Case(probe.name, args, strange(*args), unseen=unseen)
    params = nested({name: np.zeros_like(value) for name, value in probe.params.items()})
    args = params, *proteins_to_judge(rng, count), 0.2
    yield Case("a model of zeros", args, np.zeros(16, dtype=bool), unseen=unseen)


def proteins_to_judge(rng, count):
    """Draw proteins to be judged, known ones, and so many for the threshold."""
    x, known, calibration = (
        some_proteins(rng, n, seq) for n, seq in ((16, 9), (2 + count // 4, 6), (count, 7))
    )
    x[::2] = np.where(x[::2] > 0, x[::2, 1:2], 0)  # one letter, again and again
    x[:, 0] = 24
    return x, known, calibration


def other_proteins_to_judge(probe, rng):
    alpha = drawn_alpha(rng, 15)
    return noisy(probe.params, rng), *proteins_to_judge(rng, 15), alpha


def strange(params, x, known, calibration, alpha):
    threshold = threshold_of(distances(params, calibration, known), alpha)
    return distances(params, x, known) > threshold


def second_cases(recording):
    for name in ("ordinary", "other sizes"):
        unseen = partial(proteins_to_score, recording.probes[name])
        args = unseen(np.random.default_rng(0))
        yield Case(name, args, choices=second_scores, call=call_trained, unseen=unseen)


def call_trained(piece, params, *args):
    """Hand on params in JAX, as training leaves them: NumPy's cannot be indexed under vmap."""
    import jax
    import jax.numpy as jnp

    return piece(jax.tree.map(jnp.asarray, params), *args)


def proteins_to_score(probe, rng):
    """Draw a few proteins, and many known ones: enough for a covariance of their mean h."""
    known = some_proteins(rng, 8 * probe.sizes["units"], 9)
    return noisy(probe.params, rng), some_proteins(rng, 6, 7), known


def second_scores(params, x, known):
    each = [surprise(scores_of(params, row), following(row)) for row in x[:, None]]
    return {
        "surprise": np.array(each),
        **distances_from(mean_said(params, known), mean_said(params, x)),
    }


def flops_cases(recording):
    for name, args, probe in sized(recording):
        products = probe.inputs["letters"].size * probe.params["dense.weight"].size
        for params, _, is_real, _ in layers_of(probe):
            products += is_real.size * sum(params[name].size for name in WEIGHTS)
        expected = {"forward": 2 * products, "train_step": 6 * products}
        yield Case(name, args, expected, part=whole)


def sized(recording):
    """Give each probe with its sizes, and one whose widths are the defaults without them."""
    for probe in recording.probes.values():
        batch_and_seq = probe.inputs["letters"].shape
        yield probe.name, (*batch_and_seq, *sizes_of(probe)), probe
        if sizes_of(probe) == (10, 12, 2):
            yield f"{probe.name}, no widths given", batch_and_seq, probe


def memory_cases(recording):
    for name, args, probe in sized(recording):
        params = 4 * sum(value.size for value in probe.params.values())
        numbers = probe.params["embedding.weight"].shape[1] + len(probe.params["dense.weight"])
        for _, _, _, results in layers_of(probe):
            numbers += 7 * results["h"].shape[1]  # z is four of them
        expected = {
            "params": params,
            "gradients": params,
            "adam": 2 * params,
            "activations": 4 * probe.inputs["letters"].size * numbers,
        }
        yield Case(name, args, expected, part=whole)


def checked_cases(recording):
    rng = np.random.default_rng(0)
    yield limits_case(A_PROTEIN, some_proteins(rng, 4, 12), [some_proteins(rng, 4, 13)], 12)
    for count, seq, longest in ((5, 12, 12), (3, 7, 9), (1, 5, 6)):
        x = some_proteins(rng, count, seq)
        x[0, 1:4] = 1, 23, 1  # the ends of the table
        name = f"{count} by {seq} numbers, of {longest} at most"
        yield Case(name, (x, longest), x, unseen=other_checked_proteins)
    x = some_proteins(rng, 4, 8)
    yield Case("no proteins", (x[:0], 9), x[:0])
    for place, wrong in ((2, -1), (2, 24), (2, 25), (2, 26), (2, 0), (0, 0), (0, 7), (0, 25)):
        proteins = x.copy()
        proteins[-1, place] = wrong
        what = "at the start" if place == 0 else "between two letters"
        yield refused_case(f"the number {wrong} {what}", A_PROTEIN, proteins, 9)
    yield refused_case("padding before the start", A_PROTEIN, np.pad(x, ((0, 0), (1, 0))), 9)
    yield refused_case("letters as floats", A_PROTEIN, x.astype(float), 9)
    yield refused_case("8 numbers where 7 are allowed", A_PROTEIN, x, 7)
    yield refused_case("proteins of no length", A_PROTEIN, x[:, :0], 9)
    yield refused_case("one protein that is no batch", A_PROTEIN, x[0], 9)
    yield refused_case("letters of three axes", A_PROTEIN, x[:, :, None], 9)


def other_checked_proteins(rng):
    return some_proteins(rng, 6, 10), 11


PIECES = [
    Piece("numpy_counterparts", None, 1, counterpart_cases),
    Piece("nn_layer", "model", 1, from_track="autoencoder"),
    Piece("normalise", "model", 1, normalise_cases),
    Piece("mlstm_step", "model", 1, step_cases),
    Piece("mlstm_layer", "model", 1, layer_cases),
    Piece("read", "model", 1, read_cases),
    Piece("representation", "model", 1, representation_cases),
    Piece("mlstm_model", "model", 1, model_cases),
    Piece("param_shapes", "shapes", 2, param_shape_cases),
    Piece("activation_shapes", "shapes", 2, activation_shape_cases),
    Piece("make_mlstm_params", "params", 3, fresh_cases),
    Piece("params_from_state_dict", "params", 3, state_dict_cases),
    Piece("published_params", "params", 3, published_cases),
    *tests_of(
        4,
        test_shapes=("only the last scores",),
        test_columns_have_the_length_of_their_gain=("rows normalised", "gain left out"),
        test_padding_changes_nothing=("mean over the padding too", "memory goes on in the padding"),
        test_proteins_do_not_mix=("normalised over the batch", "first mask for all"),
        test_the_past_alone_counts=("read from the end", "next letter looked at"),
        test_the_order_of_letters_counts=("letters summed up", "state thrown away"),
        test_a_step_by_hand=("gates in another order", "bias left out of the step"),
    ),
    Piece("encode_proteins", "data", 5, encode_cases),
    Piece("next_letters", "data", 5, next_cases),
    Piece("dummy_protein_data", "data", 5, dummy_data_cases),
    Piece("normalise", "model", 5, normalise_cases_in_jax, port=True),
    Piece("mlstm_step", "model", 5, step_cases_in_jax, port=True),
    Piece("mlstm_layer", "model", 5, layer_cases_in_jax, port=True),
    Piece("make_mlstm_params", "params", 5, fresh_cases_in_jax, port=True),
    Piece("next_letter_loss", "losses", 5, loss_cases),
    Piece("adam_steps", "training", 5, from_track="autoencoder"),
    Piece("train", "training", 5, from_track="autoencoder"),
    *tests_of(
        5,
        test_training_lowers_the_loss=("gradient climbed", "never updated"),
        test_every_parameter_receives_gradient=("first layer only", "hidden rounded"),
        test_one_batch_can_be_overfitted=("never updated", "step far too small"),
    ),
    Piece("strangeness", "uncertainty", 6, strangeness_cases),
    Piece("conformal_threshold", "uncertainty", 6, from_track="autoencoder"),
    Piece("is_strange", "uncertainty", 6, verdict_cases),
    Piece("second_strangeness", "uncertainty", 6, second_cases),
    Piece("count_flops", "costs", 6, flops_cases),
    Piece("count_memory", "costs", 6, memory_cases),
    Piece("paired_difference", "uncertainty", 6, from_track="autoencoder"),
    Piece("checked_proteins", "data", 6, checked_cases),
    Piece("in_words", "card", 6, words_cases),
]
