"""Other right ways to write each piece: none of them may be refused.

`normalise__by_norm` is another `normalise`; where a piece is ported, `jax` says that a way is one
of the port.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from data import dummy_protein_data, encode_proteins, next_letters
from losses import next_letter_loss
from model import mlstm_layer, mlstm_model, mlstm_step, nn_layer, normalise, read, representation
from params import make_mlstm_params
from scipy.spatial.distance import cdist
from scipy.special import expit
from shapes import activation_shapes, param_shapes
from training import train
from uncertainty import conformal_threshold, strangeness

TABLE = "-MRHKDESTNQCUGPAVIFYWLO"
WEIGHTS = "wmx", "wmh", "wx", "wh"

# --- 1 forward pass -----------------------------------------------------------------------


def numpy_counterparts__named():
    def chunk(z):
        units = z.shape[1] // 4
        return tuple(z[:, k * units : (k + 1) * units] for k in range(4))

    return {
        "embedding": lambda letters, weight: np.take(weight, letters, axis=0),
        "clamp": lambda squares: np.clip(squares, 1e-12, None),
        "Tensor.matmul": np.matmul,
        "chunk": chunk,
        "sigmoid": expit,
        "where": np.where,
    }


def numpy_counterparts__more_than_asked():
    return {
        "embedding": lambda letters, weight: np.eye(len(weight))[letters] @ weight,
        "clamp": lambda squares: np.where(squares < 1e-12, 1e-12, squares),
        "Tensor.matmul": lambda first, second: np.einsum("ri,io->ro", first, second),
        "chunk": lambda z: list(np.split(z, 4, axis=-1)),
        "sigmoid": lambda x: 0.5 * (1 + np.tanh(x / 2)),
        "where": lambda is_real, new, old: old + (new - old) * is_real,
        "Tensor.add": np.add,
    }


def normalise__by_norm(weight, gain):
    return gain * weight / np.maximum(np.linalg.norm(weight, axis=0), 1e-6)


def normalise__by_columns(weight, gain):
    columns = [
        g * column / math.sqrt(max(float(column @ column), 1e-12))
        for column, g in zip(weight.T, gain, strict=True)
    ]
    return np.stack(columns, axis=1)


def normalise__jax_einsum(weight, gain):
    return gain * weight / jnp.sqrt(jnp.clip(jnp.einsum("rc,rc->c", weight, weight), 1e-12))


def normalise__jax_rsqrt(weight, gain):
    squares = jnp.sum(jnp.square(weight), axis=0, keepdims=True)
    return weight * jax.lax.rsqrt(jnp.maximum(squares, 1e-12)) * gain


def mlstm_step__sliced(weights, x, h, c):
    units = h.shape[1]
    m = x @ weights["wmx"] * (h @ weights["wmh"])
    z = x @ weights["wx"] + m @ weights["wh"] + weights["b"]
    i, f, o = (expit(z[:, k * units : (k + 1) * units]) for k in range(3))
    c = f * c + i * np.tanh(z[:, 3 * units :])
    return o * np.tanh(c), c


def mlstm_step__gate_by_gate(weights, x, h, c):
    m = np.matmul(x, weights["wmx"]) * np.matmul(h, weights["wmh"])
    parts = []
    for wx, wh, b in zip(
        np.split(weights["wx"], 4, axis=1),
        np.split(weights["wh"], 4, axis=1),
        np.split(weights["b"], 4),
        strict=True,
    ):
        parts.append(x @ wx + m @ wh + b)
    i, f, o = (0.5 + 0.5 * np.tanh(part / 2) for part in parts[:3])
    memory = f * c + i * np.tanh(parts[3])
    return [o * np.tanh(memory), memory]


def mlstm_step__jax_nn(weights, x, h, c):
    m = (x @ weights["wmx"]) * (h @ weights["wmh"])
    z = x @ weights["wx"] + m @ weights["wh"] + weights["b"]
    i, f, o, u = jnp.split(z, 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(u)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


def mlstm_step__jax_reshaped(weights, x, h, c):
    m = (h @ weights["wmh"]) * (x @ weights["wmx"])
    both = jnp.concatenate([x, m], axis=1) @ jnp.concatenate([weights["wx"], weights["wh"]])
    parts = (both + weights["b"]).reshape(len(x), 4, -1)
    i, f, o = jax.nn.sigmoid(parts[:, :3]).swapaxes(0, 1)
    c = f * c + i * jnp.tanh(parts[:, 3])
    return o * jnp.tanh(c), c


def normalised(params):
    weights = {name: normalise(params[name], params["g" + name[1:]]) for name in WEIGHTS}
    return {**weights, "b": params["b"]}


def mlstm_layer__into_arrays(params, x, is_real):
    batch, seq, units = x.shape[0], x.shape[1], params["wmh"].shape[0]
    weights, hidden = normalised(params), np.zeros((batch, seq, units))
    h, c = np.zeros((batch, units)), np.zeros((batch, units))
    for t in range(seq):
        here = is_real[:, t]
        new_h, new_c = mlstm_step(weights, x[:, t], h, c)
        h, c = h.copy(), c.copy()
        h[here], c[here] = np.asarray(new_h)[here], np.asarray(new_c)[here]
        hidden[:, t] = h
    return hidden, h, c


def mlstm_layer__row_by_row(params, x, is_real):
    weights, rows = normalised(params), []
    for row, real in zip(x, is_real, strict=True):
        h = c = np.zeros((1, len(params["wmh"])))
        said = []
        for letter, is_there in zip(row, real, strict=True):
            if is_there:
                h, c = mlstm_step(weights, letter[None], h, c)
            said.append(h[0])
        rows.append((np.array(said), h[0], c[0]))
    return tuple(np.stack(part) for part in zip(*rows, strict=True))


def mlstm_layer__jax_fori(params, x, is_real):
    weights, x, is_real = normalised(params), jnp.asarray(x), jnp.asarray(is_real)
    batch, seq, _ = x.shape
    units = params["wmh"].shape[0]

    def step(t, carry):
        h, c, hidden = carry
        new_h, new_c = mlstm_step__jax_nn(weights, x[:, t], h, c)
        here = is_real[:, t][:, None]
        h, c = jnp.where(here, new_h, h), jnp.where(here, new_c, c)
        return h, c, hidden.at[:, t].set(h)

    start = jnp.zeros((batch, units), x.dtype)
    hidden = jnp.zeros((batch, seq, units), x.dtype)
    h, c, hidden = jax.lax.fori_loop(0, seq, step, (start, start, hidden))
    return hidden, h, c


def mlstm_layer__jax_vmap(params, x, is_real):
    weights = normalised(params)

    def read_one(x, is_real):
        def step(carry, now):
            letter, here = now
            new = mlstm_step__jax_nn(weights, letter[None], *carry)
            carry = tuple(jnp.where(here, n, old) for n, old in zip(new, carry, strict=True))
            return carry, carry[0][0]

        start = jnp.zeros((1, params["wmh"].shape[0]), x.dtype)
        (h, c), hidden = jax.lax.scan(step, (start, start), (x, is_real))
        return hidden, h[0], c[0]

    return jax.vmap(read_one)(x, is_real)


def read__in_order(params, letters):
    hidden = np.take(params["embedding"]["weight"], letters, axis=0)
    layers = params["mlstm"]
    for number in sorted(layers, key=int):
        hidden, h, c = mlstm_layer(layers[number], hidden, letters != 0)
    return hidden, h, c


def read__recursive(params, letters):
    def up_to(number):
        if number < 0:
            return (params["embedding"]["weight"][letters],)
        below = up_to(number - 1)[0]
        return mlstm_layer(params["mlstm"][f"{number}"], below, letters > 0)

    return up_to(len(params["mlstm"]) - 1)


def representation__row_by_row(params, letters):
    hidden, h, c = read(params, letters)
    rows = [
        row[letters_of > 0].mean(axis=0) for row, letters_of in zip(hidden, letters, strict=True)
    ]
    return np.stack(rows), h, c


def representation__weighted(params, letters):
    hidden, h, c = read(params, letters)
    weights = (letters > 0) / np.sum(letters > 0, axis=1, keepdims=True)
    return [np.einsum("bsu,bs->bu", hidden, weights), hidden[:, -1], c]


def mlstm_model__by_hand(params, letters):
    said = read(params, letters)[0]
    return said @ np.transpose(params["dense"]["weight"]) + params["dense"]["bias"]


def mlstm_model__letter_by_letter(params, letters):
    hidden, *_ = read(params, letters)
    dense = params["dense"]
    scores = [
        nn_layer(dense["weight"].T, hidden[:, t], dense["bias"]) for t in range(hidden.shape[1])
    ]
    return np.stack(scores, axis=1)


# --- 2 shapes -----------------------------------------------------------------------------


def param_shapes__lists(embedding=10, units=12, layers=2):
    shapes = {"mlstm": {}}
    for number in range(layers):
        rows = {"mx": units if number else embedding, "mh": units}
        rows |= {"x": rows["mx"], "h": units}
        columns = {"mx": units, "mh": units, "x": 4 * units, "h": 4 * units}
        shapes["mlstm"][f"{number}"] = {
            **{f"w{name}": [rows[name], columns[name]] for name in rows},
            **{f"g{name}": [columns[name]] for name in rows},
            "b": [4 * units],
        }
    shapes["embedding"] = {"weight": [26, embedding]}
    return {**shapes, "dense": {"weight": [25, units], "bias": [25]}}


def param_shapes__of_arrays(embedding=10, units=12, layers=2):
    params = make_mlstm_params(0, embedding, units, layers)
    return jax.tree.map(lambda array: array.shape, params)


def activation_shapes__lists(batch, seq, embedding=10, units=12):
    shapes = {"m": [batch, units], "c": [batch, units], "representation": [batch, units]}
    per_letter = {"embedding": embedding, "hidden": units, "dense": 25}
    shapes |= {name: [batch, seq, width] for name, width in per_letter.items()}
    return {**shapes, "z": [batch, units * 4]}


def activation_shapes__numpy_numbers(batch, seq, embedding=10, units=12):
    letter = (np.int64(batch), np.int64(seq))
    return {
        "dense": (*letter, 25),
        "hidden": (*letter, units),
        "embedding": (*letter, embedding),
        "z": np.empty((batch, 4 * units)).shape,
        **{name: np.empty((batch, units)).shape for name in ("m", "c", "representation")},
    }


# --- 3 params -----------------------------------------------------------------------------


def make_mlstm_params__scaled(key=0, embedding=10, units=12, layers=2):
    rng = np.random.default_rng((key, 3))

    def uniform(bound, *shape):
        return bound * (2 * rng.random(shape) - 1)

    def xavier(rows, columns):
        return uniform(np.sqrt(6) / np.sqrt(rows + columns), rows, columns)

    def layer(rows):
        return {
            "b": np.zeros(4 * units),
            "wmx": xavier(rows, units),
            "wmh": xavier(units, units),
            "wx": xavier(rows, 4 * units),
            "wh": xavier(units, 4 * units),
            **{name: np.ones(units) for name in ("gmx", "gmh")},
            **{name: np.ones(4 * units) for name in ("gx", "gh")},
        }

    bound = 1 / np.sqrt(units)
    return {
        "dense": {"bias": uniform(bound, 25), "weight": uniform(bound, 25, units)},
        "embedding": {"weight": xavier(26, embedding)},
        "mlstm": {str(n): layer(units if n else embedding) for n in range(layers)},
    }


def make_mlstm_params__by_name(key=0, embedding=10, units=12, layers=2):
    shapes = param_shapes__lists(embedding, units, layers)
    seeds = iter(np.random.SeedSequence(key).spawn(40))

    def draw(name, shape, in_dense):
        if name == "b" or name[0] == "g":
            return np.full(shape, float(name != "b"))
        bound = units**-0.5 if in_dense else (6 / sum(shape)) ** 0.5
        return np.random.default_rng(next(seeds)).uniform(-bound, bound, shape)

    def walk(tree, in_dense=False):
        return {
            name: walk(part, name == "dense")
            if isinstance(part, dict)
            else draw(name, part, in_dense)
            for name, part in tree.items()
        }

    return walk(shapes)


def make_mlstm_params__jax_folded(key=0, embedding=10, units=12, layers=2):
    root = jax.random.key(key)

    def uniform(number, shape, bound):
        place = jax.random.fold_in(root, number)
        return bound * jax.random.uniform(place, shape, minval=-1, maxval=1)

    def xavier(number, *shape):
        return uniform(number, shape, (6 / sum(shape)) ** 0.5)

    def layer(number, rows):
        return {
            "wmx": xavier(number + 1, rows, units),
            "wmh": xavier(number + 2, units, units),
            "wx": xavier(number + 3, rows, 4 * units),
            "wh": xavier(number + 4, units, 4 * units),
            **{name: jnp.ones(units) for name in ("gmx", "gmh")},
            **{name: jnp.ones(4 * units) for name in ("gx", "gh")},
            "b": jnp.zeros(4 * units),
        }

    return {
        "embedding": {"weight": xavier(1, 26, embedding)},
        "mlstm": {str(n): layer(10 * n + 10, units if n else embedding) for n in range(layers)},
        "dense": {
            "weight": uniform(2, (25, units), units**-0.5),
            "bias": uniform(3, (25,), units**-0.5),
        },
    }


def make_mlstm_params__jax_initializers(key=0, embedding=10, units=12, layers=2):
    xavier = jax.nn.initializers.xavier_uniform()
    keys = iter(jax.random.split(jax.random.key(key), 3 + 4 * layers))

    def layer(rows):
        drawn = {
            "wmx": xavier(next(keys), (rows, units)),
            "wmh": xavier(next(keys), (units, units)),
            "wx": xavier(next(keys), (rows, 4 * units)),
            "wh": xavier(next(keys), (units, 4 * units)),
        }
        gains = {"g" + name[1:]: jnp.ones(array.shape[1]) for name, array in drawn.items()}
        return {**drawn, **gains, "b": jnp.zeros(4 * units)}

    def within(key, shape):
        return jax.random.uniform(key, shape, minval=-(units**-0.5), maxval=units**-0.5)

    return {
        "embedding": {"weight": xavier(next(keys), (26, embedding))},
        "mlstm": {f"{n}": layer(units if n else embedding) for n in range(layers)},
        "dense": {"weight": within(next(keys), (25, units)), "bias": within(next(keys), (25,))},
    }


def params_from_state_dict__recursive(state_dict):
    def put(tree, parts, value):
        head, *rest = parts
        below = put(tree.get(head, {}), rest, value) if rest else value
        return {**tree, head: below}

    params = {}
    for path, value in state_dict.items():
        params = put(params, path.split("."), value)
    return params


def params_from_state_dict__by_length(state_dict):
    params = {"mlstm": {}}
    for path, value in state_dict.items():
        match path.split("."):
            case [layer, name]:
                params.setdefault(layer, {})[name] = np.array(value)
            case [_, number, name]:
                params["mlstm"].setdefault(number, {})[name] = np.array(value)
    return params


# --- 4 unit tests -------------------------------------------------------------------------


def some_letters():
    return make_mlstm_params(2, 5, 4, 2), np.array([[24, 7, 1, 9, 2], [24, 3, 12, 0, 0]])


def test_shapes__asserts():
    params, letters = some_letters()
    assert read(params, letters)[0].shape == (2, 5, 4)
    assert mlstm_model(params, letters).shape == (*letters.shape, 25)
    assert representation(params, letters)[2].shape == (2, 4)


def test_shapes__one_protein():
    params, letters = some_letters()
    assert mlstm_model(params, letters[:1]).shape == (1, 5, 25)
    hidden, h, c = read(params, letters[:1])
    assert (hidden.shape, h.shape, c.shape) == ((1, 5, 4), (1, 4), (1, 4))


def test_columns_have_the_length_of_their_gain__norm():
    weight = np.random.default_rng(5).normal(size=(4, 6))
    lengths = np.linalg.norm(np.asarray(normalise(weight, np.full(6, 3.0))), axis=0)
    assert np.allclose(lengths, 3, rtol=1e-4)


def test_columns_have_the_length_of_their_gain__scaled():
    weight, gain = np.random.default_rng(5).normal(size=(4, 3)), np.array([2.0, 1.0, 4.0])
    once, again = normalise(weight, gain), normalise(7 * weight, gain)
    np.testing.assert_allclose(once, again, rtol=1e-4)
    assert np.allclose((np.asarray(once) ** 2).sum(axis=0), gain**2, rtol=1e-4)


def test_padding_changes_nothing__mean_and_memory():
    params, letters = some_letters()
    mean, h, c = representation(params, letters)
    alone = representation(params, letters[1:, :3])
    np.testing.assert_allclose(mean[1:], alone[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(h[1:], alone[1], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(c[1:], alone[2], rtol=1e-4, atol=1e-6)


def test_padding_changes_nothing__more_padding():
    params, letters = some_letters()
    longer = np.pad(letters, ((0, 0), (0, 4)))
    for few, many in zip(
        representation(params, letters), representation(params, longer), strict=True
    ):
        assert np.allclose(few, many, rtol=1e-4, atol=1e-6)


def test_proteins_do_not_mix__scores():
    params, letters = some_letters()
    letters = np.array([[24, 3, 12, 0, 0], [24, 7, 1, 9, 2]])
    together = mlstm_model(params, letters)
    for row, scores in zip(letters, together, strict=True):
        alone = mlstm_model(params, row[None])[0]
        np.testing.assert_allclose(scores, alone, rtol=1e-4, atol=1e-5)


def test_proteins_do_not_mix__other_neighbour():
    params, letters = some_letters()
    other = np.array([[24, 1, 0, 0, 0], letters[0]])
    ours, theirs = mlstm_model(params, letters)[0], mlstm_model(params, other)[1]
    assert np.allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_past_alone_counts__last_letter():
    params, letters = some_letters()
    other = letters.copy()
    other[0, 4] = 20
    ours, theirs = mlstm_model(params, letters)[0], mlstm_model(params, other)[0]
    assert np.allclose(ours[:4], theirs[:4], rtol=1e-5, atol=1e-6)
    assert not np.allclose(ours[4], theirs[4], atol=1e-6)


def test_the_past_alone_counts__cut_short():
    params, letters = some_letters()
    whole, part = mlstm_model(params, letters[:1]), mlstm_model(params, letters[:1, :3])
    np.testing.assert_allclose(whole[:, :3], part, rtol=1e-4, atol=1e-6)


def test_the_order_of_letters_counts__reversed():
    params, letters = some_letters()
    turned = np.concatenate([letters[:1, :1], letters[:1, :0:-1]], axis=1)
    ours, theirs = representation(params, letters[:1]), representation(params, turned)
    assert not np.allclose(ours[0], theirs[0], atol=1e-6)


def test_the_order_of_letters_counts__early_letter():
    params, letters = some_letters()
    other = letters[:1].copy()
    other[0, 1], other[0, 2] = letters[0, 2], letters[0, 1]
    assert np.abs(read(params, letters[:1])[1] - read(params, other)[1]).max() > 1e-6


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_a_step_by_hand__biases():
    weights = {"wmx": np.zeros((1, 1)), "wmh": np.zeros((1, 1)), "wx": np.zeros((1, 4))}
    weights |= {"wh": np.zeros((1, 4)), "b": np.array([0.5, -1.0, 2.0, 0.3])}
    h, c = mlstm_step(weights, np.ones((1, 1)), np.ones((1, 1)), np.array([[2.0]]))
    expected = 2 * sigmoid(-1) + sigmoid(0.5) * math.tanh(0.3)
    assert np.allclose(c, expected, rtol=1e-5)
    assert np.allclose(h, sigmoid(2) * math.tanh(expected), rtol=1e-5)


def test_a_step_by_hand__product():
    weights = {"wmx": np.array([[2.0]]), "wmh": np.array([[3.0]]), "b": np.full(4, 0.1)}
    weights |= {"wx": np.zeros((1, 4)), "wh": np.array([[1.0, 2.0, 3.0, 4.0]])}
    h, c = mlstm_step(weights, np.array([[0.5]]), np.array([[0.1]]), np.array([[0.7]]))
    m = 2 * 0.5 * 3 * 0.1
    expected = 0.7 * sigmoid(2 * m + 0.1) + sigmoid(m + 0.1) * math.tanh(4 * m + 0.1)
    np.testing.assert_allclose(c, [[expected]], rtol=1e-5)
    np.testing.assert_allclose(h, [[sigmoid(3 * m + 0.1) * math.tanh(expected)]], rtol=1e-5)


# --- 5 training test ----------------------------------------------------------------------


def encode_proteins__padded_text(proteins):
    longest = max(len(protein) for protein in proteins)
    table = {letter: number for number, letter in enumerate(TABLE)}
    for letter in "XZBJ":
        table[letter] = 23
    strange = set("".join(proteins)) - set(table) | (set("".join(proteins)) & {"-"})
    if strange:
        raise ValueError(f"these are no letters of a protein: {' '.join(strange)}")
    return np.array([[24, *(table[s] for s in p.ljust(longest, "-"))] for p in proteins])


def encode_proteins__index(proteins):
    rows = []
    for protein in proteins:
        unknown = [letter for letter in protein if letter not in TABLE[1:] + "XZBJ"]
        if unknown:
            raise ValueError(f"{unknown[0]} stands for no amino acid")
        rows.append([24] + [TABLE.index(s) if s in TABLE else 23 for s in protein])
    longest = max(map(len, rows))
    return np.array([row + [0] * (longest - len(row)) for row in rows], dtype=np.int32)


def next_letters__row_by_row(letters):
    rows = []
    for row in letters:
        count = int(np.sum(row > 0))
        rows.append([*row[1:count], 25, *([0] * (len(row) - count))])
    return np.array(rows)


def next_letters__where(letters):
    after = np.concatenate([letters[:, 1:], np.zeros((len(letters), 1), dtype=letters.dtype)], 1)
    after = np.where(after == 0, 25, after)
    return np.where(letters == 0, 0, after)


def dummy_protein_data__text(key=0, batch=8, seq=12):
    rng = np.random.default_rng((key, 5))
    x = np.zeros((batch, seq), dtype=int)
    for row in x:
        count = int(rng.integers(1, seq))
        row[: count + 1] = [24, *rng.integers(1, 24, size=count)]
    return x, next_letters(x)


def dummy_protein_data__choice(key=0, batch=8, seq=12):
    rng = np.random.RandomState(key)
    x = rng.choice(np.arange(1, 24), size=(batch, seq))
    lengths = 2 + rng.choice(seq - 1, size=(batch, 1))
    x = np.where(np.arange(seq) < lengths, x, 0)
    x[:, 0] = 24
    return x, next_letters__where(x)


def next_letter_loss__one_hot(params, model, x, y):
    scores = model(params, x)
    log_p = scores - jax.scipy.special.logsumexp(scores, axis=-1, keepdims=True)
    came = jax.nn.one_hot(y - 1, 25, dtype=scores.dtype)
    return -jnp.sum(log_p * came) / jnp.sum(came)


def next_letter_loss__mean_where(params, model, x, y):
    log_p = jax.nn.log_softmax(model(params, x))
    rows = jnp.arange(y.shape[0])[:, None], jnp.arange(y.shape[1])[None]
    return -jnp.mean(log_p[rows[0], rows[1], y - 1], where=jnp.asarray(y) > 0)


def published_params__by_length(arrays):
    params = {"mlstm": {}, "dense": {}}
    for path, value in arrays.items():
        match path.split("."):
            case ["embedding"]:
                params["embedding"] = {"weight": value}
            case ["dense", "w"]:
                params["dense"]["weight"] = np.transpose(value)
            case ["dense", "b"]:
                params["dense"]["bias"] = value
            case [_, number, name]:
                params["mlstm"].setdefault(number, {})[name] = value
    return params


def published_params__by_number(arrays):
    numbers = {path.split(".")[1] for path in arrays if path.startswith("mlstm.")}
    layers = {
        number: {
            path.split(".")[2]: np.array(value)
            for path, value in arrays.items()
            if path.startswith(f"mlstm.{number}.")
        }
        for number in numbers
    }
    dense = {"weight": arrays["dense.w"].T, "bias": arrays["dense.b"]}
    return {"embedding": {"weight": arrays["embedding"]}, "mlstm": layers, "dense": dense}


def test_training_lowers_the_loss__losses():
    x, y = dummy_protein_data(batch=4)
    _, losses = train(make_mlstm_params(1), mlstm_model, next_letter_loss, x, y, steps=30)
    assert len(losses) == 30 and losses[-1] < losses[0]


def test_training_lowers_the_loss__before_and_after():
    params, data = make_mlstm_params(), dummy_protein_data(2)
    after, _ = train(params, mlstm_model, next_letter_loss, *data, 15, 1e-2)
    losses = [float(next_letter_loss(p, mlstm_model, *data)) for p in (params, after)]
    assert losses[1] < losses[0]


def test_every_parameter_receives_gradient__leaves():
    grads = jax.grad(next_letter_loss)(make_mlstm_params(4), mlstm_model, *dummy_protein_data(3))
    assert all(float(np.abs(grad).max()) > 1e-8 for grad in jax.tree.leaves(grads))


def test_every_parameter_receives_gradient__moves():
    params, data = make_mlstm_params(4), dummy_protein_data()
    trained, _ = train(params, mlstm_model, next_letter_loss, *data, steps=1)
    pairs = zip(jax.tree.leaves(params), jax.tree.leaves(trained), strict=True)
    assert all(not np.array_equal(before, after) for before, after in pairs)


def test_one_batch_can_be_overfitted__half():
    x, y = next_of("MKTAY", "GAV")
    _, losses = train(make_mlstm_params(), mlstm_model, next_letter_loss, x, y, 200, 0.03)
    assert losses[-1] < losses[0] / 2


def next_of(*proteins):
    x = encode_proteins(list(proteins))
    return x, next_letters(x)


def test_one_batch_can_be_overfitted__one_protein():
    x, y = next_of("MKTAY")
    params, _ = train(make_mlstm_params(), mlstm_model, next_letter_loss, x, y, 200, 0.03)
    assert next_letter_loss(params, mlstm_model, x, y) < 1


# --- 6 know your model --------------------------------------------------------------------


def strangeness__one_by_one(params, x, known):
    known_means = np.asarray(representation(params, known)[0])
    means = np.asarray(representation(params, x)[0])
    return np.array([np.linalg.norm(known_means - mean, axis=1).min() for mean in means])


def strangeness__by_products(params, x, known):
    (means, *_), (known_means, *_) = representation(params, x), representation(params, known)
    squares = (means**2).sum(1)[:, None] + (known_means**2).sum(1) - 2 * means @ known_means.T
    return jnp.sqrt(jnp.maximum(squares, 0).min(axis=1))


def strangeness__scipy(params, x, known):
    means, known_means = (
        np.stack([np.mean(said[:n], axis=0) for said, n in zip(hidden, lengths, strict=True)])
        for hidden, lengths in (
            (np.asarray(read(params, letters)[0]), (letters > 0).sum(axis=1))
            for letters in (x, known)
        )
    )
    return np.min(cdist(means, known_means), axis=1)


def is_strange__counted(params, x, known, calibration, alpha=0.1):
    scores = np.asarray(strangeness(params, calibration, known))
    new = np.asarray(strangeness(params, x, known))
    at_least = (scores >= new[:, None]).sum(axis=1) + 1
    return at_least <= (len(scores) + 1) * alpha


def is_strange__one_by_one(params, x, known, calibration, alpha=0.1):
    limit = float(conformal_threshold(strangeness(params, calibration, known), alpha=alpha))
    return np.array([float(score) > limit for score in strangeness(params, x, known)])


def second_strangeness__one_by_one(params, x, known):
    rows = [row[None] for row in x]
    return np.array([next_letter_loss(params, mlstm_model, x, next_letters(x)) for x in rows])


def second_strangeness__fifth_nearest(params, x, known):
    means, known_means = (np.asarray(representation(params, part)[0]) for part in (x, known))
    return np.sort(cdist(means, known_means), axis=1)[:, 4]


def second_strangeness__mahalanobis(params, x, known):
    means, known_means = (representation(params, part)[0] for part in (x, known))
    gaps = means - known_means.mean(axis=0)
    return jnp.sqrt(jnp.sum(gaps @ jnp.linalg.inv(jnp.cov(known_means.T)) * gaps, axis=1))


def count_flops__step_by_step(batch, seq, embedding=10, units=12, layers=2):
    def product(rows, inner, columns):
        forward = 2 * rows * inner * columns
        return np.array(
            [forward, forward + 2 * inner * rows * columns + 2 * rows * columns * inner]
        )

    total = product(batch * seq, units, 25)
    for number in range(layers):
        width = embedding if number == 0 else units
        for inner, columns in (
            (width, units),
            (units, units),
            (width, 4 * units),
            (units, 4 * units),
        ):
            total = total + seq * product(batch, inner, columns)
    return {"forward": total[0], "train_step": total[1]}


def count_flops__in_one_line(batch, seq, embedding=10, units=12, layers=2):
    numbers = 5 * units * (embedding + (2 * layers - 1) * units) + 25 * units
    return dict(train_step=6 * batch * seq * numbers, forward=2.0 * batch * seq * numbers)


def count_memory__arrays(batch, seq, embedding=10, units=12, layers=2):
    def bytes_of(shape):
        return np.zeros(shape, dtype=np.float32).nbytes

    shapes = param_shapes(embedding, units, layers)
    params = sum(map(bytes_of, jax.tree.leaves(shapes, is_leaf=lambda x: isinstance(x, tuple))))
    outputs = activation_shapes(batch, seq, embedding, units)
    activations = bytes_of(outputs["embedding"]) + bytes_of(outputs["dense"])
    for _ in range(layers):
        activations += bytes_of(outputs["hidden"])
        activations += sum(bytes_of((seq, *outputs[name])) for name in ("m", "z", "c"))
    return {
        "activations": activations,
        "params": params,
        "gradients": params,
        "adam": params + params,
    }


def count_memory__in_one_line(batch, seq, embedding=10, units=12, layers=2):
    layer = units * (10 + 5 * units)  # gains and b, and what multiplies h or m
    first, others = 5 * units * embedding, (layers - 1) * 5 * units * units
    params = 4 * (26 * embedding + 4 * units * layers + layers * layer + first + others)
    params += 4 * 25 * (units + 1)
    activations = 4 * batch * seq * (embedding + 7 * units * layers + 25)
    return dict(params=params, gradients=params, adam=2 * params, activations=activations)


def checked_proteins__one_by_one(x, longest=12):
    if np.ndim(x) != 2 or np.asarray(x).dtype.kind not in "ui":
        raise ValueError("not a batch of whole numbers")
    if not 0 < np.shape(x)[1] <= longest:
        raise ValueError("too long, or nothing at all")
    for start, *letters in np.asarray(x).tolist():
        while letters and letters[-1] == 0:
            letters.pop()
        if start != 24 or not all(1 <= letter <= 23 for letter in letters):
            raise ValueError(f"{start}, {letters} is no protein")
    return x


def checked_proteins__counted(x, longest=12):
    x = np.array(x)
    if not np.issubdtype(x.dtype, np.integer) or len(x.shape) != 2:
        raise ValueError("letters are whole numbers, in two axes")
    if x.shape[1] == 0 or x.shape[1] > longest:
        raise ValueError(f"a row has {longest} numbers at most")
    is_letter = (x >= 1) & (x < 24)
    before_the_end = np.arange(1, x.shape[1]) <= is_letter.sum(axis=1)[:, None]
    if np.any(x[:, 0] != 24) or np.any(is_letter[:, 1:] != before_the_end):
        raise ValueError("a start, letters, and then nothing")
    if np.any(x[:, 1:][~before_the_end]):
        raise ValueError("something is left behind the letters")
    return x


def checked_proteins__in_jax(x, longest=12):
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.integer) or x.ndim != 2:
        raise ValueError(f"{x.dtype} of {x.shape} are no proteins")
    if x.shape[1] > longest or x.shape[1] < 1:
        raise ValueError(f"{x.shape[1]} numbers in a row")
    has_ended = jnp.cumsum(x[:, 1:] == 0, axis=1) > 0
    is_right = jnp.where(has_ended, x[:, 1:] == 0, (x[:, 1:] > 0) & (x[:, 1:] < 24))
    if not bool(jnp.all(x[:, 0] == 24) & jnp.all(is_right)):
        raise ValueError("some protein is not in order")
    return x


def in_words__several_sentences():
    return dict(
        use="It may be used. Of all proteins, those that it has learned from are its own kind.",
        not_for="It is not for other kinds. Nor is it for anything that somebody lives by.",
        not_looked_at="""Nobody has looked at any proteins
        that somebody else has collected.""",
    )


def in_words__put_together():
    unknown = " and ".join(["whatever comes later", "whatever came before"])
    return {
        "not_looked_at": f"We do not know about {unknown}.",
        "not_for": "- proteins that nobody checked\n- proteins of another size",
        "use": "For whoever wants to try it on proteins like ours.",
    }
