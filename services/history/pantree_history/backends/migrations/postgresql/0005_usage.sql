-- What tenants with quotas store. A row is made when a quota is first checked, and kept up to date from then on.
CREATE TABLE tenant_usage (
  tenant_id text COLLATE "C" PRIMARY KEY,
  customer_count bigint NOT NULL,
  line_count bigint NOT NULL,
  day integer NOT NULL,
  day_line_count bigint NOT NULL
);
ALTER TABLE tenant_usage ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenant_usage FORCE ROW LEVEL SECURITY;
CREATE POLICY of_tenant ON tenant_usage
  USING (tenant_id = substr(nullif(current_setting('pantree.tenant', true), ''), 2));
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_usage TO pantree_history;
