"""Core of the enrichment service: enriches items from the catalog, and checks answers of a language model."""
