-- +goose Up
PRAGMA application_id = 0x53494741;

CREATE TABLE entries (
  number     INTEGER PRIMARY KEY,
  type       TEXT NOT NULL,
  at_ms      INTEGER NOT NULL,
  partner    TEXT NOT NULL,
  head       BLOB NOT NULL,
  payload    BLOB,
  salt       BLOB,
  seal       BLOB NOT NULL,
  commitment BLOB NOT NULL
) STRICT;
CREATE INDEX entries_type ON entries (type, number);
CREATE INDEX entries_partner ON entries (partner, number) WHERE partner <> '';

-- Which entries are about which objects; a copy of what the head says.
CREATE TABLE entry_about (
  kind   TEXT NOT NULL,
  id     TEXT NOT NULL,
  number INTEGER NOT NULL REFERENCES entries (number),
  PRIMARY KEY (kind, id, number)
) STRICT, WITHOUT ROWID;

-- Hashes of the Merkle tree by stored hash index (golang.org/x/mod/sumdb/tlog).
CREATE TABLE tree_hashes (
  idx  INTEGER PRIMARY KEY,
  hash BLOB NOT NULL
) STRICT;

CREATE TABLE checkpoint (
  id   INTEGER PRIMARY KEY CHECK (id = 1),
  size INTEGER NOT NULL,
  note BLOB NOT NULL
) STRICT;

-- Empty keys are NULL, so that the partial indexes stay small.
CREATE TABLE objects (
  kind    TEXT NOT NULL,
  id      TEXT NOT NULL,
  version INTEGER NOT NULL,
  doc     BLOB NOT NULL,
  state   TEXT,
  partner TEXT,
  parent  TEXT,
  uniq    TEXT,
  sort    TEXT NOT NULL,
  text    TEXT,
  due_ms  INTEGER,
  PRIMARY KEY (kind, id)
) STRICT;
CREATE INDEX objects_sort ON objects (kind, sort, id);
CREATE INDEX objects_state ON objects (kind, state, sort, id) WHERE state IS NOT NULL;
CREATE INDEX objects_partner ON objects (kind, partner, sort, id) WHERE partner IS NOT NULL;
CREATE INDEX objects_parent ON objects (kind, parent, sort, id) WHERE parent IS NOT NULL;
CREATE INDEX objects_uniq ON objects (kind, uniq) WHERE uniq IS NOT NULL;
CREATE INDEX objects_due ON objects (kind, due_ms, id) WHERE due_ms IS NOT NULL;

CREATE TABLE private (
  kind       TEXT NOT NULL,
  id         TEXT NOT NULL,
  owner      TEXT NOT NULL,
  doc        BLOB NOT NULL,
  expires_ms INTEGER,
  PRIMARY KEY (kind, id)
) STRICT;
CREATE INDEX private_owner ON private (kind, owner, id);
CREATE INDEX private_expires ON private (expires_ms) WHERE expires_ms IS NOT NULL;

CREATE TABLE counters (
  name  TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE feed (
  chain TEXT NOT NULL,
  seq   INTEGER NOT NULL,
  entry INTEGER NOT NULL,
  op    BLOB NOT NULL,
  PRIMARY KEY (chain, seq)
) STRICT, WITHOUT ROWID;
