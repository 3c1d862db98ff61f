"""The transformer's parameters: drawn afresh, the original's own, or published ones."""

import jax
import jax.numpy as jnp
from shapes import param_shapes


def make_transformer_params(key=0, words=30, positions=8, width=6, inner=10, layers=2):
    """Draw initial parameters from the distribution that the original draws from.

    Shapes: those of param_shapes(words, positions, width, inner, layers)
    Source: reset_parameters of torch.nn.Linear, within 1 / sqrt(in_features) of zero and uniform,
        of torch.nn.Embedding, normal with a spread of 1, and of torch.nn.LayerNorm, ones and zeros
    """

    def draw(key, name, shapes):
        keys = jax.random.split(key, len(shapes))
        parts = [
            (part, part_key, shapes[part]) for part, part_key in zip(shapes, keys, strict=True)
        ]
        if "weight" not in shapes:
            return {part: draw(part_key, part, inside) for part, part_key, inside in parts}
        if name.endswith("norm"):
            return {"weight": jnp.ones(shapes["weight"]), "bias": jnp.zeros(shapes["bias"])}
        if name in ("word", "position"):
            return {"weight": jax.random.normal(keys[0], shapes["weight"])}
        bound = shapes["weight"][1] ** -0.5
        return {
            part: jax.random.uniform(part_key, shape, minval=-bound, maxval=bound)
            for part, part_key, shape in parts
        }

    return draw(jax.random.key(key), "", param_shapes(words, positions, width, inner, layers))


def params_from_state_dict(state_dict):
    """Turn PyTorch's flat names into the nested params that the model reads.

    Shapes: every array keeps its own
    Source: the names that Transformer().state_dict() gives, such as
        "layers.0.attention.query.weight"
    """
    params = {}
    for path, value in state_dict.items():
        *above, name = path.split(".")
        inside = params
        for part in above:
            inside = inside.setdefault(part, {})
        inside[name] = value
    return params


def published_params(tensors):
    """Give the arrays of a published BERT encoder, all-MiniLM-L6-v2 for one, our names.

    Shapes: every array keeps its own
    Source: BERT's names. "embeddings." begins those of word_embeddings, position_embeddings,
        token_type_embeddings, of which row 0 is added at every position, and LayerNorm;
        "encoder.layer.0." those of the first block: attention.self.query, .key and .value,
        attention.output.dense and .LayerNorm, intermediate.dense, output.dense and .LayerNorm
    """

    def layer(name):
        return {"weight": tensors[f"{name}.weight"], "bias": tensors[f"{name}.bias"]}

    def block(name):
        return {
            "attention": {
                "query": layer(f"{name}.attention.self.query"),
                "key": layer(f"{name}.attention.self.key"),
                "value": layer(f"{name}.attention.self.value"),
                "out": layer(f"{name}.attention.output.dense"),
            },
            "attention_norm": layer(f"{name}.attention.output.LayerNorm"),
            "expand": layer(f"{name}.intermediate.dense"),
            "contract": layer(f"{name}.output.dense"),
            "output_norm": layer(f"{name}.output.LayerNorm"),
        }

    sentence_type = tensors["embeddings.token_type_embeddings.weight"][0]
    count = sum(name.endswith("self.query.weight") for name in tensors)
    return {
        "word": {"weight": tensors["embeddings.word_embeddings.weight"]},
        "position": {"weight": tensors["embeddings.position_embeddings.weight"] + sentence_type},
        "embedding_norm": layer("embeddings.LayerNorm"),
        "layers": {str(number): block(f"encoder.layer.{number}") for number in range(count)},
    }
