"""The command `reimpl`."""

import argparse
import functools
import os
import sys
from pathlib import Path

from reimpl_helpers.base import quick_start  # noqa: F401


def main(arguments=None) -> int:
    """Run one command; return its exit status.

    0: all right; 1: something is not; 2: a bad call; 130: stopped with Ctrl-C.
    """
    parser = build_parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command is not lab:
        parser.error(f"unknown arguments: {' '.join(rest)}")
    options.rest = rest
    sys.stdout.reconfigure(errors="replace")  # not every terminal knows every character
    try:
        return options.command(options)
    except KeyboardInterrupt:
        return 130
    except refusals() as error:
        print(f"reimpl: {error}", file=sys.stderr)
        return 2


def refusals():
    """List the errors that say all there is to say; imported when one is at hand, and no sooner.

    So `reimpl doctor` runs where NumPy does not.
    """
    from reimpl_helpers.base.errors import WorkbookError
    from reimpl_helpers.originals.recording import RecordingError

    return WorkbookError, RecordingError


def build_parser():
    parser = argparse.ArgumentParser(
        prog="reimpl", description="Re-implement a model from its PyTorch source, in pairs."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(function, help):
        command = commands.add_parser(function.__name__, help=help, description=help)
        command.set_defaults(command=function)
        return command

    shared = add(lab, "copy the notebooks to work/ once, and open JupyterLab there")
    shared.epilog = "What else is given goes to JupyterLab, such as --no-browser or --port=9000."
    shared.add_argument(
        "--pair", metavar="NAMES", default="Person 1,Person 2", help='who you are: "Ada,Grace"'
    )
    shared.add_argument("--solo", action="store_true", help="one person, no shared session")
    shared.add_argument("--share", action="store_true", help="let your local network in")
    examined = add(doctor, "check this machine for what the workbook needs: a line each, and cures")
    examined.epilog = "Exit status: 0 if all is well, 1 if not."
    add(work, "copy the notebooks to work/ where they are not there yet")
    add(update, "bring a newer workbook into work/, and keep all that you wrote")
    add(restore, "put solved pieces back into notebooks in work/ that were damaged")
    judged = add(check, "judge a pair's package, piece by piece, in a fresh process")
    judged.epilog = "Exit status: 0 if every piece is right, 1 if not, 2 for a bad call."
    scored = add(score, "score a pair's tests: which mistakes they catch, and which they miss")
    scored.epilog = "Exit status: 0 if every mistake is caught, 1 if not, 2 for a bad call."
    for command in (judged, scored):
        command.add_argument("folder", metavar="DIR", type=Path, help="such as work/autoencoder")
    exported = add(export, "make a project of its own of your package: tests, README, git")
    exported.add_argument("target", metavar="DIR", type=Path, help="a new folder, outside work/")
    exported.add_argument("--track", metavar="NAME", help="needed if you wrote for several")
    planned = add(plan, "make the timetable of a workshop, or set it beside what pairs took")
    planned.epilog = (
        "Without --until, the day is as long as the track takes. What finds no room is left out, "
        "and named."
    )
    planned.add_argument("track", metavar="TRACK", help="such as autoencoder")
    planned.add_argument("--start", metavar="TIME", help="when it begins: 09:30 (else 09:00)")
    planned.add_argument("--until", metavar="TIME", help="when it ends: 12:30")
    planned.add_argument(
        "--from", dest="first", metavar="N", type=int, help="the notebook this day begins with: 3"
    )
    planned.add_argument(
        "--logs", metavar="DIR", type=Path, help="the pairs' logs, to correct the minutes by"
    )
    shown = add(board, "show how the pairs fare: who waits, who is where, commonest mistakes")
    shown.epilog = "Exit status of --confirm: 0 if every claim is right, 1 if not."
    shown.add_argument("folder", metavar="DIR", type=Path, help="the pairs' logs, or one work/")
    ways = shown.add_mutually_exclusive_group()
    ways.add_argument("--text", action="store_true", help="print it, instead of a page")
    ways.add_argument("--csv", action="store_true", help="print a row for each pair and piece")
    ways.add_argument("--charts", metavar="DIR", type=Path, help="draw the day, into a folder")
    ways.add_argument(
        "--confirm", action="store_true", help="judge again what is called right; runs it, as you"
    )
    shown.add_argument("--hide-names", action="store_true", help="for a projector")
    shown.add_argument("--port", type=int, default=0, help="of the page; a free one if none given")
    shown.add_argument("--no-browser", action="store_true", help="print the page's link alone")
    many = add(hub, "serve many pairs on this machine, as a roster says")
    many.add_argument("roster", metavar="ROSTER", type=Path, help="a table: name,pair")
    many.add_argument("--share", action="store_true", help="let your local network in")
    many.add_argument(
        "--trusted", action="store_true", help="go on, though nothing keeps pairs apart"
    )
    many.add_argument("--port", type=int, default=8000, help="8000 if none is given")
    add(solved, "run the notebooks and build the solved ones (for authors)")
    add(guide, "build the facilitators' guide from notebooks and planted bugs (for authors)")
    track = add(record, "record what an original computes (for authors; needs PyTorch)")
    track.add_argument("tracks", metavar="TRACK", nargs="*", help="all of them if none is named")
    told = add(dev, "say what is wrong with a track, or missing in it (for authors)")
    told.epilog = "Exit status: 0 if nothing is, 1 if something is, 2 for a bad call."
    told.add_argument("what", choices=["check"], help="what to do with it")
    told.add_argument("track", metavar="TRACK", help="a folder in notebooks/, such as gnn")
    return parser


def work(options) -> int:
    """Copy the notebooks to the pair's folder; what is there stays as it is."""
    from reimpl_helpers.base.places import work_folder
    from reimpl_helpers.lab.copies import copy_work

    copied = copy_work()
    what = f"{len(copied)} copied; what was there is untouched" if copied else "nothing to copy"
    print(f"{work_folder()}: {what}.")
    return 0


def update(options) -> int:
    """Bring a newer workbook into the pair's folder, cell by cell; what they wrote stays."""
    from reimpl_helpers.lab.copies import update_work

    lines, all_looked_at = update_work()
    print(*lines, sep="\n")
    return 0 if all_looked_at else 1


def restore(options) -> int:
    """Put every solved piece back into notebooks of the pair's that lost it."""
    from reimpl_helpers.lab.copies import restore_work

    lines = restore_work()
    print(*lines, sep="\n")
    return 0


def lab(options) -> int:
    """Copy the notebooks, then serve the pair's folder, and nothing else, on this machine."""
    from reimpl_helpers.base.places import work_folder
    from reimpl_helpers.lab.serve import Person, people_of, serve

    people = [Person("You", 0)] if options.solo else people_of(options.pair)
    work(options)
    serve(work_folder(), people, options.share, options.rest)
    return 0


def doctor(options) -> int:
    """Check this machine for what the workbook needs, and print a line each."""
    from reimpl_helpers.doctor.report import main

    return main()


def hub(options) -> int:
    """Serve many pairs on this machine: a server for each, which its people alone may enter."""
    from reimpl_helpers.hub.start import start_hub

    start_hub(options.roster, options.share, options.trusted, options.port)
    return 0


def check(options) -> int:
    """Judge a pair's package, its code in a process of its own, and print a line per piece."""
    from reimpl_helpers.judge.client import judge_package

    store, right = package_in(options.folder), []

    for verdict in judge_package(store):
        right.append(verdict.right)
        print(verdict if verdict.right else repr(verdict), flush=True)
    count = sum(piece.module is not None for piece in store.track.pieces)
    print(f"{sum(right)} of {count} pieces right.")
    return 0 if sum(right) == count else 1


def score(options) -> int:
    """Score a pair's tests in a process of its own, and print what they catch and miss."""
    from reimpl_helpers.judge.client import score_package

    reply = score_package(package_in(options.folder))
    print(reply["score"])
    return 0 if reply["all_caught"] else 1


def export(options) -> int:
    """Make a project of its own of a pair's package, and say what it is."""
    from reimpl_helpers.export.project import export_package

    say = functools.partial(print, flush=True)
    return 0 if export_package(options.target, options.track, say) else 1


def plan(options) -> int:
    """Print a timetable, or the minutes that were planned beside those that pairs took."""
    from reimpl_helpers.base.errors import WorkbookError
    from reimpl_helpers.board.logs import logs_in
    from reimpl_helpers.board.plan import compare, minute_of, plan_day

    times = [options.start, options.until]
    if options.logs and any(given is not None for given in (*times, options.first)):
        raise WorkbookError(
            "--logs compares a whole track with what pairs took. Give it without --start, --until "
            "and --from."
        )
    if options.logs:
        print(compare(options.track, logs_in(options.logs)))
        return 0
    start, until = (None if time is None else minute_of(time) for time in times)
    print(plan_day(options.track, start, until, 1 if options.first is None else options.first))
    return 0


def board(options) -> int:
    """Show the board: as a page that follows the pairs, as text, a table, or pictures."""
    from datetime import UTC, datetime

    from reimpl_helpers.board.confirm import confirm, confirmed_in
    from reimpl_helpers.board.facts import facts_of
    from reimpl_helpers.board.logs import logs_in

    folder, hidden = options.folder, options.hide_names
    if options.confirm:
        return 0 if confirm(folder, functools.partial(print, flush=True), hidden) else 1
    if not (options.text or options.csv or options.charts):
        from reimpl_helpers.board.page import serve_board

        serve_board(folder, options.port, hidden, not options.no_browser)
        return 0
    facts = facts_of(logs_in(folder), confirmed_in(folder), datetime.now(UTC), hidden)
    if options.charts:
        from reimpl_helpers.board.charts import write_charts

        print(*write_charts(facts, options.charts), sep="\n")
    else:
        from reimpl_helpers.board.text import board_as_text, csv_of

        print(csv_of(facts) if options.csv else board_as_text(facts))
    return 0


def package_in(folder):
    """Open the package in a pair's folder.

    Raises: WorkbookError when it is no folder, or of no track.
    """
    from reimpl_helpers.base.compiling import COMPILATION
    from reimpl_helpers.base.errors import WorkbookError
    from reimpl_helpers.pair.store import Store, track_of
    from reimpl_helpers.tracks.track import Track

    os.environ.update({**COMPILATION, **os.environ})
    if not folder.is_dir():
        raise WorkbookError(
            f"{folder} is no folder. Name the one that holds your model.py, such as "
            "work/autoencoder."
        )
    return Store(Track.at_end(track_of(folder)), folder.resolve())


def solved(options) -> int:
    """Run the notebooks and build the solved ones."""
    from reimpl_helpers.authoring.solved import refresh

    for path in refresh():
        print(path)
    return 0


def guide(options) -> int:
    """Build the facilitators' guide and the lists of models anew, from what the tracks hold."""
    from reimpl_helpers.authoring.catalogue import write_catalogue
    from reimpl_helpers.authoring.guide import write_guide

    for path in write_guide() + write_catalogue():
        print(path)
    return 0


def dev(options) -> int:
    """Say what is wrong with a track, as it is found."""
    from reimpl_helpers.authoring.check_track import faults_of
    from reimpl_helpers.base.words import plural

    count = 0
    for fault in faults_of(options.track):
        print(fault, flush=True)
        count += 1
    print(f"{options.track}: {plural(count, 'fault') if count else 'no fault'}.")
    return 1 if count else 0


def record(options) -> int:
    """Record the originals."""
    from reimpl_helpers.base.places import NOTEBOOKS
    from reimpl_helpers.originals.recording import write_recording
    from reimpl_helpers.tracks.track import load_file, refuse_no_track, tracks

    refuse_no_track(*options.tracks)
    for name in options.tracks or tracks():
        path = NOTEBOOKS / name / "recording.safetensors"
        write_recording(load_file(NOTEBOOKS / name / "record.py").record(), path)
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
