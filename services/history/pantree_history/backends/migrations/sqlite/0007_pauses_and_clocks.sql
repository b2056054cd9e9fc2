-- Pauses of all subscriptions of a household, for those that begin later.
CREATE TABLE subscription_pause (
  tenant_id TEXT NOT NULL,
  household_id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  until_day INTEGER,
  PRIMARY KEY (tenant_id, household_id)
) STRICT, WITHOUT ROWID;

-- What a request for all subscriptions of a household did to each: JSON.
ALTER TABLE subscription_request ADD COLUMN parts TEXT NOT NULL DEFAULT '[]';

-- The time of test tenants, in microseconds since 1970-01-01 in UTC.
CREATE TABLE tenant_clock (
  tenant_id TEXT PRIMARY KEY,
  now INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
