"""What sources say about images (facts), and the tags derived from it."""
