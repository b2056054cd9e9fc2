"""Data sets, evaluation protocols, fitting recipes, experiments and reports; not part of the wheel."""
