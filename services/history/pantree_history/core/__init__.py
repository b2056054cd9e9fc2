"""What is stored about a household, and the rules of storing, reading and erasing it."""
