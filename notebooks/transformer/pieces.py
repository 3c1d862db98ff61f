"""What the pair writes in this track, and the questions that each piece is asked."""

import math
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
    flat,
    initial_complaint,
    nested,
    same_distribution,
    shape_and_key_cases,
    shapes_of,
    state_dict_cases,
    traced_key_case,
)

COMPILED = "ordinary", "other sizes"  # compiling for every probe would only take longer
AXES = "words", "positions", "width", "inner"


def sizes_of(probe):
    return *(probe.sizes[axis] for axis in AXES), layers_in(probe)


def layers_in(probe):
    return len(nested(probe.params)["layers"])


def layers_of(probe):
    """Give of each block its params, what goes in, and the name that its operations begin with."""
    params, before = nested(probe.params)["layers"], "embed"
    for number in range(layers_in(probe)):
        yield params[str(number)], probe.results[before], f"layers.{number}"
        before = f"layer_{number}"


def value_of(probe, module, op):
    """Find what an operation of a module gave: the last one of that name."""
    found = [o for o in probe.operations if o.module == module and o.op == op]
    return found[-1].values[0]


# --- what is expected where the recording has no answer -----------------------------------


def normalised(params, x, eps=1e-12):
    mean, variance = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    return params["weight"] * (x - mean) / (variance + eps) ** 0.5 + params["bias"]


def after_block(params, x, is_real, heads):
    from scipy.special import ndtr

    def linear(layer, x):
        return x @ layer["weight"].T + layer["bias"]

    layers, mixed = params["attention"], np.zeros_like(x)
    query, key, value = (linear(layers[name], x) for name in ("query", "key", "value"))
    size = x.shape[-1] // heads
    for sentence, words in enumerate(is_real):
        for head in range(heads):
            part = sentence, slice(None), slice(head * size, (head + 1) * size)
            scores = query[part] @ key[part][words].T / size**0.5
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            weights /= weights.sum(axis=1, keepdims=True)
            mixed[part] = weights @ value[part][words]
    x = normalised(params["attention_norm"], x + linear(layers["out"], mixed))
    inner = linear(params["expand"], x)
    return normalised(params["output_norm"], x + linear(params["contract"], inner * ndtr(inner)))


# --- 1 forward pass -----------------------------------------------------------------------

READABLE = "Which sentences is the model made for?"
COUNTERPARTS = "embedding", "linear", "Tensor.matmul", "Tensor.masked_fill", "softmax"


def counterpart_cases(recording):
    for probe in recording.probes.values():
        yield Case(probe.name, complaint=partial(missing_counterparts, COUNTERPARTS))
        for operation in probe.operations:
            if operation.op in COUNTERPARTS and not operation.module.startswith("layers.1"):
                yield Case(
                    f"{operation.op}, {probe.name}",
                    args=tuple(probe.value(name) for name in operation.inputs),
                    expected=operation.values[0],
                    call=partial(call_counterpart, operation.op),
                )
    x = np.array([[-1000.0, 0.0, 1000.0], [1000.0, 1000.0, -1000.0]])
    call = partial(call_counterpart, "softmax")
    expected = np.array([[0.0, 0.0, 1.0], [0.5, 0.5, 0.0]])
    yield Case("softmax, very large values", (x,), expected, call=call)


def gelu_cases(recording):
    for probe in recording.probes.values():
        for operation in probe.operations:
            if operation.op == "gelu":
                x = probe.value(operation.inputs[0])
                yield Case(probe.name, (x,), operation.values[0])
    x = np.array([-1000.0, -30.0, 0.0, 30.0, 1000.0])
    yield Case("very large values", (x,), np.maximum(x, 0))


def gelu_cases_in_jax(recording):
    cases = {case.probe: case for case in gelu_cases(recording)}
    yield cases["ordinary"]
    yield from (compiled(cases[name]) for name in ("other sizes", "very large values"))


def norm_cases(recording):
    for probe in recording.probes.values():
        for operation in probe.operations:
            if operation.op == "layer_norm":
                x, weight, bias = (probe.value(name) for name in operation.inputs)
                yield Case(probe.name, ({"weight": weight, "bias": bias}, x), operation.values[0])
    probe = recording.probes["other sizes"]
    x, params = probe.results["embed"], nested(probe.params)["embedding_norm"]
    for name, rows in (
        ("values of a millionth", x / 1e6),
        ("equal values", np.full((2, 8), 3.0)),
        ("values far from zero", x + 1e5),  # of squares that large little is left of the spread
        ("two axes", x[0]),
    ):
        yield Case(name, (params, rows), normalised(params, rows))
    yield Case("eps given", (params, x, 0.5), normalised(params, x, 0.5))
    rows = np.concatenate([x[0], np.full((2, 8), 3.0)])
    yield Case("some equal values, eps given", (params, rows, 0.5), normalised(params, rows, 0.5))


