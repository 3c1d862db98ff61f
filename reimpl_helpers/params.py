"""Hold drawn parameters against the distribution that the original draws from."""

import itertools

import numpy as np

from reimpl_helpers.base.trees import flat, nested, pooled
from reimpl_helpers.checks.cases import Case, Complaint
from reimpl_helpers.checks.compare import as_array

__all__ = ["flat", "nested", "pooled"]  # notebooks import these from here


def initial_complaint(trees: list[dict], quantiles: dict[str, np.ndarray]) -> Complaint:
    """Say where drawn parameters do not follow the original's distribution, or return None.

    Bounds, spread and shape of the distribution are held against quantiles of very many draws of
    the original; the limits are six standard errors wide, so that chance does not refuse anyone.

    Shapes: quantiles (257,) by parameter name, least and greatest value included
    """
    draws = [flat(tree) for tree in trees]
    for name, values in pooled(draws).items():
        original = quantiles[name]
        if not np.isfinite(values).all():
            return f"{name}: some values are NaN or infinite.", "What are they divided by?"
        if np.ptp(original) == 0:
            if (values != original[0]).any():
                return f"{name}: the original starts with the same number everywhere.", "Which?"
            continue
        reach, bound = np.abs(values).max(), np.abs(original).max()
        if reach > bound * 1.001:
            return (
                f"{name}: drawn as far as {reach:.3g} from zero, the original stays within "
                f"{bound:.3g}.",
                "Which size of the layer decides how far?",
            )
        spread, wanted = values.std(), dense(original).std()
        if abs(spread - wanted) > 6 * wanted / np.sqrt(2 * values.size):
            return (
                f"{name}: a spread (standard deviation) of {spread:.3g}, the original's is "
                f"{wanted:.3g}. Look up how the original's layer draws this parameter."
            )
        if where := uneven([draw[name] for draw in draws], wanted):
            return (
                f"{name}: as widely spread as the original's on the whole, but not {where}.",
                "Is every number of it drawn the same way?",
            )
        if distance(values, original) > 6 / np.sqrt(2 * values.size):
            return (
                f"{name}: values as far out as the original's and as widely spread, but of another "
                "distribution.",
                "Compare the two histograms: which values are too frequent?",
            )
    return None


def uneven(draws: list[np.ndarray], wanted: float) -> str:
    """Name a row or a column that spreads otherwise than it should, in many draws of one array."""
    draws = np.stack(draws)
    for axis, word in enumerate(("row", "column") if draws.ndim == 3 else (), 1):
        others = tuple(other for other in range(draws.ndim) if other != axis)
        spreads, size = draws.std(axis=others), draws.size / draws.shape[axis]
        off = np.abs(spreads - wanted) > 6 * wanted / np.sqrt(2 * size)
        if off.any():
            return f"in {word} {int(np.argmax(off))}"
    return ""


def same_distribution(ours: list[dict], theirs: list[dict]) -> bool:
    """Tell whether two sets of drawn parameters follow one distribution, as far as they show.

    Values apart by less than six standard errors count as the same.
    """
    ours, theirs = pooled(ours), pooled(theirs)
    if ours.keys() != theirs.keys():
        return False
    return all(
        np.isclose(np.abs(ours[name]).max(), np.abs(theirs[name]).max(), rtol=0.1)
        and distance_of_draws(ours[name], theirs[name]) <= 6 / np.sqrt(ours[name].size)
        for name in ours
    )


def distance_of_draws(ours, theirs):
    """Measure the largest gap between the cumulative distributions of two samples."""
    places = np.concatenate([ours, theirs])
    below = [
        np.searchsorted(np.sort(draws), places, side="right") / draws.size
        for draws in (ours, theirs)
    ]
    return np.abs(below[0] - below[1]).max()


def dense(quantiles):
    """Interpolate between quantiles, evenly in probability."""
    return np.interp(np.linspace(0, len(quantiles) - 1, 10_001), range(len(quantiles)), quantiles)


def distance(values, quantiles):
    """Measure the largest gap between two cumulative distributions (Kolmogorov and Smirnov's)."""
    values = np.sort(values)
    steps = np.linspace(0, 1, len(quantiles))
    theirs = np.interp(values, quantiles, steps, left=0.0, right=1.0)
    ours = np.arange(1, values.size + 1) / values.size
    return max(np.abs(ours - theirs).max(), np.abs(ours - 1 / values.size - theirs).max())


def shared_draws(trees: list[dict]) -> tuple[str, str] | None:
    """Find two parameters that were drawn with the same random numbers, in every tree."""
    draws = [{name: np.asarray(values) for name, values in flat(tree).items()} for tree in trees]
    for first, second in itertools.combinations(draws[0], 2):
        if all(look_alike(draw[first], draw[second]) for draw in draws):
            return first, second
    return None


def look_alike(first, second):
    """Tell whether one array holds values of the other, or starts with them up to scale.

    Each may be read row by row or column by column.
    """
    size = min(first.size, second.size)
    if size < 3:
        return False
    if np.intersect1d(np.abs(first), np.abs(second)).size > max(2, size / 50):
        return True  # by chance, float32 repeats a few of some thousand numbers
    ways = [(one, other) for one in (first, first.T) for other in (second, second.T)]
    return any(proportional(one.ravel()[:size], other.ravel()[:size]) for one, other in ways)


