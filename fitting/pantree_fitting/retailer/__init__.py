"""Fits and evaluates all models on any retailer's purchases: `pantree fit` and `pantree evaluate`."""
