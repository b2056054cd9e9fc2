"""Measures the recommendations and forecasts on the purchases of real households (`make quality`)."""
