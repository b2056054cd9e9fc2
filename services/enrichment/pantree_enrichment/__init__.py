"""The enrichment service: categorizes items, and finds related ones."""
