"""Serve many pairs on one machine: a JupyterHub with a server for each pair."""
