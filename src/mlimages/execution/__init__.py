"""Running one function over many tasks: here, in processes of this machine, or on Ray."""
