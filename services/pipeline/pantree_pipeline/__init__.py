"""The pipeline service: from a first purchase, or a real history, to subscription recommendations."""
