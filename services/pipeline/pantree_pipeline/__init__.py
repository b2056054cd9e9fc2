"""The pipeline service: turns a first purchase or a real history into subscription recommendations."""
