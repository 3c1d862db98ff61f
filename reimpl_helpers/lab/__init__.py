"""A pair's JupyterLab: its server, its notebooks, what is saved."""
