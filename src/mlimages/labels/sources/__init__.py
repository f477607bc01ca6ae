"""One file a foreign annotation format; each reads it into facts."""
