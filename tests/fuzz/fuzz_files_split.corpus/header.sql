-- meridian: no-transaction
-- meridian: undo V3.undo.sql
CREATE INDEX CONCURRENTLY i ON t (a);
SELECT 1