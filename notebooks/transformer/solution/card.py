"""What the card says of the transformer in words."""


def in_words():
    """Say on the card where the model may be used, where not, and what was not looked at.

    Shapes: -> use, not_for and not_looked_at, each a sentence or more
    """
    return {
        "use": "Finding alike sentences of the made-up language, of 3 to 6 words from 1 to 19.",
        "not_for": "Sentences with words that it has not learned, or in another order: their "
        "vectors mean nothing, and a swapped pair of words is hardly noticed.",
        "not_looked_at": "Any language that people speak, and texts of more than 8 words.",
    }
