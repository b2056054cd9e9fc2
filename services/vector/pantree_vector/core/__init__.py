"""Core of the vector service: embeds items, profiles households and finds similar ones."""
