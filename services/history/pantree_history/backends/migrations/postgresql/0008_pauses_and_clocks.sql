-- Pauses of all subscriptions of a household, for those that begin later.
CREATE TABLE subscription_pause (
  tenant_id text COLLATE "C" NOT NULL,
  household_id text COLLATE "C" NOT NULL,
  created_at bigint NOT NULL,
  until_day integer,
  PRIMARY KEY (tenant_id, household_id)
);

-- What a request for all subscriptions of a household did to each: JSON.
ALTER TABLE subscription_request ADD COLUMN parts text NOT NULL DEFAULT '[]';

-- The time of test tenants, in microseconds since 1970-01-01 in UTC.
CREATE TABLE tenant_clock (
  tenant_id text COLLATE "C" PRIMARY KEY,
  now bigint NOT NULL
);

ALTER TABLE subscription_pause ENABLE ROW LEVEL SECURITY;
ALTER TABLE subscription_pause FORCE ROW LEVEL SECURITY;
CREATE POLICY of_tenant ON subscription_pause
  USING (tenant_id = substr(nullif(current_setting('pantree.tenant', true), ''), 2));
ALTER TABLE tenant_clock ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenant_clock FORCE ROW LEVEL SECURITY;
CREATE POLICY of_tenant ON tenant_clock
  USING (tenant_id = substr(nullif(current_setting('pantree.tenant', true), ''), 2));
GRANT SELECT, INSERT, UPDATE, DELETE ON subscription_pause, tenant_clock TO pantree_history;
