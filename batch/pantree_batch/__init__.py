"""Every household of a retailer, from table to table, on one machine or on a cluster."""
