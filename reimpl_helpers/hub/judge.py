"""Judge what one pair claims: what the confirmer runs, as a user who may do nothing else."""

import json
import sys
import tempfile
from pathlib import Path

from reimpl_helpers.base.limits import hide_this_process, take_output
from reimpl_helpers.board.confirm import claims_in, judge_new
from reimpl_helpers.board.logs import logs_in


def main() -> None:
    """Read a log, the pair's packages, and what was judged before; say what is new, line by line.

    Each is said at once: this process is ended where the pair's code does not end.
    """
    hide_this_process()
    asked, said = json.load(sys.stdin), take_output(silenced=(0, 1, 2))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "pair.jsonl").write_text(asked["log"], "utf-8")
        claims = claims_in(logs_in(Path(folder))["pair"])
    packages = {
        track: {name: text.encode("latin-1") for name, text in files.items()}
        for track, files in asked["packages"].items()
    }
    for _, _, judgement in judge_new(claims, asked["judged"], packages.__getitem__):
        if judgement:
            print(json.dumps(judgement), file=said, flush=True)


if __name__ == "__main__":
    main()
