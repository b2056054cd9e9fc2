-- How far imports with an id have come.
CREATE TABLE import_progress (
  tenant_id text COLLATE "C" NOT NULL,
  import_id text COLLATE "C" NOT NULL,
  next_row integer NOT NULL,
  recorded_at bigint NOT NULL,
  PRIMARY KEY (tenant_id, import_id)
);
ALTER TABLE import_progress ENABLE ROW LEVEL SECURITY;
ALTER TABLE import_progress FORCE ROW LEVEL SECURITY;
CREATE POLICY of_tenant ON import_progress
  USING (tenant_id = substr(nullif(current_setting('pantree.tenant', true), ''), 2));
GRANT SELECT, INSERT, UPDATE, DELETE ON import_progress TO pantree_history;

-- Finds what changed since, in the order of transactions: numbers of a sequence may be committed in another order.
ALTER TABLE household ADD COLUMN changed_by xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX household_change ON household (tenant_id, changed_by, household_key);
