"""Checkpoints and model formats, in and out."""
