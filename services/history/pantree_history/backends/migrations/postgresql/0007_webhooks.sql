-- URLs that get the events of subscriptions. Secrets are derived from their salts and the key of the service.
CREATE TABLE webhook (
  tenant_id text COLLATE "C" NOT NULL,
  webhook_id text COLLATE "C" NOT NULL,
  url text NOT NULL,
  description text NOT NULL,
  created_at bigint NOT NULL,
  secrets text NOT NULL,
  PRIMARY KEY (tenant_id, webhook_id)
);

-- How far a webhook is: with the events of a subscription, or with the erasure of a customer. A row is written in the
-- transaction that stores the events.
CREATE TABLE webhook_cursor (
  tenant_id text COLLATE "C" NOT NULL,
  webhook_id text COLLATE "C" NOT NULL,
  kind text COLLATE "C" NOT NULL,
  subject_id text COLLATE "C" NOT NULL,
  delivered bigint NOT NULL,
  latest bigint NOT NULL,
  waiting_since bigint NOT NULL,
  due_at bigint NOT NULL,
  attempts integer NOT NULL DEFAULT 0,
  error text NOT NULL DEFAULT '',
  failed_at bigint NOT NULL DEFAULT 0,
  dead integer NOT NULL DEFAULT 0,
  lease_owner text NOT NULL DEFAULT '',
  lease_until bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant_id, webhook_id, kind, subject_id)
);
CREATE INDEX webhook_cursor_waiting ON webhook_cursor (tenant_id, webhook_id, due_at) WHERE latest > delivered;

-- Whose webhooks the service looks for.
ALTER TABLE tenant ADD COLUMN has_webhooks boolean NOT NULL DEFAULT false;

ALTER TABLE webhook ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhook FORCE ROW LEVEL SECURITY;
CREATE POLICY of_tenant ON webhook
  USING (tenant_id = substr(nullif(current_setting('pantree.tenant', true), ''), 2));
ALTER TABLE webhook_cursor ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhook_cursor FORCE ROW LEVEL SECURITY;
CREATE POLICY of_tenant ON webhook_cursor
  USING (tenant_id = substr(nullif(current_setting('pantree.tenant', true), ''), 2));
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook, webhook_cursor TO pantree_history;
