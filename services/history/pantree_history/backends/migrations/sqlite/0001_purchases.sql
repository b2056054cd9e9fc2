-- Receipt lines, one row for each revision. Text compares by code points, which is SQLite's default.
CREATE TABLE household (
  household_key INTEGER PRIMARY KEY,
  tenant_id TEXT NOT NULL,
  household_id TEXT NOT NULL,
  change_number INTEGER NOT NULL,
  changed_at INTEGER NOT NULL,
  line_count INTEGER NOT NULL DEFAULT 0,
  UNIQUE (tenant_id, household_id)
) STRICT;

-- The lines of a household lie next to each other.
CREATE TABLE purchase_line (
  household_key INTEGER NOT NULL REFERENCES household (household_key),
  order_id TEXT NOT NULL,
  line_id TEXT NOT NULL,
  revision INTEGER NOT NULL,
  tenant_id TEXT NOT NULL,
  recorded_at INTEGER NOT NULL,
  superseded_at INTEGER,
  occurred_on INTEGER NOT NULL,
  name TEXT NOT NULL,
  category TEXT NOT NULL,
  item_id TEXT NOT NULL,
  variant TEXT NOT NULL,
  quantity INTEGER NOT NULL,
  price REAL,
  saving REAL NOT NULL,
  currency_code TEXT NOT NULL,
  weight REAL,
  weight_unit TEXT NOT NULL,
  returned_order_id TEXT NOT NULL,
  returned_line_id TEXT NOT NULL,
  recommendation_id TEXT NOT NULL,
  PRIMARY KEY (household_key, order_id, line_id, revision)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX purchase_line_key ON purchase_line (tenant_id, order_id, line_id, revision);

-- The latest change number, which never goes back when households are erased, and the position in the ledger.
CREATE TABLE counter (
  name TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counter (name, value) VALUES ('change_number', 0), ('ledger_position', 0);
