"""Train and validation, each category by its share."""
