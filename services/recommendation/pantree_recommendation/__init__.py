"""The recommendation service: recommends which items to subscribe to, and at which cadence."""
