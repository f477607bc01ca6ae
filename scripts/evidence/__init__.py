"""What the paper's claims come to on small real photos; see `__main__.py`."""
