"""The subscription service, which this part serves next to the history service."""
