"""A multiplicative LSTM with weight normalisation, which reads proteins letter by letter.

It is the layer of UniRep (Alley and others, 2019), after Krause and others (2016): what is read
now and what was said before are multiplied, so that each letter changes the memory in its own way.
"""

import torch
from torch import nn


class MLSTMLayer(nn.Module):
    """Read a sequence from its beginning to its end, with a memory.

    Two things are handed on from step to step: what the layer says, h, and what it remembers, c.
    Each weight is normalised: its columns have length 1, and a gain says how long they shall be.

    Args:
        in_features: numbers that a step reads.
        units: numbers in what the layer says, and in what it remembers.
    """

    def __init__(self, in_features, units):
        super().__init__()
        self.wmx = nn.Parameter(torch.empty(in_features, units))
        self.wmh = nn.Parameter(torch.empty(units, units))
        self.wx = nn.Parameter(torch.empty(in_features, 4 * units))
        self.wh = nn.Parameter(torch.empty(units, 4 * units))
        self.gmx = nn.Parameter(torch.ones(units))
        self.gmh = nn.Parameter(torch.ones(units))
        self.gx = nn.Parameter(torch.ones(4 * units))
        self.gh = nn.Parameter(torch.ones(4 * units))
        self.b = nn.Parameter(torch.zeros(4 * units))
        for weight in (self.wmx, self.wmh, self.wx, self.wh):
            nn.init.xavier_uniform_(weight)

    def normalise(self, weight, gain):
        """Scale the columns of a weight to length 1, and then by the gain.

        Shapes: weight (in_features, units), gain (units,) -> (in_features, units)
        """
        squares = torch.square(weight).sum(dim=0)
        return weight / torch.sqrt(torch.clamp(squares, min=1e-12)) * gain

    def step(self, weights, x, h, c):
        """Read one letter.

        Shapes: weights are normalised; x (batch, in_features), h and c (batch, units) -> h, c
        """
        wmx, wmh, wx, wh = weights
        m = (x @ wmx) * (h @ wmh)
        z = x @ wx + m @ wh + self.b
        i, f, o, u = torch.chunk(z, 4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(u)
        return torch.sigmoid(o) * torch.tanh(c), c

    def forward(self, x, is_real):
        """Read the sequences of a batch; where one has ended, h and c stay as they are.

        Shapes: x (batch, seq, in_features), is_real (batch, seq) -> hidden (batch, seq, units),
            and the last h and c (batch, units)
        """
        weights = (
            self.normalise(self.wmx, self.gmx),
            self.normalise(self.wmh, self.gmh),
            self.normalise(self.wx, self.gx),
            self.normalise(self.wh, self.gh),
        )
        h = x.new_zeros(len(x), len(self.wmh))
        c = x.new_zeros(len(x), len(self.wmh))
        hidden = []
        for t in range(x.shape[1]):
            new_h, new_c = self.step(weights, x[:, t], h, c)
            h = torch.where(is_real[:, t, None], new_h, h)
            c = torch.where(is_real[:, t, None], new_c, c)
            hidden.append(h)
        return torch.stack(hidden, dim=1), h, c


class MLSTM(nn.Module):
    """Say at each letter of a protein which one comes next, and what the protein is like.

    Letters are numbers from 1 to 25; 0 fills the end of the shorter sequences of a batch.

    Args:
        embedding: numbers that stand for a letter.
        units: numbers in what each layer says.
        layers: how many there are; each reads what the one before said.
    """

    def __init__(self, embedding=10, units=12, layers=2):
        super().__init__()
        self.embedding = nn.Embedding(26, embedding)
        nn.init.xavier_uniform_(self.embedding.weight)
        inputs = [embedding] + [units] * (layers - 1)
        self.mlstm = nn.ModuleList(MLSTMLayer(width, units) for width in inputs)
        self.dense = nn.Linear(units, 25)

    def read(self, letters):
        """Send the embedded letters through every layer.

        Shapes: letters (batch, seq) -> hidden (batch, seq, units), the last h, c (batch, units)
        """
        hidden, is_real = self.embedding(letters), letters > 0
        for layer in self.mlstm:
            hidden, h, c = layer(hidden, is_real)
        return hidden, h, c

    def representation(self, letters):
        """Describe each protein in three ways: the mean of all h, the last h, the last c.

        Shapes: letters (batch, seq) -> three times (batch, units)
        """
        hidden, h, c = self.read(letters)
        is_real = (letters > 0)[:, :, None]
        return (hidden * is_real).sum(dim=1) / is_real.sum(dim=1), h, c

    def forward(self, letters):
        """Give a score to each of the 25 letters that may come next.

        Shapes: letters (batch, seq) -> (batch, seq, 25)
        """
        hidden, _, _ = self.read(letters)
        return self.dense(hidden)
