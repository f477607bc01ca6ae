"""Measures of multi-label predictions; NumPy only."""
