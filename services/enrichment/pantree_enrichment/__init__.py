"""The enrichment service: what is this item, and which items go with it?"""
