"""Judge a pair's package in a process of its own: what `reimpl check` starts."""

import json
import sys
from pathlib import Path

from reimpl_helpers.workbook import judge_package


def main(folder: str, results: str) -> None:
    """Write a line for each verdict to the file of results, and a last one that says done."""
    with open(results, "a", encoding="utf-8") as file:

        def report(verdict):
            line = {
                "state": verdict.state,
                "text": str(verdict) if verdict.right else repr(verdict),
            }
            file.write(json.dumps(line) + "\n")
            file.flush()

        judge_package(Path(folder), report)
        file.write("done\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
