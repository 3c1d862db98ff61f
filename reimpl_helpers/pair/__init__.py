"""What a pair did and saved: their log, their roles, their package."""
