"""Language models that know about items. The rules are knowledge, and live in the core."""
