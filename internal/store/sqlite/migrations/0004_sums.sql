-- +goose Up
-- Private data and counters follow from no entry that could tell whether they
-- are what was written. So each row says it a second time: a digest, and the
-- complement of the counter. An earlier release, which works on this schema and
-- does not know of them, writes rows without; triggers take away what it leaves
-- of ours, and the next start makes it again.
ALTER TABLE private ADD COLUMN sum BLOB;
ALTER TABLE counters ADD COLUMN mirror INTEGER;
-- +goose StatementBegin
CREATE TRIGGER private_sum AFTER UPDATE ON private
WHEN NEW.sum = OLD.sum AND (NEW.doc IS NOT OLD.doc OR NEW.owner IS NOT OLD.owner OR NEW.expires_ms IS NOT OLD.expires_ms)
BEGIN
  UPDATE private SET sum = NULL WHERE kind = NEW.kind AND id = NEW.id;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER counters_mirror AFTER UPDATE ON counters
WHEN NEW.mirror = OLD.mirror AND NEW.value <> OLD.value
BEGIN
  UPDATE counters SET mirror = NULL WHERE name = NEW.name;
END;
-- +goose StatementEnd
