-- What tenants with quotas store. A row is made when a quota is first checked, and kept up to date from then on.
CREATE TABLE tenant_usage (
  tenant_id TEXT PRIMARY KEY,
  customer_count INTEGER NOT NULL,
  line_count INTEGER NOT NULL,
  day INTEGER NOT NULL,
  day_line_count INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
