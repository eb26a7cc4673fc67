#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Drivers at the console: typed values in text and in binary, parameters, prepared statements, server
# cursors' row limits, errors, and what drivers do by themselves.
use strict;
use warnings;
use Meridian::Test::Drivers qw(driver_is);
use Meridian::Test::Proxy;
use Test::More;

my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => '127.0.0.1:1', 'europe-west1' => { nodes => '127.0.0.1:1', cities => 'paris' } ]);
$proxy->start;
my @where = ($proxy->socket_dir, $proxy->port);

my $psycopg = <<'PY';
import sys, datetime, psycopg
c = psycopg.connect(host=sys.argv[1], port=sys.argv[2], dbname='meridian')
for binary in False, True:
    k = c.cursor(binary=binary)
    row = k.execute('SHOW REGIONS').fetchone()
    print(type(row[1]).__name__, type(row[3]).__name__, row[5], row[0])
    for i in range(7):
        k.execute('EXPLAIN ROUTE CITY %s', ('paris',), prepare=True)
    print(k.fetchall()[0][1], k.statusmessage)
    k.execute('SHOW VERSION')
    print(abs((datetime.datetime.now(datetime.timezone.utc) - k.fetchone()[1]).total_seconds()) < 60)
try:
    c.execute('DRAIN REGION %s', ('mars',))
except psycopg.errors.UndefinedObject as e:
    print(e.sqlstate, e.diag.message_primary)
c.rollback()
try:
    c.execute('SHOW SESSION %s', (4711,))
except psycopg.errors.UndefinedObject as e:
    print(e.diag.message_primary)
c.commit()
with c.pipeline():
    k = [c.execute('SHOW max_lag') for i in range(20)]
    print(len([x.fetchone() for x in k]))
c.autocommit = True
with c.transaction():
    print(c.execute('SELECT 1').fetchone()[0])
print(c.info.parameter_status('server_encoding'), c.info.server_version)
PY

my $psycopg2 = <<'PY';
import sys, psycopg2
c = psycopg2.connect(host=sys.argv[1], port=sys.argv[2], dbname='meridian')
k = c.cursor()
k.execute('EXPLAIN ROUTE CITY %s', ("new york",))
print(k.rowcount, k.description[5].name, k.description[5].type_code)
k.execute('OVERRIDE CITY %s TO REGION %s FOR %s', ("l'aquila", 'europe-west1', '1h'))
print(k.statusmessage)
k.execute('SHOW OVERRIDES')
row = k.fetchone()
print(row[:3], row[3].tzinfo is not None)
c.commit()
c.set_session(readonly=True, autocommit=True)
k.execute("OVERRIDE CITY 'back\\slash' TO REGION us-east1")
try:
    k.execute('SELECT * FROM pg_class')
except psycopg2.Error as e:
    print(e.pgcode)
c.reset()
k.execute('SHOW server_version')
print(k.fetchone()[0].startswith('15'))
PY

my $node = <<'JS';
const { Client, Pool } = require('pg');
(async () => {
  const at = { host: process.argv[1], port: +process.argv[2], user: process.env.USER || require('os').userInfo().username,
    database: 'meridian' };
  const c = new Client(at);
  await c.connect();
  const r = await c.query('SHOW REGIONS');
  console.log(typeof r.rows[0].lat, typeof r.rows[0].nodes, r.rows[0].drained, r.rows.length, r.command);
  for (let i = 0; i < 3; i++) {
    const e = await c.query({ name: 'route', text: 'EXPLAIN ROUTE CITY $1', values: ['paris'] });
    if (i === 2) console.log(e.rows[0].region);
  }
  const v = await c.query('SHOW VERSION');
  console.log(v.rows[0].started_at instanceof Date);
  await c.query('KILL SESSION $1', [4711]).catch(e => console.log(e.code, e.message));
  const many = await c.query('SELECT 1; SHOW USERS; SHOW max_lag');
  console.log(many.length);
  await c.end();
  const pool = new Pool({ ...at, max: 4 });
  const all = await Promise.all([...Array(30).keys()].map(() => pool.query('SHOW SESSIONS FULL')));
  console.log(all.every(x => x.rows.length > 0));
  await pool.end();
})().catch(e => { console.log(e.message); process.exit(1); });
JS

driver_is('psycopg', $psycopg, <<'OUT', @where);
float int False us-east1
europe-west1 EXPLAIN
True
float int False us-east1
europe-west1 EXPLAIN
True
42704 region "mars" does not exist
session 4711 does not exist
20
1
UTF8 150000
OUT

driver_is('psycopg2', $psycopg2, <<'OUT', @where);
2 distance_km 701
OVERRIDE
('city', 'laquila', 'europe-west1') True
0A000
True
OUT

driver_is('node-postgres', $node, <<'OUT', @where);
number number false 2 SHOW
europe-west1
true
42704 session 4711 does not exist
3
true
OUT

$proxy->stop;
done_testing();
