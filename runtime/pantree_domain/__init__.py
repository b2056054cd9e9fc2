"""Definitions shared by all parts: purchases, item keys, cadences, money, catalog. Independent of any transport."""