def norm_cases_in_jax(recording):
    cases = {case.probe: case for case in norm_cases(recording)}
    yield from map(cases.get, ("other sizes", "values of a millionth", "eps given"))
    yield from (compiled(cases[name]) for name in ("ordinary", "some equal values, eps given"))


def attention_cases(recording):
    for probe in recording.probes.values():
        for params, x, layer in layers_of(probe):
            args = params["attention"], x, probe.inputs["is_real"], probe.sizes["heads"]
            yield Case(probe.name, args, value_of(probe, f"{layer}.attention.out", "linear"))


def attention_cases_in_jax(recording):
    cases = list(attention_cases(recording))
    yield from (case for case in cases if case.probe == "ordinary")
    yield from (
        compiled(case, static=3) for case in cases if case.probe in ("other sizes", "large values")
    )


def block_cases(recording):
    for probe in recording.probes.values():
        for number, (params, x, _) in enumerate(layers_of(probe)):
            args = params, x, probe.inputs["is_real"], probe.sizes["heads"]
            yield Case(probe.name, args, probe.results[f"layer_{number}"])


def embed_cases(recording):
    for probe in recording.probes.values():
        args = nested(probe.params), probe.inputs["tokens"]
        yield Case(probe.name, args, probe.results["embed"])
    probe = recording.probes["other sizes"]
    params, tokens = nested(probe.params), np.array([[12, 0, 5, 5, 12, 1, 3]])
    words = params["word"]["weight"][tokens] + params["position"]["weight"]
    expected = normalised(params["embedding_norm"], words)
    yield Case("as long as can be", (params, tokens), expected)


def pool_cases(recording):
    for probe in recording.probes.values():
        x = probe.results[f"layer_{layers_in(probe) - 1}"]
        yield Case(probe.name, (x, probe.inputs["is_real"]), probe.results["pool"])


def pool_cases_in_jax(recording):
    cases = {case.probe: case for case in pool_cases(recording)}
    yield from (cases["ordinary"], compiled(cases["other sizes"]))


def model_cases(recording):
    for probe in recording.probes.values():
        args = nested(probe.params), dict(probe.inputs), probe.sizes["heads"]
        yield Case(probe.name, args, probe.results["forward"])
    probe = recording.probes["ordinary"]
    args = nested(probe.params), dict(probe.inputs)
    yield Case("no heads given", args, probe.results["forward"])
    yield renumbered(probe)
    yield eleven_blocks(probe)
    yield no_first_word(probe)


def renumbered(probe):
    """Give every word the number of the next, the padding too: 0 is now a word like others."""
    params, inputs = nested(probe.params), probe.inputs
    tokens = (inputs["tokens"] + 1) % len(params["word"]["weight"])
    table = {"weight": np.roll(params["word"]["weight"], 1, axis=0)}
    args = {**params, "word": table}, {**inputs, "tokens": tokens}, probe.sizes["heads"]
    return Case("words with other numbers", args, probe.results["forward"])


def eleven_blocks(probe):
    """Make a model of so many blocks that their numbers, sorted as text, are in another order."""
    params, heads = nested(probe.params), probe.sizes["heads"]
    blocks = list(params["layers"].values())
    numbers = sorted(map(str, range(11)), reverse=True)
    layers = {number: blocks[int(number) ** 2 % 3] for number in numbers}  # 0 or 1, no palindrome
    args = {**params, "layers": layers}, dict(probe.inputs), heads
    return Case("eleven blocks", args, after_blocks(probe, *args))


def no_first_word(probe):
    """Begin every sentence with padding: the words keep their places."""
    is_real = probe.inputs["is_real"] & (np.arange(probe.sizes["seq"]) > 0)
    args = nested(probe.params), {**probe.inputs, "is_real": is_real}, probe.sizes["heads"]
    return Case("padding first", args, after_blocks(probe, *args))


def after_blocks(probe, params, x, heads):
    """Say what the original makes of the words of a probe, as they were embedded."""
    rows, is_real = probe.results["embed"], x["is_real"]
    for number in range(len(params["layers"])):
        rows = after_block(params["layers"][str(number)], rows, is_real, heads)
    pooled = (rows * is_real[:, :, None]).sum(axis=1) / is_real.sum(axis=1)[:, None]
    return pooled / np.sqrt((pooled**2).sum(axis=1, keepdims=True))


def model_cases_in_jax(recording):
    cases = {case.probe: case for case in model_cases(recording)}
    some = (
        "ordinary", "no heads given", "words with other numbers", "eleven blocks", "padding first",
    )  # fmt: skip
    yield from map(cases.get, some)
    yield compiled(cases["other sizes"], static=2)


# --- 2 shapes -----------------------------------------------------------------------------


def param_shape_cases(recording):
    for probe in recording.probes.values():
        yield Case(probe.name, sizes_of(probe), shapes_of(probe.params))
    yield Case("no sizes given", (), shapes_of(recording.params))


