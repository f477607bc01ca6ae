"""Recipes, the order of data, the training loop, checkpoints and inference."""
