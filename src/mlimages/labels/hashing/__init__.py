"""Logical hashes of a database: what it says, whoever built it in whatever order."""
