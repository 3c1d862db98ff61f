"""A transformer that reads sentences: each becomes one vector, near those of the same meaning."""

import torch
from torch import nn
from torch.nn.functional import gelu

MASKED = -1e9  # a score that no real one comes near, and whose exponential is zero


class Attention(nn.Module):
    """Let every word of a sentence look at all the others, and take up what it finds.

    A word asks with its query, and is found by its key; what is passed on is its value. Several
    heads look at once, each on its own share of the width.

    Args:
        width: numbers that a word is described by.
        heads: parts that the width is split into; they divide it evenly.
    """

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def split(self, x):
        """Give each head its share of every word.

        Shapes: x (batch, seq, width) -> (batch, heads, seq, head_size)
        """
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, x, is_real):
        """Mix the words of each sentence; padding is looked at by nobody.

        Shapes: x (batch, seq, width), is_real (batch, seq) -> (batch, seq, width)
        """
        query, key = self.split(self.query(x)), self.split(self.key(x))
        value = self.split(self.value(x))
        scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5
        scores = scores.masked_fill(~is_real[:, None, None, :], MASKED)
        mixed = torch.softmax(scores, dim=-1) @ value
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Let words look at each other, then work on each alone; both add to what was there.

    Args:
        width: numbers that a word is described by, before and after.
        inner: numbers that it is worked on with in between.
        heads: heads of the attention.
    """

    def __init__(self, width, inner, heads):
        super().__init__()
        self.attention = Attention(width, heads)
        self.attention_norm = nn.LayerNorm(width, eps=1e-12)
        self.expand = nn.Linear(width, inner)
        self.contract = nn.Linear(inner, width)
        self.output_norm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, is_real):
        """Add what attention finds, then what the two layers make of it; normalise after each.

        Shapes: x (batch, seq, width), is_real (batch, seq) -> (batch, seq, width)
        """
        x = self.attention_norm(x + self.attention(x, is_real))
        return self.output_norm(x + self.contract(gelu(self.expand(x))))


class Transformer(nn.Module):
    """Turn sentences into vectors of length 1.

    Sentences come as numbers of words, padded to the same length; is_real says which are words.
    With the sizes of all-MiniLM-L6-v2 it computes what that model computes.

    Args:
        words: different words that there are.
        positions: words that a sentence may have at most.
        width: numbers that a word, and in the end a sentence, is described by.
        inner: numbers in between the two layers of a block.
        heads: heads of every attention.
        layers: blocks, one after the other.
    """

    def __init__(self, words=30, positions=8, width=6, inner=10, heads=3, layers=2):
        super().__init__()
        self.word = nn.Embedding(words, width)
        self.position = nn.Embedding(positions, width)
        self.embedding_norm = nn.LayerNorm(width, eps=1e-12)
        self.layers = nn.ModuleList(Block(width, inner, heads) for _ in range(layers))

    def embed(self, tokens):
        """Look up what each word is and where it stands, and add the two.

        Shapes: tokens (batch, seq) -> (batch, seq, width)
        """
        places = self.position.weight[: tokens.shape[1]]
        return self.embedding_norm(self.word(tokens) + places)

    def pool(self, x, is_real):
        """Take the mean over the words of each sentence, padding left out.

        Shapes: x (batch, seq, width), is_real (batch, seq) -> (batch, width)
        """
        sums = (x * is_real[:, :, None]).sum(dim=1)
        return sums / is_real.sum(dim=1)[:, None]

    def forward(self, tokens, is_real):
        """Read sentences, and give each a vector of length 1.

        Shapes: tokens (batch, seq), is_real (batch, seq) -> (batch, width)
        """
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x, is_real)
        pooled = self.pool(x, is_real)
        return pooled / pooled.norm(dim=1, keepdim=True)
