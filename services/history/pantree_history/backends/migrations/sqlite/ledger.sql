-- The ledger of erasures, in a file of its own: a restored backup of the purchases must not bring back an older ledger.
CREATE TABLE IF NOT EXISTS ledger.erasure (
  position INTEGER PRIMARY KEY AUTOINCREMENT,
  digest BLOB NOT NULL UNIQUE,
  erased_at INTEGER NOT NULL,
  consented_at INTEGER
) STRICT;
