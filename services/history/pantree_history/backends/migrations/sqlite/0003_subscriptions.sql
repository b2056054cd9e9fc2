-- Offers and subscriptions of households.
CREATE TABLE subscription_offer (
  tenant_id TEXT NOT NULL,
  offer_id TEXT NOT NULL,
  household_id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  content TEXT NOT NULL,
  PRIMARY KEY (tenant_id, offer_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX subscription_offer_of_household ON subscription_offer (tenant_id, household_id, offer_id);

-- The version of a subscription is the number of its events.
CREATE TABLE subscription (
  tenant_id TEXT NOT NULL,
  subscription_id TEXT NOT NULL,
  household_id TEXT NOT NULL,
  version INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  content TEXT NOT NULL,
  PRIMARY KEY (tenant_id, subscription_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX subscription_of_household ON subscription (tenant_id, household_id, subscription_id);

-- Deliveries that differ from the schedule, and those that happened.
CREATE TABLE subscription_delivery (
  tenant_id TEXT NOT NULL,
  subscription_id TEXT NOT NULL,
  sequence INTEGER NOT NULL,
  content TEXT NOT NULL,
  PRIMARY KEY (tenant_id, subscription_id, sequence)
) STRICT, WITHOUT ROWID;

-- The events of a subscription, numbered without gaps. They are what receivers get: written with what they describe.
CREATE TABLE subscription_event (
  tenant_id TEXT NOT NULL,
  subscription_id TEXT NOT NULL,
  number INTEGER NOT NULL,
  occurred_at INTEGER NOT NULL,
  actor TEXT NOT NULL,
  name TEXT NOT NULL,
  content TEXT NOT NULL,
  PRIMARY KEY (tenant_id, subscription_id, number)
) STRICT, WITHOUT ROWID;

-- Requests with an id, and what became of them.
CREATE TABLE subscription_request (
  tenant_id TEXT NOT NULL,
  household_id TEXT NOT NULL,
  request_id TEXT NOT NULL,
  digest TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  subject_id TEXT NOT NULL,
  event_count INTEGER NOT NULL,
  version INTEGER NOT NULL,
  error_reason TEXT NOT NULL,
  error_message TEXT NOT NULL,
  PRIMARY KEY (tenant_id, household_id, request_id)
) STRICT, WITHOUT ROWID;
