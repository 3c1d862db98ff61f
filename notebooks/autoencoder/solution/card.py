"""What the card says of the autoencoder in words."""


def in_words():
    """Say on the card where the model may be used, where not, and what was not looked at.

    Shapes: -> use, not_for and not_looked_at, each a sentence or more
    """
    return {
        "use": "Drawing scanned digits of 8 by 8 pixels again from eight numbers, upright and dark "
        "on light as in the recording.",
        "not_for": "Digits that are turned or inverted, and a camera with dead pixels: those are "
        "drawn badly, and a dead pixel is hardly ever noticed.",
        "not_looked_at": "Digits of other writers and other scanners, and letters.",
    }
