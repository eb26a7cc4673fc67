#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Real drivers through the proxy: each logs in with SCRAM as from Paris, lands there, runs prepared
# statements, pipelines, COPY, a notification, an error and a cancel.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Drivers qw(driver_is);
use Meridian::Test::Proxy;
use PostgreSQL::Test::Utils ();
use Test::More;

my %users = (users => { alice => 'secret' });
my ($east, $west) = regional_clusters('us-east1', {%users}, 'europe-west1', {%users});
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $east, 'europe-west1' => { nodes => $west, cities => 'paris' } ]);
$proxy->start;
my $port = $proxy->port;

my $psycopg = <<'PY';
import sys, threading, time, psycopg
sys.stdout.reconfigure(line_buffering=True)
at = dict(host='127.0.0.1', port=sys.argv[1], user='alice', password='secret', dbname='postgres', options='-c meridian.city=paris')
c = psycopg.connect(**at, autocommit=True)
def cancel():
    with psycopg.connect(**at, autocommit=True) as o:
        while not o.execute("select count(*) from pg_stat_activity where wait_event = 'PgSleep'").fetchone()[0]:
            time.sleep(0.02)  # time: a pause between two looks
    c.cancel()
print(c.execute("select current_setting('cluster_name')").fetchone()[0])
for i in range(8):
    assert c.execute('select %s::int + 1', (i,), prepare=True).fetchone()[0] == i + 1
with c.pipeline():
    cur = [c.execute('select %s::int', (i,)) for i in range(100)]
    print('pipeline', sum(x.fetchone()[0] for x in cur))
c.execute('create temp table t (a int, b text)')
with c.cursor().copy('copy t from stdin') as copy:
    for i in range(1000):
        copy.write_row((i, 'x' * 100))
with c.cursor().copy('copy t to stdout') as copy:
    print('copy', sum(1 for _ in copy.rows()))
c.add_notify_handler(lambda n: print('notify', n.payload))
c.execute('listen a')
c.execute("notify a, 'hello'")
try:
    c.execute('select 1/0')
except psycopg.errors.DivisionByZero as e:
    print('error', e.sqlstate)
threading.Thread(target=cancel).start()
try:
    c.execute('select pg_sleep(100)')
except psycopg.errors.QueryCanceled as e:
    print('cancel', e.sqlstate)
with c.transaction():
    c.execute('insert into t values (1, null)')
print('end', c.execute('select count(*) from t').fetchone()[0])
PY

my $psycopg2 = <<'PY';
import io, sys, threading, time, psycopg2
sys.stdout.reconfigure(line_buffering=True)
at = dict(host='127.0.0.1', port=sys.argv[1], user='alice', password='secret', dbname='postgres', options='-c meridian.city=paris')
c = psycopg2.connect(**at)
def cancel():
    o = psycopg2.connect(**at)
    o.autocommit = True
    k = o.cursor()
    while True:
        k.execute("select count(*) from pg_stat_activity where wait_event = 'PgSleep'")
        if k.fetchone()[0]:
            break
        time.sleep(0.02)  # time: a pause between two looks
    o.close()
    c.cancel()
k = c.cursor()
k.execute("select current_setting('cluster_name')")
print(k.fetchone()[0])
k.execute('create temp table t (a int, b text)')
k.copy_from(io.StringIO(''.join(f'{i}\t{"x" * 100}\n' for i in range(1000))), 't')
out = io.StringIO()
k.copy_to(out, 't')
print('copy', out.getvalue().count('\n'))
c.commit()
try:
    k.execute('select 1/0')
except psycopg2.Error as e:
    print('error', e.pgcode)
c.rollback()
threading.Thread(target=cancel).start()
try:
    k.execute('select pg_sleep(100)')
except psycopg2.Error as e:
    print('cancel', e.pgcode)
c.rollback()
named = c.cursor('named')
named.execute('select generate_series(1, 5000)')
print('end', sum(1 for _ in named))
PY

my $node = <<'JS';
const { Client, Pool } = require('pg');
(async () => {
  const at = { host: '127.0.0.1', port: +process.argv[1], user: 'alice', password: 'secret', database: 'postgres',
    options: '-c meridian.city=paris' };
  const c = new Client(at);
  await c.connect();
  console.log((await c.query("select current_setting('cluster_name') as n")).rows[0].n);
  for (let i = 0; i < 8; i++) {
    const r = await c.query({ name: 'plus', text: 'select $1::int + 1 as n', values: [i] });
    if (r.rows[0].n !== i + 1) throw new Error('wrong');
  }
  const said = new Promise(done => c.on('notification', n => done(n.payload)));
  await c.query('listen a');
  await c.query("notify a, 'hello'");
  console.log('notify', await said);
  await c.query('select 1/0').catch(e => console.log('error', e.code));
  const many = await Promise.all([...Array(50).keys()].map(i => c.query('select $1::int as n', [i])));
  console.log('queued', many.reduce((sum, r) => sum + r.rows[0].n, 0));
  await c.end();
  const pool = new Pool({ ...at, max: 5 });
  const all = await Promise.all([...Array(50).keys()].map(i => pool.query('select $1::int as n', [i])));
  console.log('end', all.reduce((sum, r) => sum + r.rows[0].n, 0));
  await pool.end();
})().catch(e => { console.log(e.message); process.exit(1); });
JS

driver_is('psycopg', $psycopg, <<'OUT', $port);
europe-west1
pipeline 4950
copy 1000
notify hello
error 22012
cancel 57014
end 1001
OUT

driver_is('psycopg2', $psycopg2, <<'OUT', $port);
europe-west1
copy 1000
error 22012
cancel 57014
end 5000
OUT

driver_is('node-postgres', $node, <<'OUT', $port);
europe-west1
notify hello
error 22012
queued 1225
end 1225
OUT

# libpq, by psql and by pgbench in each of its ways to send a query, and pipelined.
$ENV{PGPASSWORD} = 'secret';
is($proxy->psql_from({ city => 'paris' }, 'postgres', "SELECT current_setting('cluster_name')",
		extra_params => [ '-U', 'alice' ]), 'europe-west1', 'psql');
$west->command_ok([ 'pgbench', '-iq', '-s', '1', 'postgres' ], 'tables for pgbench');
my $script = PostgreSQL::Test::Utils::tempdir() . '/pipeline.sql';
PostgreSQL::Test::Utils::append_to_file($script, <<'SQL');
\startpipeline
SELECT abalance FROM pgbench_accounts WHERE aid = 1;
SELECT abalance FROM pgbench_accounts WHERE aid = 2;
UPDATE pgbench_branches SET bbalance = bbalance + 1;
\endpipeline
SQL
local $ENV{PGOPTIONS} = '-c meridian.city=paris';
for my $mode (qw(simple extended prepared)) {
	$proxy->command_like([ 'pgbench', '-n', '-U', 'alice', '-M', $mode, '-c4', '-j2', '-t50', 'postgres' ],
		qr/actually processed: 200\/200/, "pgbench -M $mode");
	next if $mode eq 'simple';
	$proxy->command_like(
		[ 'pgbench', '-n', '-U', 'alice', '-M', $mode, '-c4', '-j2', '-t50', '-f', $script, 'postgres' ],
		qr/actually processed: 200\/200/, "pgbench pipeline -M $mode");
}

$proxy->stop;
done_testing();
