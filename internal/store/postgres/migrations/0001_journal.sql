-- +goose Up

-- Every update locks this row first, so updates are serialised over all nodes.
CREATE TABLE journal_head (
  id      INT PRIMARY KEY CHECK (id = 1),
  commits BIGINT NOT NULL
);
INSERT INTO journal_head (id, commits) VALUES (1, 0);

-- The last batch that each node committed, so that one whose connection broke
-- during a commit learns whether it took place.
CREATE TABLE journal_nodes (
  id    BYTEA PRIMARY KEY,
  batch BIGINT NOT NULL,
  at    TIMESTAMPTZ NOT NULL
);

CREATE TABLE entries (
  number     BIGINT PRIMARY KEY,
  type       TEXT COLLATE "C" NOT NULL,
  at_ms      BIGINT NOT NULL,
  partner    TEXT COLLATE "C" NOT NULL,
  head       BYTEA NOT NULL,
  payload    BYTEA,
  salt       BYTEA,
  seal       BYTEA NOT NULL,
  commitment BYTEA NOT NULL
);
CREATE INDEX entries_type ON entries (type, number);
CREATE INDEX entries_partner ON entries (partner, number) WHERE partner <> '';

-- Which entries are about which objects; a copy of what the head says.
CREATE TABLE entry_about (
  kind   TEXT COLLATE "C" NOT NULL,
  id     TEXT COLLATE "C" NOT NULL,
  number BIGINT NOT NULL REFERENCES entries (number),
  PRIMARY KEY (kind, id, number)
);

-- Hashes of the Merkle tree by stored hash index (golang.org/x/mod/sumdb/tlog).
CREATE TABLE tree_hashes (
  idx  BIGINT PRIMARY KEY,
  hash BYTEA NOT NULL
);

CREATE TABLE checkpoint (
  id   INT PRIMARY KEY CHECK (id = 1),
  size BIGINT NOT NULL,
  note BYTEA NOT NULL
);

-- Empty keys are NULL, so that the partial indexes stay small.
CREATE TABLE objects (
  kind    TEXT COLLATE "C" NOT NULL,
  id      TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  doc     BYTEA NOT NULL,
  state   TEXT COLLATE "C",
  partner TEXT COLLATE "C",
  parent  TEXT COLLATE "C",
  uniq    TEXT COLLATE "C",
  sort    TEXT COLLATE "C" NOT NULL,
  text    TEXT COLLATE "C",
  due_ms  BIGINT,
  PRIMARY KEY (kind, id)
);
CREATE INDEX objects_sort ON objects (kind, sort, id);
CREATE INDEX objects_state ON objects (kind, state, sort, id) WHERE state IS NOT NULL;
CREATE INDEX objects_partner ON objects (kind, partner, sort, id) WHERE partner IS NOT NULL;
CREATE INDEX objects_parent ON objects (kind, parent, sort, id) WHERE parent IS NOT NULL;
CREATE INDEX objects_uniq ON objects (kind, uniq) WHERE uniq IS NOT NULL;
CREATE INDEX objects_due ON objects (kind, due_ms, id) WHERE due_ms IS NOT NULL;

CREATE TABLE private (
  kind       TEXT COLLATE "C" NOT NULL,
  id         TEXT COLLATE "C" NOT NULL,
  owner      TEXT COLLATE "C" NOT NULL,
  doc        BYTEA NOT NULL,
  expires_ms BIGINT,
  PRIMARY KEY (kind, id)
);
CREATE INDEX private_owner ON private (kind, owner, id);
CREATE INDEX private_expires ON private (expires_ms) WHERE expires_ms IS NOT NULL;

CREATE TABLE counters (
  name  TEXT COLLATE "C" PRIMARY KEY,
  value BIGINT NOT NULL
);

CREATE TABLE feed (
  chain TEXT COLLATE "C" NOT NULL,
  seq   BIGINT NOT NULL,
  entry BIGINT NOT NULL,
  op    BYTEA NOT NULL,
  PRIMARY KEY (chain, seq)
);
