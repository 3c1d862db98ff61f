"""A pair's own tests: run, judged blind, and held against mistakes."""
