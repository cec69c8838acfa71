-- A few tables for every resource type there is or will be. Documents are JSON; what is searched by is a column.
CREATE TABLE IF NOT EXISTS resources (
  key TEXT PRIMARY KEY, type TEXT NOT NULL, version INTEGER NOT NULL, doc TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS resources_type ON resources (type, key);
CREATE TABLE IF NOT EXISTS operations (
  id TEXT PRIMARY KEY, key TEXT NOT NULL, open INTEGER NOT NULL, doc TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS operations_open ON operations (key) WHERE open = 1;
CREATE TABLE IF NOT EXISTS refs (
  source TEXT NOT NULL, path TEXT NOT NULL, target TEXT NOT NULL, blocking INTEGER NOT NULL,
  PRIMARY KEY (source, path)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS refs_target ON refs (target);
CREATE TABLE IF NOT EXISTS claims (
  pool TEXT NOT NULL, value TEXT NOT NULL, owner TEXT NOT NULL, PRIMARY KEY (pool, value)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS claims_owner ON claims (owner);
-- A desire's generation is the feed position it was last changed at.
CREATE TABLE IF NOT EXISTS desires (
  domain TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, owner TEXT NOT NULL, sequence INTEGER NOT NULL,
  generation INTEGER NOT NULL, removed INTEGER NOT NULL, payload TEXT NOT NULL, secrets TEXT NOT NULL,
  reported INTEGER NOT NULL DEFAULT 0, state TEXT NOT NULL DEFAULT 'Pending', answer TEXT NOT NULL DEFAULT '{}',
  PRIMARY KEY (domain, kind, key)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS desires_owner ON desires (owner);
CREATE INDEX IF NOT EXISTS desires_feed ON desires (domain, sequence);
CREATE TABLE IF NOT EXISTS feed (
  sequence INTEGER PRIMARY KEY, what TEXT NOT NULL, key TEXT NOT NULL, domain TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS documents (
  name TEXT PRIMARY KEY, version INTEGER NOT NULL, content TEXT NOT NULL) WITHOUT ROWID;
-- The activity log, in the order it is read in. `doc` holds the whole event; nothing but trimming ever changes a row.
CREATE TABLE IF NOT EXISTS events (
  subscription TEXT NOT NULL, time TEXT NOT NULL, id TEXT NOT NULL, doc TEXT NOT NULL,
  PRIMARY KEY (subscription, time, id)) WITHOUT ROWID;
-- Generations were once counted here; the positions they are now are greater than any of those.
DROP TABLE IF EXISTS generations;
