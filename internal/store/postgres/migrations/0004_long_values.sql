-- +goose Up
-- A value may be longer than an index row can be (keypoints, videos' frames), so
-- its beginning is what is looked up by; the rest is compared.
CREATE INDEX objects_uniq_start ON objects (kind, left(uniq, 200)) WHERE uniq IS NOT NULL;
DROP INDEX objects_uniq;
