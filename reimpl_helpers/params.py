"""Hold drawn parameters against the distribution that the original draws from."""

import itertools

import numpy as np


def nested(state_dict: dict[str, np.ndarray], separator: str = ".") -> dict:
    """Turn PyTorch's flat names into nested dicts: "enc.weight" becomes ["enc"]["weight"].

    Shapes: every array keeps its own
    """
    params = {}
    for path, value in state_dict.items():
        *above, name = path.split(separator)
        layer = params
        for part in above:
            layer = layer.setdefault(part, {})
        layer[name] = value
    return params


def flat(params: dict, separator: str = ".") -> dict[str, np.ndarray]:
    """Turn nested params into PyTorch's flat names: the opposite of `nested`.

    Shapes: every array keeps its own
    """
    state_dict = {}
    for name, value in params.items():
        inner = flat(value, separator) if isinstance(value, dict) else {"": value}
        state_dict |= {f"{name}{separator}{path}" if path else name: inner[path] for path in inner}
    return state_dict


def pooled(trees: list[dict]) -> dict[str, np.ndarray]:
    """Pool the values of each parameter over several draws.

    Shapes: any -> (draws * size,) by name
    """
    draws = [flat(tree) for tree in trees]
    return {name: np.concatenate([np.ravel(draw[name]) for draw in draws]) for name in draws[0]}


def initial_complaint(trees: list[dict], quantiles: dict[str, np.ndarray]) -> str | None:
    """Say where drawn parameters do not follow the original's distribution, or return None.

    Bounds, spread and shape of the distribution are held against quantiles of very many draws of
    the original; the limits are six standard errors wide, so that chance does not refuse anyone.

    Shapes: quantiles (257,) by parameter name, least and greatest value included
    """
    for name, values in pooled(trees).items():
        original = quantiles[name]
        if not np.isfinite(values).all():
            return f"{name}: some values are NaN or infinite. What are they divided by?"
        if np.ptp(original) == 0:
            if (values != original[0]).any():
                return f"{name}: the original starts with the same number everywhere. Which?"
            continue
        reach, bound = np.abs(values).max(), np.abs(original).max()
        if reach > bound * 1.001:
            return (
                f"{name}: drawn as far as {reach:.3g} from zero, the original stays within "
                f"{bound:.3g}. Which size of the layer decides how far?"
            )
        spread, wanted = values.std(), dense(original).std()
        if abs(spread - wanted) > 6 * wanted / np.sqrt(2 * values.size):
            return (
                f"{name}: a spread (standard deviation) of {spread:.3g}, the original's is "
                f"{wanted:.3g}. Look up how the original's layer draws this parameter."
            )
        if distance(values, original) > 6 / np.sqrt(2 * values.size):
            return (
                f"{name}: values as far out as the original's and as widely spread, but of another "
                "distribution. Compare the two histograms: which values are too frequent?"
            )
    return None


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
    draws = [flat(tree) for tree in trees]
    for first, second in itertools.combinations(draws[0], 2):
        if all(look_alike(draw[first], draw[second]) for draw in draws):
            return first, second
    return None


def look_alike(first, second):
    """Tell whether one array starts with the other's values, up to scale."""
    size = min(np.size(first), np.size(second))
    first, second = np.ravel(first)[:size], np.ravel(second)[:size]
    if size < 3 or not (first.std() and second.std()):
        return False
    return np.corrcoef(first, second)[0, 1] > 0.999