def activation_shape_cases(recording):
    for probe in recording.probes.values():
        sizes = (probe.sizes[axis] for axis in ("batch", "seq", "width", "inner", "heads"))
        yield Case(probe.name, tuple(sizes), recorded_shapes(probe), unseen=other_activations)
    probe = recording.probes["ordinary"]
    args = probe.sizes["batch"], probe.sizes["seq"]
    yield Case("no widths given", args, recorded_shapes(probe))


def recorded_shapes(probe):
    """Read off the trace what comes out of embed, of the steps of one block, and of pool."""
    attention, block = "layers.0.attention", "layers.0"
    values = {
        "embed": probe.results["embed"],
        "query": probe.value(query_of(probe, attention)),
        "scores": value_of(probe, attention, "softmax"),
        "mixed": value_of(probe, attention, "Tensor.matmul"),
        "out": value_of(probe, f"{attention}.out", "linear"),
        "expand": value_of(probe, f"{block}.expand", "linear"),
        "contract": value_of(probe, f"{block}.contract", "linear"),
        "pool": probe.results["pool"],
    }
    return {name: value.shape for name, value in values.items()}


def query_of(probe, module):
    found = [o for o in probe.operations if o.module == module and o.op == "Tensor.matmul"]
    return found[0].inputs[0]


def other_activations(rng):
    batch, seq, head_size, inner, heads = (int(size) for size in rng.integers(1, 20, size=5))
    return batch, seq, heads * head_size, inner, heads


# --- 3 params -----------------------------------------------------------------------------


def draw_cases(recording):
    yield from shape_and_key_cases(recording, COMPILED, sizes_of)
    yield Case(
        "thirty keys",
        complaint=lambda trees: distribution_complaint(trees, recording.initial),
        alike=same_distribution,
        call=lambda piece: [piece(key, layers=1) for key in range(30)],
    )
    other = recording.probes["other sizes"]
    yield Case(
        "thirty keys, other sizes",
        sizes_of(other),
        complaint=lambda trees: distribution_complaint(trees, initial_at(other, recording)),
        alike=same_distribution,
        call=lambda piece, *sizes: [piece(key, *sizes) for key in range(30)],
    )
    yield Case("3000 words", complaint=farthest_complaint, call=lambda piece: piece(0, words=3000))


def farthest_complaint(tree):
    """Say where a bell curve ends: among so many numbers one of 3.3 is missing once in 10 million.

    Returns None where it goes on.
    """
    values = np.abs(np.ravel(flat(tree)["word.weight"]))
    if values.max() > 3.3:
        return None
    return (
        f"word.weight: none of {values.size} numbers is farther from zero than {values.max():.4g}.",
        "Where does the distribution of the original end?",
    )


def is_constant(name):
    return "norm." in name


def is_normal(name):
    return name.startswith(("word.", "position."))


def initial_at(probe, recording):
    """Scale the original's distribution to other sizes: a layer's width goes with in_features."""

    def in_features(params, name):
        return params[f"{name.rpartition('.')[0]}.weight"].shape[1]

    def scale(name):
        if is_constant(name) or is_normal(name):
            return 1.0
        return (in_features(recording.params, name) / in_features(probe.params, name)) ** 0.5

    return {name: recording.initial[name] * scale(name) for name in probe.params}


def draw_cases_in_jax(recording):
    yield from draw_cases(recording)
    yield traced_key_case(recording)


def distribution_complaint(trees, quantiles):
    """Hold draws against the original's; normal ones have no bound, so the farthest are cut."""

    def cut(name, values):
        bounds = quantiles[name][0], quantiles[name][-1]
        return np.clip(values, *bounds) if is_normal(name) else values

    draws = [{name: cut(name, value) for name, value in flat(tree).items()} for tree in trees]
    return initial_complaint(draws, quantiles)


def some_state_dict_cases(recording):
    some = "word.weight", "layers.0.attention.query.weight", "layers.0.attention.query.bias"
    some = {name: recording.params[name] for name in some}
    yield Case("three names", (some,), nested(some))
    yield from state_dict_cases(recording)


# --- 5 training test ----------------------------------------------------------------------


def sentences_and_answers(answer):
    """Take apart what dummy_sentence_data returns."""
    try:
        x, y = answer
    except (TypeError, ValueError):
        raise Refusal(
            "type",
            f"returns {shorten(answer)}, expected two things: the sentences, and who belongs "
            "to whom.",
        ) from None
    if not isinstance(x, dict) or set(x) != {"tokens", "is_real"}:
        seen = ", ".join(map(str, x)) if isinstance(x, dict) else shorten(x)
        raise Refusal("type", f"x holds {seen}; expected a dict with tokens, is_real.")
    return {**{name: as_array(x[name], f"for {name}") for name in x}, "y": as_array(y, "for y")}


