"""WordNet synsets, the categories of a database, their hierarchies, and foreign label spaces."""
