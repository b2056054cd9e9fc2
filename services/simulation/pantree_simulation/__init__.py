"""The simulation service: simulates what shoppers buy over several months."""
