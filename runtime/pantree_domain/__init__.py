"""Definitions that all parts share: purchase, item key, cadence, money, catalog. Free of transport."""
