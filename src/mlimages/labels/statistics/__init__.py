"""The paper's table and figures, long-tail measures, and pairs of tags."""
