"""Turn trees of arrays into flat names, and back."""

from collections.abc import Mapping

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


def leaves(tree, path=""):
    """Lay nested dicts and lists out flat, by name: "params.enc.weight"."""
    if isinstance(tree, Mapping):
        inner = tree.items()
    elif isinstance(tree, tuple | list):
        inner = enumerate(tree)
    else:
        return {path: tree}
    return {
        name: leaf
        for key, value in inner
        for name, leaf in leaves(value, f"{path}.{key}" if path else str(key)).items()
    }
