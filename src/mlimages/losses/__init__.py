"""Losses on sparse multi-label targets, one family a file."""
