"""Subscriptions of households: their states, the commands that change them, and the events that record the changes."""
