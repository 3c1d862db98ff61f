"""Run JupyterHub, which imports what reimpl_helpers.base.quick_start leaves out."""

from reimpl_helpers.base import quick_start  # noqa: F401

# isort: split
from jupyterhub.app import main

if __name__ == "__main__":
    main()
