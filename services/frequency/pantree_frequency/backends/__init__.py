"""Where fitted models come from."""
