"""Proposing a synset for each class of a foreign label space, with the evidence for it."""
