"""The enrichment service: what is this item, and what goes with it?"""
