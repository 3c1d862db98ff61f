"""Say what a call to the workbook got wrong, in the one class that every command prints."""


class WorkbookError(Exception):
    """Say what a call to the workbook got wrong, and what to do."""

    def _render_traceback_(self):
        return [str(self)]
