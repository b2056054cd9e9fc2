"""Engines: what runs the buckets of a table. They differ in where buckets run, and in nothing that a reader sees."""
