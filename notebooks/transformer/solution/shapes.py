"""The transformer's shapes, from its sizes alone."""


def param_shapes(words=30, positions=8, width=6, inner=10, layers=2):
    """Give the shape of every parameter.

    Shapes: as PyTorch keeps them: nn.Linear weight (out_features, in_features) and bias
        (out_features,), nn.Embedding weight (rows, width), nn.LayerNorm weight and bias (width,)
    Source: original.py, Transformer.__init__ and what it is built of
    """

    def linear(in_features, out_features):
        return {"weight": (out_features, in_features), "bias": (out_features,)}

    norm = {"weight": (width,), "bias": (width,)}
    block = {
        "attention": {name: linear(width, width) for name in ("query", "key", "value", "out")},
        "attention_norm": norm,
        "expand": linear(width, inner),
        "contract": linear(inner, width),
        "output_norm": norm,
    }
    return {
        "word": {"weight": (words, width)},
        "position": {"weight": (positions, width)},
        "embedding_norm": norm,
        "layers": {str(number): block for number in range(layers)},
    }


def activation_shapes(batch, seq, width=6, inner=10, heads=3):
    """Give the shape of what comes out on the way: of embed, within a block, and of pool.

    Shapes: tokens are (batch, seq); query, scores and mixed have an axis for the heads
    Source: original.py, Attention.forward, Block.forward and Transformer.forward
    """
    head_size = width // heads
    return {
        "embed": (batch, seq, width),
        "query": (batch, heads, seq, head_size),
        "scores": (batch, heads, seq, seq),
        "mixed": (batch, heads, seq, head_size),
        "out": (batch, seq, width),
        "expand": (batch, seq, inner),
        "contract": (batch, seq, width),
        "pool": (batch, width),
    }
