"""Events of subscriptions for receivers outside: signed, in order, at least once."""
