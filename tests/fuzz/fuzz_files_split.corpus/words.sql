/* /* ; */ */ CREATE RULE r AS ON INSERT TO t DO (a; b); VACUUM (FULL) t; REINDEX (CONCURRENTLY) TABLE s.t; -- meridian: lint-ok backfill
UPDATE t SET a = 1