"""What an original computes: recorded once, read by every check."""