def dummy_data_cases(recording):
    for sizes in ((8, 6, 30), (20, 9, 12), (2, 4, 50)):
        yield Case(
            "{} sentences of up to {} of {} words".format(*sizes),
            args=sizes,
            complaint=partial(dummy_data_complaint, *sizes),
            call=lambda piece, *sizes: [piece(key, *sizes) for key in (1, 1, 2)],
        )
    yield Case(
        "no arguments",
        complaint=partial(dummy_data_complaint, 8, 6, 30),
        call=lambda piece: [piece(), piece(0), piece(1)],
    )
    yield Case("400 sentences", complaint=many_complaint, call=lambda piece: piece(3, 400, 5, 9))


def dummy_data_complaint(batch, seq, words, answers):
    first, again, other = (sentences_and_answers(answer) for answer in answers)
    return (
        form_complaint(first, batch, seq, words)
        or pair_complaint(first, batch)
        or key_of_data_complaint(first, again, other)
    )


def form_complaint(data, batch, seq, words):
    tokens, is_real, y = data["tokens"], data["is_real"], data["y"]
    for name in ("tokens", "is_real"):
        if data[name].shape != (batch, seq):
            return (
                f"{name} has the shape {data[name].shape} for {batch} sentences of up to {seq} "
                "words.",
                "Which axis is which?",
            )
    if y.shape != (batch,):
        return f"y has the shape {y.shape}; expected one row number for each of {batch} sentences."
    if is_real.dtype != bool:
        return f"is_real is {is_real.dtype}; expected True and False.", "What does it tell?"
    for name in ("tokens", "y"):
        if data[name].dtype.kind not in "iu":
            return f"{name} is {data[name].dtype}; rows are counted in whole numbers.", "Is it one?"
    lengths = is_real.sum(axis=1)
    if (is_real != (np.arange(seq) < lengths[:, None])).any():
        return "is_real is True behind a False.", "Where in a row does padding stand?"
    if lengths.min() < 3:
        return (
            f"there is a sentence of {lengths.min()} words; the shortest has 3.",
            "How are they drawn?",
        )
    if (tokens[~is_real] != 0).any():
        return "some padding in tokens is not 0.", "What stands behind the last word?"
    if tokens[is_real].min() < 1 or tokens.max() >= words:
        return (
            f"words are numbered from {tokens[is_real].min()} to {tokens.max()}; there are {words} "
            "numbers, and 0 is padding.",
            "Which end is left out by the generator?",
        )
    return None


def pair_complaint(data, batch):
    tokens, lengths, y = data["tokens"], data["is_real"].sum(axis=1), data["y"]
    partner = np.arange(batch) + np.where(np.arange(batch) % 2, -1, 1)
    if not np.array_equal(y, partner):
        place = int(np.flatnonzero(y != partner)[0])
        return (
            f"y says that row {place} belongs to row {y[place]}.",
            "Where is the other of its pair?",
        )
    if (lengths != lengths[partner]).any():
        return "the two of a pair are not equally long.", "What is drawn for both together?"
    apart = (tokens != tokens[partner]).sum(axis=1)
    if apart.max() > 1:
        return (
            f"the two of a pair differ in {apart.max()} words, and should in one at most.",
            "What do they share?",
        )
    return None


def key_of_data_complaint(first, again, other):
    for name, value in first.items():
        if not np.array_equal(value, again[name]):
            return f"{name}: made twice with the same key, and different.", "Does it use the key?"
    if np.array_equal(first["tokens"], other["tokens"]):
        return "the same sentences for two different keys.", "Does it use the key?"
    return None


def many_complaint(answer):
    data = sentences_and_answers(answer)
    tokens, is_real = data["tokens"], data["is_real"]
    apart = tokens[::2] != tokens[1::2]
    shared = is_real[::2] & ~apart
    for what, seen, least, greatest in (
        ("sentences of {} words", is_real.sum(axis=1), 3, 5),
        ("words of the numbers {}", tokens[::2][shared], 1, 8),
    ):
        found = sorted(set(seen.tolist()))
        if found != list(range(least, greatest + 1)):
            return (
                f"among 400 there are {what.format(', '.join(map(str, found)))}; expected every "
                f"number from {least} to {greatest}.",
                "Which end is left out?",
            )
    if apart.any(axis=1).mean() < 0.7:
        return (
            f"only {apart.any(axis=1).mean():.0%} of the pairs differ at all.",
            "Is the word that is changed one that counts?",
        )
    lengths = is_real[::2].sum(axis=1)
    for length in (3, 4, 5):
        changed = apart[lengths == length].any(axis=0)[:length]
        if not changed.all():
            return (
                f"in sentences of {length} words, word {int(np.argmin(changed))} is never the one "
                "that differs.",
                "Which places can be drawn?",
            )
    changed = tokens[::2][apart]
    rows = len(np.unique(tokens[::2], axis=0))
    if len(set(changed.tolist())) < 8 or rows < 100:
        return (
            f"only {rows} different sentences among 200, and {len(set(changed.tolist()))} "
            "different words that are changed.",
            "Is each of them drawn on its own?",
        )
    return None


