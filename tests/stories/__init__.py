"""Household stories: small histories with the answer that an experienced grocer expects."""
