-- A merged household keeps its row, which names the household that has its lines. The version before this one knows
-- nothing of it, so households are merged once all services are of this version.
ALTER TABLE household ADD COLUMN merged_into text COLLATE "C";
CREATE INDEX household_merged ON household (tenant_id, merged_into) WHERE merged_into IS NOT NULL;

-- Who merged what, and when.
CREATE TABLE household_merge (
  tenant_id text COLLATE "C" NOT NULL,
  household_id text COLLATE "C" NOT NULL,
  merged_into text COLLATE "C" NOT NULL,
  merged_at bigint NOT NULL,
  actor text NOT NULL,
  moved_line_count integer NOT NULL,
  PRIMARY KEY (tenant_id, household_id)
);
ALTER TABLE household_merge ENABLE ROW LEVEL SECURITY;
ALTER TABLE household_merge FORCE ROW LEVEL SECURITY;
CREATE POLICY of_tenant ON household_merge
  USING (tenant_id = substr(nullif(current_setting('pantree.tenant', true), ''), 2));
GRANT SELECT, INSERT, UPDATE, DELETE ON household_merge TO pantree_history;
