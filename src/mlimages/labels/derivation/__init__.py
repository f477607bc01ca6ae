"""From facts to tags: ancestors, co-occurrence, and the reasons of each tag."""
