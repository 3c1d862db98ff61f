"""Show a facilitator the day in the room: its timetable, how the pairs fare, what is confirmed."""

CONFIRMED = ".confirmed"  # a folder beside the logs, with what was judged of each
