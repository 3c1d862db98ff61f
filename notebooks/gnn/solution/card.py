"""What the card says of the graph network in words."""


def in_words():
    """Say on the card where the model may be used, where not, and what was not looked at.

    Shapes: -> use, not_for and not_looked_at, each a sentence or more
    """
    return {
        "use": "Counting the edges of small graphs, of 2 to 6 nodes and 1 to 9 edges.",
        "not_for": "Graphs with a node that hears many others: it counts too few edges there, and "
        "finds nothing strange in them.",
        "not_looked_at": "Graphs of more than 11 nodes, and any question but that for the edges.",
    }
