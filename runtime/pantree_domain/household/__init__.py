"""A household as a whole: the needs behind the names, what it lately paid, and when it was away."""
