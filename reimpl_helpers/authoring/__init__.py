"""What is built from a track: solved notebooks, the guide, the lists of models."""
