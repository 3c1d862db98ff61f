"""What the card says of the multiplicative LSTM in words."""


def in_words():
    """Say on the card where the model may be used, where not, and what was not looked at.

    Shapes: -> use, not_for and not_looked_at, each a sentence or more
    """
    return {
        "use": "Trying out the layer: on made-up proteins of up to 11 letters, or with the weights "
        "that UniRep published.",
        "not_for": "Real proteins, with the weights that are measured here: they learned when a "
        "protein ends, and nothing of the order of its letters.",
        "not_looked_at": "Proteins of more than 24 letters, and any question about what they do.",
    }
