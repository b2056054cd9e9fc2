-- Offers and subscriptions of households.
CREATE TABLE subscription_offer (
  tenant_id text COLLATE "C" NOT NULL,
  offer_id text COLLATE "C" NOT NULL,
  household_id text COLLATE "C" NOT NULL,
  created_at bigint NOT NULL,
  content text NOT NULL,
  PRIMARY KEY (tenant_id, offer_id)
);
CREATE INDEX subscription_offer_of_household ON subscription_offer (tenant_id, household_id, offer_id);

-- The version of a subscription is the number of its events.
CREATE TABLE subscription (
  tenant_id text COLLATE "C" NOT NULL,
  subscription_id text COLLATE "C" NOT NULL,
  household_id text COLLATE "C" NOT NULL,
  version integer NOT NULL,
  created_at bigint NOT NULL,
  content text NOT NULL,
  PRIMARY KEY (tenant_id, subscription_id)
);
CREATE INDEX subscription_of_household ON subscription (tenant_id, household_id, subscription_id);

-- Deliveries that differ from the schedule, and those that happened.
CREATE TABLE subscription_delivery (
  tenant_id text COLLATE "C" NOT NULL,
  subscription_id text COLLATE "C" NOT NULL,
  sequence integer NOT NULL,
  content text NOT NULL,
  PRIMARY KEY (tenant_id, subscription_id, sequence)
);

-- The events of a subscription, numbered without gaps. They are what receivers get: written with what they describe.
CREATE TABLE subscription_event (
  tenant_id text COLLATE "C" NOT NULL,
  subscription_id text COLLATE "C" NOT NULL,
  number integer NOT NULL,
  occurred_at bigint NOT NULL,
  actor text NOT NULL,
  name text NOT NULL,
  content text NOT NULL,
  PRIMARY KEY (tenant_id, subscription_id, number)
);

-- Requests with an id, and what became of them.
CREATE TABLE subscription_request (
  tenant_id text COLLATE "C" NOT NULL,
  household_id text COLLATE "C" NOT NULL,
  request_id text COLLATE "C" NOT NULL,
  digest text NOT NULL,
  created_at bigint NOT NULL,
  subject_id text NOT NULL,
  event_count integer NOT NULL,
  version integer NOT NULL,
  error_reason text NOT NULL,
  error_message text NOT NULL,
  PRIMARY KEY (tenant_id, household_id, request_id)
);

ALTER TABLE subscription_offer ENABLE ROW LEVEL SECURITY;
ALTER TABLE subscription_offer FORCE ROW LEVEL SECURITY;
CREATE POLICY of_tenant ON subscription_offer
  USING (tenant_id = substr(nullif(current_setting('pantree.tenant', true), ''), 2));
ALTER TABLE subscription ENABLE ROW LEVEL SECURITY;
ALTER TABLE subscription FORCE ROW LEVEL SECURITY;
CREATE POLICY of_tenant ON subscription
  USING (tenant_id = substr(nullif(current_setting('pantree.tenant', true), ''), 2));
ALTER TABLE subscription_delivery ENABLE ROW LEVEL SECURITY;
ALTER TABLE subscription_delivery FORCE ROW LEVEL SECURITY;
CREATE POLICY of_tenant ON subscription_delivery
  USING (tenant_id = substr(nullif(current_setting('pantree.tenant', true), ''), 2));
ALTER TABLE subscription_event ENABLE ROW LEVEL SECURITY;
ALTER TABLE subscription_event FORCE ROW LEVEL SECURITY;
CREATE POLICY of_tenant ON subscription_event
  USING (tenant_id = substr(nullif(current_setting('pantree.tenant', true), ''), 2));
ALTER TABLE subscription_request ENABLE ROW LEVEL SECURITY;
ALTER TABLE subscription_request FORCE ROW LEVEL SECURITY;
CREATE POLICY of_tenant ON subscription_request
  USING (tenant_id = substr(nullif(current_setting('pantree.tenant', true), ''), 2));
GRANT SELECT, INSERT, UPDATE, DELETE ON subscription_offer, subscription, subscription_delivery,
  subscription_event, subscription_request TO pantree_history;