PIECES_OF_WORDS = (
    "[PAD] [UNK] [CLS] [SEP] un able ##able aff ##aff ##ord ##or ##d a b ##b abb ##a ##bc"
)
WORDS = "a unaffordable able unable abba abbd abbc ordable unz zun b aab".split()


def wordpiece_cases(recording):
    pieces = PIECES_OF_WORDS.split()
    vocabulary = {piece: (n + 6) % len(pieces) for n, piece in enumerate(pieces)}  # a is 0
    renumbered = {piece: n + 3 for n, piece in enumerate(reversed(pieces))}
    for word, vocabulary in [*((word, vocabulary) for word in WORDS), ("unz", renumbered)]:
        yield Case(
            word,
            (word, vocabulary),
            np.array(pieces_of(word, vocabulary)),
            part=as_numbers,
            unseen=other_word,
        )


def as_numbers(answer):
    """Take a list of numbers, or an array of them."""
    if not isinstance(answer, list | tuple):
        answer = as_array(answer, "")
    if any(isinstance(number, str) for number in answer):
        raise Refusal("type", f"returns {shorten(answer)}, expected the numbers of the pieces.")
    return np.array(answer, dtype=np.int64)


def pieces_of(word, vocabulary, before=""):
    """Cut a word into the longest pieces, the first of them and then the rest."""
    for end in range(len(word), 0, -1):
        if before + word[:end] in vocabulary:
            number, rest = vocabulary[before + word[:end]], word[end:]
            more = pieces_of(rest, vocabulary, "##") if rest else []
            unknown = [vocabulary["[UNK]"]]
            return unknown if more == unknown else [number, *more]
    return [vocabulary["[UNK]"]]


def other_word(rng):
    def drawn(longest):
        return "".join(rng.choice(list("xyz"), size=rng.integers(1, longest)))

    pieces = {drawn(4) for _ in range(12)} | {f"##{drawn(4)}" for _ in range(12)} | {"[UNK]"}
    numbers = rng.permutation(len(pieces))
    vocabulary = dict(zip(sorted(pieces), map(int, numbers), strict=True))
    return drawn(9), vocabulary


def published_cases(recording):
    rng = np.random.default_rng(0)
    for name, count, width, inner in (("two blocks", 2, 4, 7), ("eleven blocks", 11, 2, 3)):
        ours, theirs = made_up_bert(rng, count, width, inner)
        yield Case(name, (theirs,), with_tables_added(ours), part=with_tables_added)


def with_tables_added(params):
    """Put both tables into one: what the model adds up may stand in either."""
    if not isinstance(params, dict) or not {"word", "position"} <= set(params):
        return params
    words, positions = (params[name]["weight"] for name in ("word", "position"))
    return {**params, "word": words[:, None] + positions, "position": np.shape(positions)}


def made_up_bert(rng, count, width, inner):
    """Make up the arrays of a small BERT encoder; give them under our names, and under BERT's."""

    def layer(*shape):
        return {"weight": rng.normal(size=shape), "bias": rng.normal(size=shape[0])}

    theirs = {"embeddings.position_ids": np.arange(6)[None]}

    def put(name, params):
        theirs.update({f"{name}.{part}": value for part, value in params.items()})
        return params

    def block(name):
        at = f"{name}.attention"
        return {
            "attention": {
                **{
                    part: put(f"{at}.self.{part}", layer(width, width))
                    for part in ("query", "key", "value")
                },
                "out": put(f"{at}.output.dense", layer(width, width)),
            },
            "attention_norm": put(f"{at}.output.LayerNorm", layer(width)),
            "expand": put(f"{name}.intermediate.dense", layer(inner, width)),
            "contract": put(f"{name}.output.dense", layer(width, inner)),
            "output_norm": put(f"{name}.output.LayerNorm", layer(width)),
        }

    tables = {}
    for name, rows in (("word", 5), ("position", 6), ("token_type", 2)):
        tables[name] = rng.normal(size=(rows, width))
        theirs[f"embeddings.{name}_embeddings.weight"] = tables[name]
    ours = {
        "word": {"weight": tables["word"]},
        "position": {"weight": tables["position"] + tables["token_type"][0]},
        "embedding_norm": put("embeddings.LayerNorm", layer(width)),
        "layers": {str(number): block(f"encoder.layer.{number}") for number in range(count)},
    }
    put("pooler.dense", layer(width, width))
    return ours, dict(sorted(theirs.items()))


