"""What everything stands on: errors, places, files, clocks, limits on what judged code may take."""
