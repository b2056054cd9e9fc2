"""The rules of recommendations: which items are eligible, at which cadence, and what a subscription saves."""