def loss_cases(recording):
    for probe in recording.probes.values():
        if probe.name in (*COMPILED, "large values"):
            params, x = {"vectors": probe.results["forward"]}, dict(probe.inputs)
            case = Case(
                probe.name,
                (params, told_vectors, x, probe.target),
                np.float64(probe.loss),
                unseen=partial(other_vectors, probe),
            )
            yield case if probe.name == "ordinary" else compiled(case, static=1)
    probe = recording.probes["other sizes"]
    x, y = dict(probe.inputs), probe.target
    told = {"vectors": probe.results["forward"]}
    expected = {"vectors": surprise_gradient(told["vectors"], y)}
    call = partial(call_compiled_gradient, 1)
    yield Case("gradients", (told, told_vectors, x, y), expected, call=call)
    probe = recording.probes["ordinary"]
    x, far = dict(probe.inputs), {"vectors": 30 * probe.results["forward"]}
    expected = surprise(far["vectors"], probe.target)
    yield Case("far apart", (far, told_vectors, x, probe.target), expected)
    params, y = {"scale": np.float64(0.1)}, np.array([3, 3, 0, 1, 2])
    yield Case("another model", (params, other_model, x, y), surprise(other_answer(params, x), y))


def told_vectors(params, x):
    """Answer what it is told to: a loss must take any model."""
    import jax.numpy as jnp

    return jnp.asarray(params["vectors"])


def other_model(params, x):
    import jax.numpy as jnp

    return jnp.asarray(other_answer(params, x))


def other_answer(params, x):
    return params["scale"] * x["tokens"] + x["is_real"].sum(axis=1)[:, None]


def other_vectors(probe, rng):
    vectors = rng.normal(size=probe.results["forward"].shape)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return {"vectors": vectors}, told_vectors, dict(probe.inputs), probe.target


def shares(vectors):
    """Give the share that each other sentence has of what is said of one, and what they add to."""
    scores = 20 * vectors @ vectors.T
    np.fill_diagonal(scores, -np.inf)
    largest = scores.max(axis=1, keepdims=True)
    parts = np.exp(scores - largest)
    total = parts.sum(axis=1, keepdims=True)
    return parts / total, (largest + np.log(total))[:, 0]


def surprise(vectors, y):
    right = 20 * (vectors * vectors[y]).sum(axis=1)
    return np.mean(shares(vectors)[1] - right)


def surprise_gradient(vectors, y):
    too_large = (shares(vectors)[0] - np.eye(len(y))[y]) / len(y)
    return 20 * (too_large + too_large.T) @ vectors


# --- 6 know your model --------------------------------------------------------------------


def strangeness_cases(recording):
    rng = np.random.default_rng(0)
    for name in ("ordinary", "other sizes", "one row"):
        probe = recording.probes[name]
        args = nested(probe.params), dict(probe.inputs), drawn_sentences(rng, probe, 6, 2, 4, 1)
        heads, unseen = probe.sizes["heads"], partial(other_sentences, probe)
        yield Case(name, (*args, heads), distances(*args, heads), unseen=unseen)


def drawn_sentences(rng, probe, *lengths):
    is_real = np.arange(max(lengths)) < np.array(lengths)[:, None]
    tokens = rng.integers(1, probe.sizes["words"], size=is_real.shape)
    return {"tokens": tokens * is_real, "is_real": is_real}


def other_sentences(probe, rng):
    x, known = (drawn_sentences(rng, probe, *lengths) for lengths in ((3, 5, 2), (1, 6, 4, 3)))
    return nested(probe.params), x, known, probe.sizes["heads"]


def distances(params, x, known, heads):
    """Say of each sentence how far its words are from the nearest known ones, in the mean."""

    known_words = np.concatenate(words_of(params, known, heads))
    gaps = [
        np.linalg.norm(words[:, None] - known_words, axis=-1)
        for words in words_of(params, x, heads)
    ]
    return np.array([gap.min(axis=1).mean() for gap in gaps])


def words_of(params, x, heads):
    """List the rows of each sentence's words as they leave the last block."""
    tokens, is_real = x["tokens"], x["is_real"]
    places = params["position"]["weight"][: tokens.shape[1]]
    rows = normalised(params["embedding_norm"], params["word"]["weight"][tokens] + places)
    for number in range(len(params["layers"])):
        rows = after_block(params["layers"][str(number)], rows, is_real, heads)
    return [words[real] for words, real in zip(rows, is_real, strict=True)]


def verdict_cases(recording):
    rng = np.random.default_rng(0)
    for name, count, alpha in (("ordinary", 19, 0.3), ("other sizes", 12, 0.5)):
        probe = recording.probes[name]
        args = nested(probe.params), *sentences_to_judge(rng, probe, count), alpha
        heads, unseen = probe.sizes["heads"], partial(others_to_judge, probe)
        yield Case(name, (*args, heads), strange(*args, heads), unseen=unseen)
    params = nested({name: np.zeros_like(value) for name, value in probe.params.items()})
    yield Case("a model of zeros", (params, *args[1:], heads), np.zeros(8, dtype=bool))


def sentences_to_judge(rng, probe, count):
    """Draw sentences to be judged, known ones, and so many for the threshold."""
    lengths = rng.integers(2, 6, size=8), rng.integers(2, 7, size=6), rng.integers(2, 5, size=count)
    return [drawn_sentences(rng, probe, 5, *some[1:]) for some in lengths]


