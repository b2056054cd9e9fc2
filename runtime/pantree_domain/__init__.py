"""What all parts mean by a purchase, a category and a cadence. No transport, no I/O beyond its own data files."""
