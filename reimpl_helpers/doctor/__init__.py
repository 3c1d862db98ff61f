"""Check a machine for what the workbook needs, and print a line each, with the cure.

Runs where nothing is installed, with any Python: `python3 -m reimpl_helpers.doctor`.
"""
