"""The frequency service: how regularly each item is bought, when it is due, and with what confidence."""