def proportional(first, second):
    """Tell whether the values of one flat array follow those of another."""
    first, second = first - first.mean(), second - second.mean()
    return abs(first @ second) > 0.999 * np.linalg.norm(first) * np.linalg.norm(second) > 0


# --- the questions that every track asks ---


def shapes_of(params: dict) -> dict:
    """Read the shapes of params, nested or flat, or of JAX's placeholders for them."""
    return nested({name: value.shape for name, value in flat(params).items()})


def drawn_shapes(params):
    """Read the shapes of what a piece has drawn; leave anything but a dict to the check."""
    if not isinstance(params, dict):
        return params
    return shapes_of({name: as_array(a, f"for {name}") for name, a in flat(params).items()})


def draw_cases(recording, names, sizes_of, initial_at):
    """Ask a piece for fresh params: their shapes, what the key does, their distributions.

    `names` are the probes whose sizes are asked for; `initial_at` gives the distributions at the
    sizes of a probe.
    """
    yield from shape_and_key_cases(recording, names, sizes_of)
    yield Case(
        "fifty keys",
        complaint=lambda trees: initial_complaint(trees, recording.initial),
        alike=same_distribution,
        call=lambda piece: [piece(key) for key in range(50)],
    )
    other = recording.probes["other sizes"]
    yield Case(
        "fifty keys, other sizes",
        sizes_of(other),
        complaint=lambda trees: initial_complaint(trees, initial_at(other, recording)),
        alike=same_distribution,
        call=lambda piece, *sizes: [piece(key, *sizes) for key in range(50)],
    )


def shape_and_key_cases(recording, names, sizes_of):
    """Ask a piece for fresh params: their shapes at the sizes of some probes, what the key does."""
    for name in names:
        probe = recording.probes[name]
        yield Case(
            name,
            sizes_of(probe),
            shapes_of(probe.params),
            call=lambda piece, *sizes: piece(1, *sizes),
            part=drawn_shapes,
            unseen=lambda rng: None,  # JAX would compile for every new size
        )
    default = shapes_of(recording.params)
    yield Case("no sizes given", expected=default, call=lambda p: p(1), part=drawn_shapes)
    yield from key_cases(recording)


def key_cases(recording):
    """Ask what the key does, given and not."""
    yield Case("no key given", complaint=default_key_complaint, call=lambda p: [p(), p(0)])
    yield Case(
        "keys",
        complaint=lambda trees: key_complaint(trees, recording.initial),
        call=lambda piece: [piece(1), piece(1), piece(2)],
    )


def traced_key_case(recording) -> Case:
    """Ask for params whose key JAX does not know yet."""

    def traced(piece):
        import jax

        return shapes_of(jax.eval_shape(piece, 1))

    return Case("a traced key", expected=shapes_of(recording.params), call=traced)


def state_dict_cases(recording):
    """Ask for nested params from PyTorch's flat ones, also as a file that sorts names has them."""
    for probe in recording.probes.values():
        yield Case(probe.name, (probe.params,), nested(probe.params))
    in_order = dict(sorted(recording.params.items()))
    yield Case("names in the order of letters", (in_order,), nested(in_order))


def linear_initial_at(probe, recording) -> dict[str, np.ndarray]:
    """Scale the distributions of nn.Linear to other sizes: their width goes with in_features."""

    def in_features(params, name):
        return params[f"{name.rpartition('.')[0]}.weight"].shape[1]

    return {
        name: quantiles
        * (in_features(recording.params, name) / in_features(probe.params, name)) ** 0.5
        for name, quantiles in recording.initial.items()
    }


def default_key_complaint(trees: list[dict]) -> Complaint:
    """Say that params drawn without a key are not those of the key 0, or return None."""
    default, zero = (flat(tree) for tree in trees)
    if all(np.array_equal(default[name], zero[name]) for name in zero):
        return None
    return "without a key, other values than with the key 0.", "Which key does the signature give?"


def key_complaint(trees: list[dict], initial: dict[str, np.ndarray]) -> Complaint:
    """Say what the key does wrong in three draws, with a key, the same one and another.

    What the original starts with the same number everywhere is not drawn, and left out.
    """
    first, again, other = (
        {name: v for name, v in flat(tree).items() if name not in initial or np.ptp(initial[name])}
        for tree in trees
    )
    for name, values in first.items():
        different = np.unique(values).size
        if not np.array_equal(values, again[name]):
            return f"{name}: drawn twice with the same key, and different.", "Does it use the key?"
        if different == 1 < np.size(values):
            return f"{name}: every value is {np.ravel(values)[0]}.", "What does the original draw?"
        if different < 0.99 * np.size(values):
            return (
                f"{name}: only {different} different numbers among {np.size(values)}.",
                "Is each of them drawn on its own?",
            )
        if np.array_equal(values, other[name]):
            return f"{name}: the same values for two different keys.", "Does it use the key?"
    shared = shared_draws([first, other])
    if shared:
        return (
            f"{' and '.join(shared)} are the same random numbers.",
            "Are they drawn independently?",
        )
    later = {f"{name} of the next key": values for name, values in other.items()}
    shared = shared_draws([{**first, **later}])
    if shared:
        return f"{' and '.join(shared)} are the same random numbers.", "Where do the keys meet?"
    return None
