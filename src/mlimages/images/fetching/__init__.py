"""Fetching images by URL: safe towards this machine, courteous towards the hosts."""
