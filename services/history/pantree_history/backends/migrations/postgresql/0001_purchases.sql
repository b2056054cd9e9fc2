-- Receipt lines, one row for each revision. Rows belong to tenants: the role of the service, which owns nothing, sees and
-- writes only rows of the tenant that its transaction names in `pantree.tenant`, as `=` and the tenant id.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'pantree_history') THEN
    CREATE ROLE pantree_history NOLOGIN;
    EXECUTE format('GRANT pantree_history TO %I', current_user);
  END IF;
END
$$;

CREATE TABLE tenant (
  tenant_id text COLLATE "C" PRIMARY KEY
);

CREATE TABLE household (
  household_key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant_id text COLLATE "C" NOT NULL,
  household_id text COLLATE "C" NOT NULL,
  change_number bigint NOT NULL,
  changed_at bigint NOT NULL,
  line_count integer NOT NULL DEFAULT 0,
  UNIQUE (tenant_id, household_id)
);

CREATE TABLE purchase_line (
  tenant_id text COLLATE "C" NOT NULL,
  order_id text COLLATE "C" NOT NULL,
  line_id text COLLATE "C" NOT NULL,
  revision integer NOT NULL,
  household_key bigint NOT NULL REFERENCES household (household_key),
  recorded_at bigint NOT NULL,
  superseded_at bigint,
  occurred_on integer NOT NULL,
  name text NOT NULL,
  category text NOT NULL,
  item_id text NOT NULL,
  variant text NOT NULL,
  quantity integer NOT NULL,
  price double precision,
  saving double precision NOT NULL,
  currency_code text NOT NULL,
  weight double precision,
  weight_unit text NOT NULL,
  returned_order_id text NOT NULL,
  returned_line_id text NOT NULL,
  recommendation_id text NOT NULL,
  PRIMARY KEY (tenant_id, order_id, line_id, revision)
);

CREATE INDEX purchase_line_of_household ON purchase_line (household_key);

-- Numbers of changes, which never go back.
CREATE SEQUENCE change_number;

-- The ledger of erasures, and the last entry that was applied.
CREATE TABLE erasure (
  position bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  digest bytea PRIMARY KEY,
  erased_at bigint NOT NULL,
  consented_at bigint
);
CREATE TABLE applied_ledger (
  position bigint NOT NULL
);
INSERT INTO applied_ledger VALUES (0);

ALTER TABLE household ENABLE ROW LEVEL SECURITY;
ALTER TABLE household FORCE ROW LEVEL SECURITY;
ALTER TABLE purchase_line ENABLE ROW LEVEL SECURITY;
ALTER TABLE purchase_line FORCE ROW LEVEL SECURITY;

-- Without a setting, current_setting is NULL or empty, and no row is visible; the default tenant, which is empty, is `=`.
CREATE POLICY of_tenant ON household
  USING (tenant_id = substr(nullif(current_setting('pantree.tenant', true), ''), 2));
CREATE POLICY of_tenant ON purchase_line
  USING (tenant_id = substr(nullif(current_setting('pantree.tenant', true), ''), 2));

GRANT SELECT, INSERT, UPDATE, DELETE ON tenant, household, purchase_line, erasure, applied_ledger TO pantree_history;
GRANT USAGE ON SEQUENCE change_number TO pantree_history;
