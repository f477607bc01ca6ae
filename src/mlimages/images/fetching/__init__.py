"""Fetching images by their addresses: courteous to hosts, safe from them, resumable."""
