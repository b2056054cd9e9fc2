"""How much a request may hold. The contract states the same figures in its comments."""

MAX_NAME_CHARACTERS = 200
MAX_ID_CHARACTERS = 128
MAX_BASKET_ITEMS = 100
MAX_HISTORY_ROWS = 20_000
MAX_HISTORY_LINES = 100_000
# So that what is said of every item still fits one message of 4 MiB, were each name as long as it may be.
MAX_HISTORY_ITEMS = 8_000
MAX_PRICE = 1_000_000.0
MAX_QUANTITY = 10_000
MAX_SIMULATION_MONTHS = 60
DEFAULT_SIMULATION_MONTHS = 6
MAX_RECOMMENDATIONS = 100
DEFAULT_RECOMMENDATIONS = 20
