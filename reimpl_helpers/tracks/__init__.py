"""What a model's folder holds."""
