"""What everything stands on: errors, places, files, limits of time and memory."""
