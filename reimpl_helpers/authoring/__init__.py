"""What is built from a track, and what is wrong with one: solved notebooks, guide, lists."""
