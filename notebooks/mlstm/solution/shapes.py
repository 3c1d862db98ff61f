"""The multiplicative LSTM's shapes, from its sizes alone."""


def param_shapes(embedding=10, units=12, layers=2):
    """Give the shape of every parameter.

    Shapes: the weights of the recurrent layers have their inputs first; that of `dense`, an
        nn.Linear, has its outputs first
    Source: original.py, MLSTM.__init__ and MLSTMLayer.__init__
    """

    def layer(in_features):
        return {
            "wmx": (in_features, units),
            "wmh": (units, units),
            "wx": (in_features, 4 * units),
            "wh": (units, 4 * units),
            "gmx": (units,),
            "gmh": (units,),
            "gx": (4 * units,),
            "gh": (4 * units,),
            "b": (4 * units,),
        }

    return {
        "embedding": {"weight": (26, embedding)},
        "mlstm": {str(n): layer(units if n else embedding) for n in range(layers)},
        "dense": {"weight": (25, units), "bias": (25,)},
    }


def activation_shapes(batch, seq, embedding=10, units=12):
    """Give the shape of what each part of the model computes.

    Shapes: the letters are (batch, seq)
    Source: original.py, MLSTMLayer.step and MLSTM
    """
    return {
        "embedding": (batch, seq, embedding),
        "m": (batch, units),
        "z": (batch, 4 * units),
        "c": (batch, units),
        "hidden": (batch, seq, units),
        "representation": (batch, units),
        "dense": (batch, seq, 25),
    }
