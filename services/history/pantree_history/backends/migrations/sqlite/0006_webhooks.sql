-- URLs that get the events of subscriptions. Secrets are derived from their salts and the key of the service.
CREATE TABLE webhook (
  tenant_id TEXT NOT NULL,
  webhook_id TEXT NOT NULL,
  url TEXT NOT NULL,
  description TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  secrets TEXT NOT NULL,
  PRIMARY KEY (tenant_id, webhook_id)
) STRICT, WITHOUT ROWID;

-- How far a webhook is: with the events of a subscription, or with the erasure of a customer. A row is written in the
-- transaction that stores the events.
CREATE TABLE webhook_cursor (
  tenant_id TEXT NOT NULL,
  webhook_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  subject_id TEXT NOT NULL,
  delivered INTEGER NOT NULL,
  latest INTEGER NOT NULL,
  waiting_since INTEGER NOT NULL,
  due_at INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  error TEXT NOT NULL DEFAULT '',
  failed_at INTEGER NOT NULL DEFAULT 0,
  dead INTEGER NOT NULL DEFAULT 0,
  lease_owner TEXT NOT NULL DEFAULT '',
  lease_until INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant_id, webhook_id, kind, subject_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX webhook_cursor_waiting ON webhook_cursor (tenant_id, webhook_id, due_at) WHERE latest > delivered;
