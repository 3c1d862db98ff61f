"""A piece of code beside the original's: its cases, what was seen, what is known about it."""
