-- A merged household keeps its row, which names the household that has its lines.
ALTER TABLE household ADD COLUMN merged_into TEXT;
CREATE INDEX household_merged ON household (tenant_id, merged_into) WHERE merged_into IS NOT NULL;

-- Who merged what, and when.
CREATE TABLE household_merge (
  tenant_id TEXT NOT NULL,
  household_id TEXT NOT NULL,
  merged_into TEXT NOT NULL,
  merged_at INTEGER NOT NULL,
  actor TEXT NOT NULL,
  moved_line_count INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, household_id)
) STRICT, WITHOUT ROWID;
