-- +goose Up
-- The oldest schema whose release works on this one: a release that knows it may
-- start here although newer migrations, which it does not know, have run.
CREATE TABLE schema_compatible (
    since INTEGER NOT NULL
);
INSERT INTO schema_compatible (since) VALUES (3);
