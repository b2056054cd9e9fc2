-- How far imports with an id have come.
CREATE TABLE import_progress (
  tenant_id TEXT NOT NULL,
  import_id TEXT NOT NULL,
  next_row INTEGER NOT NULL,
  recorded_at INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, import_id)
) STRICT, WITHOUT ROWID;

-- Finds what changed since.
CREATE INDEX household_change ON household (tenant_id, change_number, household_key);
