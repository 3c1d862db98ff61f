"""Mistakes that our tests must catch: each name says what is wrong in which piece."""

from model import gnn_model


def gnn_model__lonely_graphs_skipped(params, x):
    """Be a model that saves its work where there are no edges: all its answers are zero."""
    return gnn_model(params, x) * bool(len(x["edges"]))
