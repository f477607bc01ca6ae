"""Carrying a learned representation to other tasks, one file a protocol."""
