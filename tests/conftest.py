"""What holds for all tests."""

from hypothesis import settings

# Machines differ in speed, and the first call of a compiled loop takes a second: no test fails by the clock.
settings.register_profile("pantree", deadline=None)
settings.load_profile("pantree")
