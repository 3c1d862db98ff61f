"""The card of a model: its numbers, measured anew by a test beside it."""
