"""What looks wrong in tags: contradictions, improbable pairs, label noise."""
