-- SPDX-License-Identifier: PostgreSQL
--
-- Many kinds of statements, for psql: see Meridian::Test::SameOutput, which makes the table t in front of them.
\pset null NULL
\set VERBOSITY verbose
\echo settings
SHOW DateStyle;
SET DateStyle = 'German, DMY';
SELECT date '2024-03-01';
SET TIME ZONE 'Asia/Tokyo';
SELECT timestamptz '2024-03-01 12:00 UTC';
BEGIN;
SET LOCAL TIME ZONE 'America/New_York';
SELECT timestamptz '2024-03-01 12:00 UTC';
SAVEPOINT a;
SET IntervalStyle = 'iso_8601';
SELECT interval '1 day 2 hours';
ROLLBACK TO a;
SELECT interval '1 day 2 hours';
SET bytea_output = 'escape';
COMMIT;
SELECT timestamptz '2024-03-01 12:00 UTC', 'ab\000'::bytea;
BEGIN;
SET bytea_output = 'hex';
ROLLBACK;
SHOW bytea_output;
RESET bytea_output;
SELECT set_config('app.tenant', 'seven', false), set_config('app.tenant', 'eight', true);
SELECT current_setting('app.tenant');
SET app.tenant TO 'it''s; "x"';
SHOW app.tenant;
SET work_mem = '1 parsec';
SET nothing_like_it = 1;
SHOW work_mem;
SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY;
INSERT INTO t VALUES (-1, 'no');
SHOW transaction_isolation;
RESET default_transaction_isolation;
SET default_transaction_read_only TO DEFAULT;
SET client_encoding = 'LATIN1';
SHOW client_encoding;
RESET client_encoding;
\encoding UTF8
SET standard_conforming_strings = off;
SET escape_string_warning = off;
SELECT 'a\'b', $q$c'd\$q$;
RESET ALL;
SELECT 'a\b';
SHOW app.tenant;
CREATE SCHEMA s;
CREATE TABLE s.t (only_here int);
SET search_path = s, public;
SELECT * FROM t LIMIT 1;
\d t
RESET search_path;
SET statement_timeout = '50ms'; -- time: statement_timeout ends the query
SELECT pg_sleep(10);
SELECT 1;
RESET statement_timeout;
SET ROLE app;
SELECT current_user, session_user = current_user AS same;
INSERT INTO t VALUES (-1, 'no');
RESET ROLE;
SELECT current_user = session_user AS same;
SET SESSION AUTHORIZATION app;
SELECT session_user;
RESET SESSION AUTHORIZATION;
SET application_name = 'another name';
SHOW application_name;
RESET application_name;
\echo prepared
PREPARE p (int) AS SELECT $1 + 1 AS next;
EXECUTE p(1);
EXECUTE p('x');
BEGIN;
PREPARE q AS SELECT x FROM t WHERE i = 3;
ROLLBACK;
EXECUTE q;
SELECT name, statement, parameter_types, from_sql FROM pg_prepared_statements ORDER BY name;
PREPARE p AS SELECT 1;
DEALLOCATE p;
EXECUTE p(1);
DEALLOCATE nobody;
DEALLOCATE ALL;
EXECUTE q;
PREPARE w (int, text) AS INSERT INTO t VALUES ($1, $2) RETURNING *;
EXECUTE w(5001, 'prepared');
EXECUTE w(5001, 'prepared');
DEALLOCATE PREPARE w;
SELECT $1;
\echo cursors
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT i FROM t WHERE i BETWEEN 1 AND 9 ORDER BY i;
FETCH 3 FROM c;
FETCH BACKWARD 1 FROM c;
MOVE LAST IN c;
FETCH FIRST FROM c;
UPDATE t SET x = 'updated' WHERE CURRENT OF c;
CLOSE c;
FETCH c;
ROLLBACK;
FETCH c;
DECLARE c CURSOR FOR SELECT 1;
DECLARE h CURSOR WITH HOLD FOR SELECT i, x FROM t WHERE i BETWEEN 1 AND 9 ORDER BY i;
FETCH 2 FROM h;
SELECT name, is_holdable, is_scrollable FROM pg_cursors ORDER BY name;
SELECT 1/0;
FETCH 2 FROM h;
BEGIN;
FETCH 1 FROM h;
ROLLBACK;
FETCH 1 FROM h;
CLOSE h;
FETCH 1 FROM h;
\set FETCH_COUNT 3
SELECT i FROM t WHERE i <= 10 ORDER BY i;
SELECT 1/(i - 5) FROM t WHERE i <= 10 ORDER BY i;
\unset FETCH_COUNT
\echo temporary things
CREATE TEMP TABLE tt (i int);
INSERT INTO tt VALUES (1), (2);
SELECT * FROM tt;
CREATE TEMP VIEW tv AS SELECT sum(i) FROM tt;
TABLE tv;
CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 42';
SELECT pg_temp.f();
CREATE TEMP SEQUENCE tseq;
SELECT nextval('tseq'), nextval('tseq');
SELECT currval('tseq');
BEGIN;
CREATE TEMP TABLE gone (i int) ON COMMIT DROP;
INSERT INTO gone VALUES (1);
TABLE gone;
COMMIT;
TABLE gone;
CREATE TEMP TABLE emptied (i int) ON COMMIT DELETE ROWS;
INSERT INTO emptied VALUES (1);
TABLE emptied;
CREATE TEMP TABLE t (shadow text);
INSERT INTO t VALUES ('a shadow');
TABLE t;
DROP TABLE t;
SELECT count(*) FROM t;
DROP SEQUENCE tseq;
DROP VIEW tv;
DROP FUNCTION pg_temp.f;
DROP TABLE tt, emptied;
TABLE tt;
SELECT 7 AS made INTO TEMP into_temp;
TABLE into_temp;
DISCARD TEMP;
TABLE into_temp;
\echo notifications
LISTEN news;
NOTIFY news, 'one';
SELECT pg_listening_channels();
BEGIN;
NOTIFY news, 'two';
NOTIFY other, 'nobody';
SELECT pg_notify('news', 'three');
COMMIT;
BEGIN;
NOTIFY news, 'never';
ROLLBACK;
BEGIN;
LISTEN never;
ROLLBACK;
SELECT pg_listening_channels();
UNLISTEN news;
NOTIFY news, 'nobody';
LISTEN "A b";
NOTIFY "A b";
UNLISTEN *;
SELECT count(*) FROM pg_listening_channels();
\echo code
DO $$ BEGIN RAISE NOTICE 'a notice'; RAISE WARNING 'a warning' USING HINT = 'a hint'; RAISE INFO 'info'; END $$;
DO $$ BEGIN RAISE EXCEPTION 'no %', 1 USING DETAIL = 'detail', ERRCODE = 'P0099', TABLE = 't'; END $$;
DO $$ BEGIN PERFORM 1/0; EXCEPTION WHEN division_by_zero THEN RAISE NOTICE 'caught %', SQLERRM; END $$;
DO $$ BEGIN PERFORM set_config('app.tenant', 'by code', false); END $$;
SHOW app.tenant;
CREATE PROCEDURE p(INOUT n int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 3 LOOP
		INSERT INTO t VALUES (6000 + i, 'by call');
		IF i = 2 THEN ROLLBACK; ELSE COMMIT; END IF;
		n := n + i;
	END LOOP;
END $$;
CALL p(10);
SELECT i FROM t WHERE i > 6000 ORDER BY i;
BEGIN;
CALL p(10);
ROLLBACK;
CREATE FUNCTION many(int) RETURNS SETOF int LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY SELECT generate_series(1, $1); RAISE NOTICE 'done'; END $$;
SELECT * FROM many(3);
CREATE FUNCTION trigger_says() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '% of %', TG_OP, NEW.i; RETURN NEW; END $$;
CREATE TRIGGER says BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION trigger_says();
INSERT INTO t VALUES (7001, 'a'), (7002, 'b') RETURNING i;
DROP TRIGGER says ON t;
\echo errors
SELEC 1;
SELECT 1/0;
\errverbose
SELECT * FROM nowhere;
INSERT INTO t VALUES (1, 'again');
SELECT 'x'::int;
SELECT 1 +;
SELECT 'unterminated;
';
BEGIN;
SELECT 1;
SELECT 1/0;
SELECT 2;
COMMIT;
BEGIN;
SAVEPOINT a;
INSERT INTO t VALUES (8001, 'kept');
SAVEPOINT b;
INSERT INTO t VALUES (8001, 'twice');
ROLLBACK TO b;
INSERT INTO t VALUES (8002, 'kept');
RELEASE a;
ROLLBACK TO b;
ROLLBACK;
SELECT i FROM t WHERE i > 8000;
ROLLBACK;
COMMIT;
BEGIN;
BEGIN;
COMMIT AND CHAIN;
SELECT 1;
ROLLBACK AND CHAIN;
ABORT;
\set ON_ERROR_ROLLBACK on
BEGIN;
INSERT INTO t VALUES (8003, 'kept');
SELECT 1/0;
INSERT INTO t VALUES (8004, 'kept');
END;
\set ON_ERROR_ROLLBACK off
SELECT i FROM t WHERE i > 8000 ORDER BY i;
\set AUTOCOMMIT off
INSERT INTO t VALUES (8005, 'kept');
COMMIT;
INSERT INTO t VALUES (8006, 'never');
ROLLBACK;
SELECT i FROM t WHERE i > 8004 ORDER BY i;
COMMIT;
\set AUTOCOMMIT on
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY DEFERRABLE;
SHOW transaction_isolation;
SHOW transaction_read_only;
DELETE FROM t;
END;
START TRANSACTION;
SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;
SHOW transaction_isolation;
PREPARE TRANSACTION 'two phases';
SELECT gid FROM pg_prepared_xacts;
COMMIT PREPARED 'two phases';
\echo several at once
SELECT 1\; SELECT 2 AS two\; SELECT 'three';
SELECT 1\; SELECT 1/0\; SELECT 3;
INSERT INTO t VALUES (9001, 'never')\; SELECT 1/0;
INSERT INTO t VALUES (9002, 'kept')\; COMMIT\; SELECT 1/0;
BEGIN\; INSERT INTO t VALUES (9003, 'kept')\; SELECT 1;
SELECT count(*) FROM t WHERE i = 9003\; COMMIT\; BEGIN;
ROLLBACK\; SELECT i FROM t WHERE i > 9000 ORDER BY i;
SET DateStyle = 'SQL'\; SHOW DateStyle\; RESET DateStyle;
\;
;
-- nothing
/* nothing */;
SELECT;
SELECT FROM t WHERE i < 3;
\echo COPY
COPY t (i, x) FROM STDIN WITH (FORMAT csv, HEADER);
i,x
10001,"a, b"
10002,"c ""d"""
\.
COPY t FROM STDIN;
10003	fine
10001	twice
10004	fine
\.
COPY t FROM STDIN;
not a number	x
\.
SELECT count(*) FROM t WHERE i > 10000;
COPY (SELECT i, x FROM t WHERE i > 10000 ORDER BY i) TO STDOUT;
COPY (SELECT i, x FROM t WHERE i > 10000 ORDER BY i) TO STDOUT WITH (FORMAT csv, FORCE_QUOTE *);
COPY (SELECT 1/(i - 10002) FROM t WHERE i > 10000 ORDER BY i) TO STDOUT;
COPY nowhere TO STDOUT;
BEGIN;
SELECT 1/0;
COPY t TO STDOUT;
ROLLBACK;
\copy (SELECT i FROM t WHERE i < 4 ORDER BY i) TO STDOUT
\copy t FROM PROGRAM 'printf "10010\tby program\n"'
COPY (SELECT 1) TO STDOUT\; SELECT 2\; COPY (SELECT 3) TO STDOUT;
\echo psql
SELECT 1 AS a, 'x'::text AS b, now() AS c, NULL::numeric(10,2) AS d \gdesc
SELECT nowhere \gdesc
SELECT i, x FROM t WHERE i < 3 ORDER BY i \gx
SELECT 5 AS five, 'six' AS six \gset
SELECT :five, :'six';
SELECT 'SELECT ' || i FROM generate_series(1, 3) i \gexec
SELECT i % 2 AS r, i % 3 AS c, count(*) FROM t WHERE i < 100 GROUP BY 1, 2 ORDER BY 1, 2 \crosstabview
\d t
\dt
\df many
\sf many
\dn
\copyright
\set HIDE_TABLEAM on
\echo large
SELECT i, repeat(i::text, 5) FROM generate_series(1, 20000) i;
SELECT repeat('long ', 400000);
SELECT array_agg(i) FROM generate_series(1, 50000) i;
\echo the rest
SELECT pg_advisory_lock(7), pg_advisory_lock(7);
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
SELECT pg_try_advisory_lock(8);
SELECT pg_advisory_unlock(7), pg_advisory_unlock(7), pg_advisory_unlock(7);
SELECT pg_advisory_unlock_all();
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
SELECT lo_create(4711), lo_put(4711, 0, 'a large object');
SELECT convert_from(lo_get(4711), 'UTF8');
BEGIN;
SELECT lo_open(4711, 262144), loread(0, 7), lo_close(0);
END;
SELECT lo_unlink(4711);
VACUUM t;
CREATE INDEX CONCURRENTLY ON t (x);
BEGIN;
VACUUM t;
ROLLBACK;
EXPLAIN (COSTS OFF) SELECT * FROM t WHERE i = 1;
CREATE TABLE made AS SELECT generate_series(1, 5) AS i;
TRUNCATE made;
ALTER TABLE made ADD COLUMN x text DEFAULT 'new';
INSERT INTO made VALUES (1) RETURNING *;
MERGE INTO made m USING (VALUES (1), (2)) v (i) ON m.i = v.i WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (v.i);
TABLE made;
WITH d AS (DELETE FROM made RETURNING i) SELECT * FROM d;
DROP TABLE made;
DROP TABLE IF EXISTS made;
BEGIN;
SELECT setseed(0.25);
SELECT random(), random();
SELECT nextval('seq');
END;
CREATE SEQUENCE seq;
BEGIN;
SELECT nextval('seq'), currval('seq'), lastval();
SELECT currval('seq');
COMMIT;
LOAD 'auto_explain';
SHOW auto_explain.log_analyze;
LOAD 'nothing';
SELECT E'caf\u00e9 \U0001F600', length('日本語');
DISCARD PLANS;
DISCARD SEQUENCES;
DISCARD ALL;
BEGIN;
DISCARD ALL;
ROLLBACK;
SELECT count(*), md5(string_agg(i || x, ',' ORDER BY i)) FROM t;
BEGIN;
INSERT INTO t VALUES (20000, 'left open');
