"""Core of the enrichment service: enriches items from the catalog, and checks what a language model adds."""
