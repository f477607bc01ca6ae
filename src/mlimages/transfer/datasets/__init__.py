"""Data of the transfer benchmarks, and of users: readers that check everything before a run."""