def others_to_judge(probe, rng):
    alpha = drawn_alpha(rng, 15)
    return nested(probe.params), *sentences_to_judge(rng, probe, 15), alpha, probe.sizes["heads"]


def strange(params, x, known, calibration, alpha, heads):
    threshold = threshold_of(distances(params, calibration, known, heads), alpha)
    return distances(params, x, known, heads) > threshold


def second_cases(recording):
    for name in ("ordinary", "other sizes"):
        unseen = partial(sentences_to_score, recording.probes[name])
        args = unseen(np.random.default_rng(0))
        yield Case(name, args, choices=second_scores, unseen=unseen)


def sentences_to_score(probe, rng):
    """Draw sentences, many known ones, and a last norm that leads vectors out of one plane."""
    params, sizes = nested(probe.params), probe.sizes
    width, longest = sizes["width"], sizes["positions"]
    last = {"weight": rng.uniform(0.5, 1.5, size=width), "bias": np.ones(width)}
    params["layers"][str(layers_in(probe) - 1)]["output_norm"] = last
    lengths = rng.integers(2, longest, size=8 * width)
    known = drawn_sentences(rng, probe, longest, *lengths)
    return params, drawn_sentences(rng, probe, 3, 5, 1, 4, 2), known, sizes["heads"]


def second_scores(params, x, known, heads):
    def vectors_of(x):
        means = np.stack([words.mean(axis=0) for words in words_of(params, x, heads)])
        return means / np.linalg.norm(means, axis=1, keepdims=True)

    vectors, known_vectors = vectors_of(x), vectors_of(known)
    energy = -np.log(np.exp(20 * vectors @ known_vectors.T).sum(axis=1))
    return {"energy": energy, **distances_from(known_vectors, vectors)}


def flops_cases(recording):
    for probe in recording.probes.values():
        sizes = probe.sizes["width"], probe.sizes["inner"], layers_in(probe)
        yield Case(probe.name, (*two_sizes(probe), *sizes), flops_of(probe), part=whole)


def memory_cases(recording):
    for probe in recording.probes.values():
        sizes = *sizes_of(probe)[:-1], probe.sizes["heads"], layers_in(probe)
        args = *two_sizes(probe), *sizes
        yield Case(probe.name, args, memory_of(probe), part=whole, unseen=other_memory)


def other_memory(rng):
    """Draw sizes of which the heads divide the width, as they must."""
    batch, seq, words, positions, head_size, inner, heads, layers = rng.integers(1, 20, size=8)
    sizes = batch, seq, words, positions, heads * head_size, inner, heads, layers
    return tuple(map(int, sizes))


def two_sizes(probe):
    return probe.sizes["batch"], probe.sizes["seq"]


def flops_of(probe):
    """Count the products that were recorded, and those of the loss, which was not."""
    forward = 0
    for operation in probe.operations:
        if operation.op in ("linear", "Tensor.matmul"):
            added_up = probe.value(operation.inputs[0]).shape[-1]
            forward += 2 * operation.values[0].size * added_up
    compared = 2 * probe.results["forward"].size * probe.sizes["batch"]
    return {"forward": forward, "train_step": 3 * (forward + compared)}


def memory_of(probe):
    """Count what was recorded: values of the first block stand for those of all."""
    sizes = {name: math.prod(shape) for name, shape in recorded_shapes(probe).items()}
    once = sizes.pop("embed") + sizes.pop("pool")
    in_a_block = sum(sizes.values()) + 2 * sizes["query"]
    params = 4 * sum(value.size for value in probe.params.values())
    activations = 4 * (once + layers_in(probe) * in_a_block)
    return {"params": params, "gradients": params, "adam": 2 * params, "activations": activations}


