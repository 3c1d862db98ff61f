"""Helpers for re-implementing a PyTorch model by hand, in pairs: one module for each step."""
