"""A project of its own, made of a package."""
