"""Taking readings in: images found again or new, facts added, nothing counted twice."""