def checked_cases(recording):
    rng = np.random.default_rng(0)
    last = {"tokens": np.full((2, 8), 29), "is_real": np.ones((2, 8), bool)}
    too_long = {"tokens": np.full((2, 9), 29), "is_real": np.ones((2, 9), bool)}
    too_high = {**last, "tokens": np.full((2, 8), 30)}
    yield limits_case(READABLE, last, [too_high, too_long], 30, 8)
    for name, lengths in (
        ("ordinary", (3, 1, 5, 2)),
        ("other sizes", (7, 4, 6)),
        ("one row", (2,)),
    ):
        probe = recording.probes[name]
        x, sizes = drawn_sentences(rng, probe, *lengths), two_tables(probe)
        # the first of a table and the last, and padding before the words
        x["tokens"][0, :2] = 0, sizes[0] - 1
        x["is_real"][0, 0] = False
        yield Case(name, (x, *sizes), x, unseen=partial(other_checked_sentences, probe))
    words, positions = two_tables(probe)
    x = drawn_sentences(rng, probe, 5, 2, 4)
    nothing = {name: part[:0] for name, part in x.items()}
    yield Case("no sentences", (nothing, words, positions), nothing)
    for name, wrong in (("-1", -1), (f"{words}", words), (f"{9 * words}", 9 * words)):
        for place, what in ((0, "a word"), (-1, "padding")):
            tokens = x["tokens"].copy()
            tokens[1, place] = wrong
            args = {**x, "tokens": tokens}, words, positions
            yield refused_case(f"the number {name} as {what}, of {words}", READABLE, *args)
    is_real = x["is_real"]
    wrong = {
        "numbers as floats": {**x, "tokens": x["tokens"].astype(float)},
        "a mask of zeros and ones": {**x, "is_real": is_real.astype(int)},
        "a mask for the first words alone": {**x, "is_real": is_real[:, :1]},
        "a mask for one sentence of three": {**x, "is_real": is_real[:1]},
        "one sentence without a word": {**x, "is_real": is_real & [[True], [True], [False]]},
        "three sentences of no length": {name: part[:, :0] for name, part in x.items()},
        "a sentence that is no batch": {name: part[0] for name, part in x.items()},
        "numbers of three axes": {name: part[:, :, None] for name, part in x.items()},
    }
    for name, wrong_x in wrong.items():
        yield refused_case(name, READABLE, wrong_x, words, positions)
    yield refused_case("5 words where there are 4 positions", READABLE, x, words, 4)


def two_tables(probe):
    return probe.sizes["words"], probe.sizes["positions"]


def other_checked_sentences(probe, rng):
    return drawn_sentences(rng, probe, 3, 6, 1, 5), *two_tables(probe)


PIECES = [
    Piece("numpy_counterparts", None, 1, counterpart_cases),
    Piece("nn_layer", "model", 1, from_track="autoencoder"),
    Piece("gelu", "model", 1, gelu_cases),
    Piece("layer_norm", "model", 1, norm_cases),
    Piece("attention", "model", 1, attention_cases),
    Piece("transformer_block", "model", 1, block_cases),
    Piece("embed", "model", 1, embed_cases),
    Piece("pool", "model", 1, pool_cases),
    Piece("transformer_model", "model", 1, model_cases),
    Piece("param_shapes", "shapes", 2, param_shape_cases),
    Piece("activation_shapes", "shapes", 2, activation_shape_cases),
    Piece("make_transformer_params", "params", 3, draw_cases),
    Piece("params_from_state_dict", "params", 3, some_state_dict_cases),
    Piece("published_params", "params", 3, published_cases),
    *tests_of(
        4,
        test_shapes_and_lengths=("length left as it is", "words not pooled"),
        test_layer_norm_has_spread_one=("eps outside the root", "variance instead of spread"),
        test_gelu_at_known_values=("tanh approximation", "sigmoid approximation"),
        test_padding_changes_nothing=("padding looked at", "mean over padding too"),
        test_word_order_shows_through_positions=("positions left out", "first position only"),
        test_rows_do_not_mix=("normalised over the batch", "softmax over the batch"),
        test_attention_by_hand=("root left out", "key and query swapped"),
    ),
    Piece("dummy_sentence_data", "data", 5, dummy_data_cases),
    Piece("gelu", "model", 5, gelu_cases_in_jax, port=True),
    Piece("layer_norm", "model", 5, norm_cases_in_jax, port=True),
    Piece("attention", "model", 5, attention_cases_in_jax, port=True),
    Piece("pool", "model", 5, pool_cases_in_jax, port=True),
    Piece("transformer_model", "model", 5, model_cases_in_jax, port=True),
    Piece("make_transformer_params", "params", 5, draw_cases_in_jax, port=True),
    Piece("contrastive_loss", "losses", 5, loss_cases),
    Piece("adam_steps", "training", 5, from_track="autoencoder"),
    Piece("train", "training", 5, from_track="autoencoder"),
    *tests_of(
        5,
        test_training_lowers_the_loss=("gradient climbed", "never updated"),
        test_every_parameter_receives_gradient=("first block only", "embeddings rounded"),
        test_one_batch_can_be_overfitted=("never updated", "step far too small"),
    ),
    Piece("wordpieces", "data", 5, wordpiece_cases),
    Piece("tokenise", "data", 5, from_track="transformer"),
    Piece("strangeness", "uncertainty", 6, strangeness_cases),
    Piece("conformal_threshold", "uncertainty", 6, from_track="autoencoder"),
    Piece("is_strange", "uncertainty", 6, verdict_cases),
    Piece("second_strangeness", "uncertainty", 6, second_cases),
    Piece("count_flops", "costs", 6, flops_cases),
    Piece("count_memory", "costs", 6, memory_cases),
    Piece("paired_difference", "uncertainty", 6, from_track="autoencoder"),
    Piece("checked_sentences", "data", 6, checked_cases),
    Piece("in_words", "card", 6, words_cases),
]
