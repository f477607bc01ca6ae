"""Multi-label metrics."""
