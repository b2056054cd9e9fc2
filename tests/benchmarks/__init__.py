"""Measurements against baselines, run by `make bench`. No timed tests: a ratio is printed, never asserted.

A benchmark is a module `b<number>_<what>.py` with a function `measure() -> list[Measurement]`. It runs the work and its
baseline in turn, on the same data and the same threads, so that the ratio says something on any machine.
"""
