#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Real programs through reads = nearest, their home in New York, they in Paris: pgbench, with its invariants, and drivers that prepare
# and reuse statements nearby and at home, in transactions, savepoints and pipelines, as frameworks do. Each reads what it has written,
# nearby, right behind each write. JDBC is 995, pgx 996, ActiveRecord and Django themselves 997.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters regional_standby);
use Meridian::Test::Delay;
use Meridian::Test::Drivers qw(driver_missing driver_run);
use Meridian::Test::Patience;
use Meridian::Test::Reads;
use Meridian::Test::SameOutput;
use Meridian::Test::Wire qw(:build);
use Test::More;

# What home writes beside its commits goes on its way soon.
my ($home) = regional_clusters('us-east1', { streaming => 1, conf => "wal_writer_delay = 10\n" });
$home->command_ok([ 'pgbench', '-iq', '-s', 2, 'postgres' ], 'tables for pgbench');
$home->safe_psql('postgres', 'CREATE TABLE t (who text PRIMARY KEY, n int NOT NULL); CREATE TABLE own (id int PRIMARY KEY, n int NOT NULL);
INSERT INTO own SELECT i, 0 FROM generate_series(0, 7) i');
my $near = regional_standby($home, 'europe-west1');
$home->wait_for_catchup($near, 'replay');
my $wait  = span(30);
# pgbench -M prepared does nothing else while it waits for a connection: each worker has enough for all of its clients.
my $proxy = near_proxy($home, $near, set => { workers => 2, default_pool_size => 12 },
	conf => "[database postgres]\npool = transaction\nreads = nearest\nconsistency_wait = $wait\n");
my @paris = (options => '-c meridian.city=paris');

# ---------------------------------------------------------------- pgbench

sub pgbench
{
	my ($name, $clients, $each, @args) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $n    = $clients * $each;
	my $said = says('pgbench', '-n', '-c', $clients, '-j', 2, '-t', $each, @args, $proxy->connstr('postgres', @paris));
	like($said, qr{actually processed: $n/$n\nnumber of failed transactions: 0 }, "pgbench: $name") or diag $said;
	return $said;
}

my @modes = qw(simple extended prepared);
tally($proxy);
for my $mode (@modes) {
	pgbench("select-only, $mode", 4, 50, '-S', '-M', $mode);
	my $ran = tally($proxy);
	cmp_ok($ran->{'near READ'}, '>=', 200, '... nearby');
	is(join(' ', grep { /home/ && $ran->{$_} } sort keys %$ran), '', '... and nothing of it at home');
}

my $histories = 0;
for my $mode (@modes) {
	pgbench("TPC-B, $mode", 4, 25, '-b', 'tpcb-like', '-M', $mode);
	$histories += 100;
	my $said = pgbench("TPC-B and select-only, $mode", 4, 50, '-b', 'tpcb-like@1', '-b', 'select-only@3', '-M', $mode);
	my ($writes, $reads) = $said =~ /^ - (\d+) transactions \(/mg;
	$histories += $writes;
	cmp_ok(tally($proxy)->{'near READ'}, '>=', $reads, "... $reads reads beside $writes writes, nearby");
}
is($home->safe_psql('postgres', <<'SQL'), "t,t,t,$histories", "TPC-B's sums are right, and each of its transactions is in its history once");
WITH s AS (SELECT (SELECT sum(abalance) FROM pgbench_accounts) a, (SELECT sum(tbalance) FROM pgbench_tellers) t,
	(SELECT sum(bbalance) FROM pgbench_branches) b, (SELECT sum(delta) FROM pgbench_history) h)
SELECT concat_ws(',', a = t, t = b, b = h, (SELECT count(*) FROM pgbench_history)) FROM s
SQL

# Each client reads what it has written, by itself, behind a transaction, and in a pipeline: it divides by zero where it does not.
my $own = script_file('own.sql', <<'SQL');
UPDATE own SET n = n + 1 WHERE id = :client_id RETURNING n AS mine \gset
SELECT n AS seen, 1 / (n = :mine)::int AS same FROM own WHERE id = :client_id \gset
BEGIN;
UPDATE own SET n = n + 1 WHERE id = :client_id;
SELECT n AS mine FROM own WHERE id = :client_id \gset
END;
SELECT n AS seen, 1 / (n = :mine)::int AS same FROM own WHERE id = :client_id \gset
SQL
my $pipe = script_file('pipe.sql', <<'SQL');
SELECT n AS first FROM own WHERE id = :client_id \gset
\startpipeline
SELECT n FROM own WHERE id = :client_id;
UPDATE own SET n = n + 1 WHERE id = :client_id;
SELECT 1 / (n = :first + 1)::int AS same FROM own WHERE id = :client_id;
\endpipeline
SELECT 1 / (n = :first + 1)::int AS same FROM own WHERE id = :client_id \gset
SQL
for my $mode (@modes) {
	pgbench("own writes are read, $mode", 4, 25, '-M', $mode, '-f', $own);
	cmp_ok(tally($proxy)->{'near READ'}, '>=', 200, '... nearby');
	next if $mode eq 'simple';
	pgbench("a pipeline, $mode", 4, 25, '-M', $mode, '-f', $pipe);
	cmp_ok(tally($proxy)->{'near READ'}, '>=', 200, '... and what reads beside it, nearby');
}
is($home->safe_psql('postgres', 'SELECT string_agg(n::text, \' \' ORDER BY id) FROM own'), '200 200 200 200 0 0 0 0', 'each write has been done once');

# ---------------------------------------------------------------- drivers

# A program says what was wrong, where what only reads has been read, and where what writes was done.
my $psycopg = <<'PY';
import sys, threading, psycopg
here = "current_setting('cluster_name')"
write = f"insert into t values (%s, %s) on conflict (who) do update set n = excluded.n returning n, {here}"
read = f"select n, {here} from t where who = %s"
wrong, reads, writes = [], set(), set()

def wrote(me, got, n):
    writes.add(got[1])
    if got[0] != n: wrong.append((me, 'write', got, n))

def seen(me, got, n, places=reads):
    places.add(got[1])
    if got[0] != n: wrong.append((me, 'read', got, n))

class Undo(Exception): pass

def client(me, threshold):
    with psycopg.connect(host='127.0.0.1', port=sys.argv[1], user='postgres', dbname='postgres', autocommit=True,
                         options='-c meridian.city=paris') as c:
        c.prepare_threshold = threshold
        n = 0
        for turn in range(6):
            n += 1
            wrote(me, c.execute(write, (me, n)).fetchone(), n)
            for i in range(3):
                seen(me, c.execute(read, (me,)).fetchone(), n)
            with c.transaction():
                n += 1
                wrote(me, c.execute(write, (me, n)).fetchone(), n)
                seen(me, c.execute(read, (me,)).fetchone(), n, writes)
                try:
                    with c.transaction():
                        wrote(me, c.execute(write, (me, -n)).fetchone(), -n)
                        seen(me, c.execute(read, (me,)).fetchone(), -n, writes)
                        raise Undo
                except Undo:
                    pass
                try:
                    with c.transaction():
                        c.execute('select 1 / %s', (0,))
                except psycopg.errors.DivisionByZero:
                    pass
                seen(me, c.execute(read, (me,)).fetchone(), n, writes)
            seen(me, c.execute(read, (me,)).fetchone(), n)
            c.read_only = True
            with c.transaction():
                seen(me, c.execute(read, (me,)).fetchone(), n)
                try:
                    with c.transaction():
                        c.execute(write, (me, -1))
                    wrong.append((me, 'wrote'))
                except psycopg.errors.ReadOnlySqlTransaction:
                    pass
                seen(me, c.execute(read, (me,)).fetchone(), n)
            c.read_only = None
            # a pipeline that only reads runs nearby (what is fetched before its Sync is asked for by a Flush, and at home);
            # what writes takes the rest, up to its Sync, home
            with c.pipeline() as p:
                all = [c.execute(read, (me,)) for i in range(5)]
                p.sync()
                for k in all:
                    seen(me, k.fetchone(), n)
            with c.pipeline() as p:
                before = c.execute(read, (me,))
                w = c.execute(write, (me, n + 1))
                after = c.execute(read, (me,))
                seen(me, before.fetchone(), n, writes)
                n += 1
                wrote(me, w.fetchone(), n)
                seen(me, after.fetchone(), n, writes)
                p.sync()
                both = set()
                for i in range(3):
                    n += 1
                    w, r = c.execute(write, (me, n)), c.execute(read, (me,))
                    p.sync()
                    again = c.execute(read, (me,))
                    wrote(me, w.fetchone(), n)
                    seen(me, r.fetchone(), n, both)
                    seen(me, again.fetchone(), n, both)
            seen(me, c.execute(read, (me,)).fetchone(), n)
            n += 1
            with c.cursor().copy(f"copy own from stdin") as copy:
                copy.write_row((1000 + int(me[7:]) * 100 + turn, n))
            k = c.execute(f"select n, {here} from own where id = %s", (1000 + int(me[7:]) * 100 + turn,))
            seen(me, k.fetchone(), n)
            with c.cursor().copy(f"copy (select n, {here} from own where id = {1000 + int(me[7:]) * 100 + turn}) to stdout") as copy:
                row = list(copy.rows())[0]
                seen(me, (int(row[0]), row[1]), n)
            wrote(me, c.execute(write, (me, n)).fetchone(), n)
            k = c.cursor()
            n += 1
            k.executemany(write, [(me, n), (me, n)])
            seen(me, c.execute(read, (me,)).fetchone(), n)

def run(me, threshold):
    try:
        client(me, threshold)
    except Exception as e:
        wrong.append((me, repr(e)))

threads = [threading.Thread(target=run, args=(f'psycopg{i}', (0, 1, 5, None)[i])) for i in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
print('wrong', wrong[:5], 'reads', sorted(reads), 'writes', sorted(writes))
PY

# As Rails does: statements that are prepared by name, for good, and run in and out of transactions that BEGIN and COMMIT in queries.
my $rails = <<'PY';
import sys, threading
from psycopg import pq
wrong, reads, writes = [], set(), set()
here = "current_setting('cluster_name')"

class Adapter:
    def __init__(self):
        self.c = pq.PGconn.connect(f"host=127.0.0.1 port={sys.argv[1]} user=postgres dbname=postgres options='-c meridian.city=paris'".encode())
        self.names, self.n = {}, 0
        for sql in ("SET client_min_messages TO 'warning'", "SET standard_conforming_strings = on", "SET intervalstyle = iso_8601",
                    "SET SESSION timezone TO 'UTC'", "SHOW max_identifier_length", "SELECT t.oid, t.typname FROM pg_type as t WHERE t.typname IN ('int8', 'timestamptz')"):
            self.query(sql)

    def told(self, r):
        if r.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
            raise RuntimeError(r.error_message.decode())
        return [tuple(r.get_value(i, j) for j in range(r.nfields)) for i in range(r.ntuples)]

    def query(self, sql):
        return self.told(self.c.exec_(sql.encode()))

    def execute(self, sql, *values):
        if sql not in self.names:
            self.n += 1
            self.names[sql] = f'a{self.n}'.encode()
            self.told(self.c.prepare(self.names[sql], sql.encode()))
        return self.told(self.c.exec_prepared(self.names[sql], [str(v).encode() for v in values]))

    def forget(self, sql):
        self.query('DEALLOCATE ' + self.names.pop(sql).decode())

insert = f"INSERT INTO \"posts\" (\"who\", \"n\") VALUES ($1, $2) RETURNING \"id\", {here}"
update = "UPDATE \"posts\" SET \"n\" = $1 WHERE \"posts\".\"id\" = $2"
find = f"SELECT \"posts\".\"n\", {here} FROM \"posts\" WHERE \"posts\".\"id\" = $1 LIMIT $2"
count = f"SELECT COUNT(*), {here} FROM \"posts\" WHERE \"posts\".\"who\" = $1"

def seen(me, rows, n, places=reads):
    places.add(rows[0][1].decode())
    if rows[0][0].decode() != str(n): wrong.append((me, rows, n))

def client(me):
    a = Adapter()
    for turn in range(8):
        a.query('BEGIN')
        id, place = a.execute(insert, me, turn)[0]
        id = int(id)
        writes.add(place.decode())
        a.query('COMMIT')
        seen(me, a.execute(find, id, 1), turn)
        seen(me, a.execute(count, me), turn + 1)
        a.query('BEGIN')
        a.execute(update, turn + 100, id)
        seen(me, a.execute(find, id, 1), turn + 100, writes)
        a.query('SAVEPOINT active_record_1')
        a.execute(update, -1, id)
        seen(me, a.execute(find, id, 1), -1, writes)
        a.query('ROLLBACK TO SAVEPOINT active_record_1')
        a.query('RELEASE SAVEPOINT active_record_1')
        a.query('SAVEPOINT active_record_1')
        a.execute(update, turn + 200, id)
        a.query('RELEASE SAVEPOINT active_record_1')
        a.query('COMMIT')
        seen(me, a.execute(find, id, 1), turn + 200)
        a.query('BEGIN')
        a.execute(update, -2, id)
        a.query('ROLLBACK')
        seen(me, a.execute(find, id, 1), turn + 200)
        seen(me, a.execute(count, me), turn + 1)
        if turn % 3 == 2:
            a.forget(find)
            a.forget(update)
    if a.query(f'SELECT pg_try_advisory_lock({hash(me) % 1000})')[0][0] != b't': wrong.append((me, 'lock'))
    a.query(f'CREATE TABLE "{me}" (id bigserial PRIMARY KEY, n int)')
    a.query(f'INSERT INTO "{me}" (n) VALUES (1)')
    a.query(f'SELECT pg_advisory_unlock({hash(me) % 1000})')
    mine = f'SELECT "{me}".*, {here} FROM "{me}" LIMIT $1'
    row = a.execute(mine, 1)[0]
    reads.add(row[-1].decode())
    if len(row) != 3: wrong.append((me, row))
    a.query(f'ALTER TABLE "{me}" ADD COLUMN title varchar')
    # what Rails does about "cached plan must not change result type"
    try:
        row = a.execute(mine, 1)[0]
    except RuntimeError:
        a.forget(mine)
        row = a.execute(mine, 1)[0]
    reads.add(row[-1].decode())
    if len(row) != 4: wrong.append((me, row))
    a.query(f'DROP TABLE "{me}"')

def run(me):
    try:
        client(me)
    except Exception as e:
        wrong.append((me, repr(e)))

Adapter().query('CREATE TABLE "posts" ("id" bigserial PRIMARY KEY, "who" varchar, "n" int, "created_at" timestamptz DEFAULT now())')
threads = [threading.Thread(target=run, args=(f'rails{i}',)) for i in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
print('wrong', wrong[:5], 'reads', sorted(reads), 'writes', sorted(writes))
PY

# As Django does: autocommit, and psycopg2's own BEGIN within atomic(), savepoints of its names, a cursor WITH HOLD for iterator().
my $django = <<'PY';
import sys, threading, psycopg2
wrong, reads, writes = [], set(), set()
here = "current_setting('cluster_name')"

class Wrapper:
    def __init__(self):
        self.c = psycopg2.connect(host='127.0.0.1', port=sys.argv[1], user='postgres', dbname='postgres', options='-c meridian.city=paris')
        self.c.set_client_encoding('UTF8')
        self.c.autocommit = True
        self.sql("SELECT set_config('TimeZone', %s, false)", 'UTC')
        self.points = 0

    def sql(self, sql, *values):
        with self.c.cursor() as k:
            k.execute(sql, values)
            return k.fetchall() if k.description else None

    def atomic(self, work):
        if not self.c.autocommit:
            self.points += 1
            name = f'"s1_x{self.points}"'
            self.sql(f'SAVEPOINT {name}')
            try:
                work()
            except ZeroDivisionError:
                self.sql(f'ROLLBACK TO SAVEPOINT {name}')
            self.sql(f'RELEASE SAVEPOINT {name}')
            return
        self.c.autocommit = False
        try:
            work()
            self.c.commit()
        except ZeroDivisionError:
            self.c.rollback()
        self.c.autocommit = True

def seen(me, rows, n, places=reads):
    places.add(rows[0][1])
    if rows[0][0] != n: wrong.append((me, rows, n))

def client(me):
    d = Wrapper()
    find = f'SELECT "blog"."n", {here} FROM "blog" WHERE "blog"."id" = %s LIMIT 21'
    update = 'UPDATE "blog" SET "n" = %s WHERE "blog"."id" = %s'
    for turn in range(8):
        id, place = d.sql(f'INSERT INTO "blog" ("who", "n") VALUES (%s, %s) RETURNING "blog"."id", {here}', me, turn)[0]
        writes.add(place)
        seen(me, d.sql(find, id), turn)
        def inner():
            d.sql(update, -1, id)
            seen(me, d.sql(find, id), -1, writes)
            raise ZeroDivisionError
        def outer():
            d.sql(f'SELECT "blog"."id" FROM "blog" WHERE "blog"."id" = %s FOR UPDATE', id)
            d.sql(update, turn + 100, id)
            d.atomic(inner)
            d.atomic(lambda: d.sql('UPDATE "blog" SET "n" = "n" + 1 WHERE "blog"."id" = %s', id))
            seen(me, d.sql(find, id), turn + 101, writes)
        d.atomic(outer)
        seen(me, d.sql(find, id), turn + 101)
        def undone():
            d.sql(update, -2, id)
            raise ZeroDivisionError
        d.atomic(undone)
        seen(me, d.sql(find, id), turn + 101)
        k = d.c.cursor(f'_django_curs_{turn}', scrollable=False, withhold=True)
        k.execute(f'SELECT "blog"."id", {here} FROM "blog" WHERE "blog"."who" = %s ORDER BY 1', (me,))
        rows = k.fetchmany(3) + k.fetchall()
        k.close()
        writes.update(r[1] for r in rows)
        if len(rows) != turn + 1: wrong.append((me, 'iterator', rows))
        # the session is at home until the server has said that the cursor is gone
        seen(me, d.sql(find, id), turn + 101, set())
        seen(me, d.sql(find, id), turn + 101)

def run(me):
    try:
        client(me)
    except Exception as e:
        wrong.append((me, repr(e)))

Wrapper().sql('CREATE TABLE "blog" ("id" bigint NOT NULL PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY, "who" text, "n" int)')
threads = [threading.Thread(target=run, args=(f'django{i}',)) for i in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
print('wrong', wrong[:5], 'reads', sorted(reads), 'writes', sorted(writes))
PY

my $asyncpg = <<'PY';
import asyncio, sys, asyncpg
at = dict(host='127.0.0.1', port=int(sys.argv[1]), user='postgres', database='postgres', server_settings={'options': '-c meridian.city=paris'})
here = "current_setting('cluster_name') as here"
write = f'insert into t values ($1, $2) on conflict (who) do update set n = excluded.n returning n, {here}'
read = f'select n, {here} from t where who = $1'
count = f'select count(*)::int as n, {here} from own where id >= $1 and id < $1 + 20'
wrong, reads, writes = [], set(), set()

def seen(me, row, n, places=reads):
    places.add(row['here'])
    if row['n'] != n: wrong.append((me, row, n))

async def client(me, cache):
    c = await asyncpg.connect(**at, statement_cache_size=cache)
    finds = await c.prepare(read)
    n = 0
    for turn in range(8):
        n += 1
        seen(me, await c.fetchrow(write, me, n), n, writes)
        seen(me, await finds.fetchrow(me), n)
        # asyncpg has a text that is new to it prepared by a Flush: that is for home
        seen(me, await c.fetchrow(read, me), n, reads if cache == 100 and turn else set())
        async with c.transaction():
            n += 1
            seen(me, await c.fetchrow(write, me, n), n, writes)
            seen(me, await finds.fetchrow(me), n, writes)
            try:
                async with c.transaction():
                    await c.execute('update t set n = -1 where who = $1', me)
                    await c.fetchval('select 1 / $1::int', 0)
            except asyncpg.DivisionByZeroError:
                pass
            rows = [r async for r in c.cursor(f'select g as n, {here} from generate_series(1, $1::int) g', 30, prefetch=7)]
            seen(me, rows[29], 30, writes)
        seen(me, await finds.fetchrow(me), n)
        async with c.transaction(readonly=True):
            seen(me, await finds.fetchrow(me), n)
            rows = [r async for r in c.cursor(f'select g as n, {here} from generate_series(1, $1::int) g', 30, prefetch=7)]
            seen(me, rows[29], 30)
            try:
                async with c.transaction():
                    await c.fetchrow(write, me, -1)
                wrong.append((me, 'wrote'))
            except asyncpg.ReadOnlySQLTransactionError:
                pass
            seen(me, await c.fetchrow(read, me), n)
        await c.executemany('insert into own values ($1, $2)', [(cache * 1000 + 100000 + turn * 20 + k, n) for k in range(20)])
        seen(me, await c.fetchrow(count, cache * 1000 + 100000 + turn * 20), 20, reads if cache == 100 and turn else set())
        await c.copy_records_to_table('own', records=[(cache * 1000 + 500000 + turn * 20 + k, n) for k in range(20)])
        seen(me, await c.fetchrow(count, cache * 1000 + 500000 + turn * 20), 20, reads if cache == 100 else set())
    await c.close()

async def main():
    done = await asyncio.gather(*[client(f'asyncpg{cache}', cache) for cache in (100, 3, 1, 0)], return_exceptions=True)
    wrong.extend(repr(x) for x in done if x is not None)
    print('wrong', wrong[:5], 'reads', sorted(reads), 'writes', sorted(writes))
asyncio.run(main())
PY

my $node_pg = <<'JS';
const { Client, Pool } = require('pg');
(async () => {
  const at = { host: '127.0.0.1', port: +process.argv[1], user: 'postgres', database: 'postgres', options: '-c meridian.city=paris' };
  const here = "current_setting('cluster_name') as here", wrong = [], reads = new Set(), writes = new Set();
  const write = { name: 'write', text: `insert into t values ($1, $2) on conflict (who) do update set n = excluded.n returning n, ${here}` };
  const read = { name: 'read', text: `select n, ${here} from t where who = $1` };
  const seen = (r, n, places = reads) => {
    places.add(r.rows[0].here);
    if (r.rows[0].n !== n) wrong.push([r.rows[0], n]);
  };
  const client = async me => {
    const c = new Client(at);
    await c.connect();
    let n = 0;
    for (let turn = 0; turn < 8; turn++) {
      n++;
      seen(await c.query({ ...write, values: [me, n] }), n, writes);
      seen(await c.query({ ...read, values: [me] }), n);
      seen(await c.query(read.text, [me]), n);
      seen(await c.query(read.text.replace('$1', `'${me}'`)), n);
      await c.query('BEGIN');
      n++;
      seen(await c.query({ ...write, values: [me, n] }), n, writes);
      await c.query('SAVEPOINT a');
      await c.query({ ...write, values: [me, -n] });
      await c.query('select 1 / $1::int', [0]).then(() => wrong.push('no error'), () => 0);
      await c.query('ROLLBACK TO a');
      seen(await c.query({ ...read, values: [me] }), n, writes);
      await c.query(turn % 2 ? 'COMMIT' : { name: 'commit', text: 'COMMIT' });
      seen(await c.query({ ...read, values: [me] }), n);
    }
    await c.end();
  };
  await Promise.all([0, 1, 2, 3].map(i => client('node' + i).catch(e => wrong.push(e.message))));
  const pool = new Pool({ ...at, max: 4 });
  await Promise.all([...Array(20).keys()].map(i => pool.query({ ...write, values: ['pool' + i, i] })));
  await pool.end();
  console.log('wrong', JSON.stringify(wrong.slice(0, 5)), 'reads', JSON.stringify([...reads]), 'writes', JSON.stringify([...writes]));
})().catch(e => { console.log(e.message); process.exit(1); });
JS

# All that reads alone has been read nearby, whatever was written right in front of it.
sub reads_nearby
{
	my ($name, $driver, $program) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
  SKIP: {
		my $why = driver_missing($driver);
		skip $why, 2 if $why;
		tally($proxy);
		is(driver_run($driver, $program, $proxy->port) =~ tr/"'/''/r =~ tr/ //dr, "wrong[]reads['europe-west1']writes['us-east1']\n",
			"$name: what is written is read, nearby");
		my $ran = tally($proxy);
		is(misjudged($ran), '', "... $ran->{'near READ'} transactions, none of them misjudged");
	}
	return;
}

reads_nearby('psycopg',          'psycopg',       $psycopg);
reads_nearby('as Rails does',    'psycopg',       $rails);
reads_nearby('as Django does',   'psycopg2',      $django);
reads_nearby('asyncpg',          'asyncpg',       $asyncpg);
reads_nearby('node-postgres',    'node-postgres', $node_pg);

my $same = 'SELECT count(*), sum(n) FROM t';
$home->wait_for_catchup($near, 'replay');
is($near->safe_psql('postgres', $same), $home->safe_psql('postgres', $same), 'the standby has what home has');
$proxy->stop;

# ---------------------------------------------------------------- as their messages are

my $far = Meridian::Test::Delay->new($home);
$proxy = near_proxy($far, $near, conf => "[database postgres]\npool = transaction\nreads = nearest\nconsistency_wait = $wait\n");
$home->safe_psql('postgres', "CREATE SEQUENCE s; CREATE VIEW hides AS SELECT nextval('s') AS n");
$home->wait_for_catchup($near, 'replay');
my $w = paris($proxy);
my $run = sub { join '', map { bind_message([], $_) . execute('') } @_ };

# What was prepared at home, and described there, is described by the server nearby, too, before it runs.
$w->ask('BEGIN');
extended($w, map { parse($_->[1], $_->[0]) . describe('S', $_->[0]) } [ a => $WHERE ], [ b => "$WHERE, 'b'" ], [ h => 'SELECT n FROM hides' ]);
$w->ask('COMMIT');
is(extended($w, $run->('a')), '2 europe-west1 C Z', 'what was prepared and described at home runs nearby');
is(extended($w, $run->('b', 'a')), '2 europe-west1 C 2 europe-west1 C Z', '... with another one');
is(extended($w, $run->('h')), '2 1 C Z', '... and what the standby refuses, at home');
$w->ask('BEGIN');
extended($w, parse("SELECT n, current_setting('cluster_name') FROM hides", 'i') . describe('S', 'i') . parse("$WHERE, 'c'", 'c') . describe('S', 'c'));
$w->ask('COMMIT');
is(extended($w, $run->('i', 'c')), '2 2 C 2 us-east1 C Z', '... with what comes behind it');

# asyncpg has a statement prepared by a Flush, and runs it with its Sync.
$w->send(parse("$WHERE, 'f'", 'f') . describe('S', 'f') . flush_message());
$w->until('T');
is(extended($w, $run->('f')), '2 us-east1 C Z', 'what is prepared by a Flush runs at home');
is(extended($w, $run->('f')), '2 europe-west1 C Z', '... and nearby from then on');

# A read that comes in pieces while home is still asked how far the session has written waits for that, too. A text of several
# statements has that asked behind its answer.
$far->ms(30);
for my $pieces (1 .. 3) {
	is($w->ask('UPDATE own SET n = n; UPDATE own SET n = n'), '', 'a write');
	my $read = bind_message([], 'a') . execute('') . sync_message();
	$w->send(substr $read, 0, 7 * $pieces);
	let_pass(0.01, 'the first piece arrives alone');
	$w->send(substr $read, 7 * $pieces);
	is($w->answer, 'europe-west1', '... and a read in two pieces right behind it, nearby');
}
$far->ms(0);

# A setting may name what the standby has not replayed yet.
$near->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
$w->ask('CREATE ROLE late', 'GRANT SELECT ON t TO late', 'SET ROLE late');
is($w->ask('SELECT current_user, ' . $WHERE =~ s/SELECT //r), 'late,us-east1', 'a role that the standby does not know yet reads at home');
$near->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
ok(wait_until(sub { $w->ask('SELECT current_user, ' . $WHERE =~ s/SELECT //r) eq 'late,europe-west1' }), '... and nearby once it does');
$proxy->stop;
done_testing();
