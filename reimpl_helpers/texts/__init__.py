"""The text of a package: read, put together, and broken on purpose."""
