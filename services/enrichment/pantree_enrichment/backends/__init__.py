"""Language models and caches of their answers, one file each. The rules are knowledge and live in the core."""
