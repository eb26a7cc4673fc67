#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Real drivers in transaction mode, many clients on two server connections: what they prepare, reuse,
# drop and prepare again. JDBC is 930.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Drivers qw(driver_is);
use Meridian::Test::Proxy;
use Test::More;

my ($node) = regional_clusters('us-east1');
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $node ],
	set     => { auth => 'trust', workers => 1, default_pool_size => 2, max_prepared_statements => 20 },
	conf    => "[database *]\npool = transaction\n");
$proxy->start;
$node->safe_psql('postgres', 'CREATE TABLE t (id serial PRIMARY KEY, who text, n int)');

# Each of eight clients prepares thirty texts, some with the others, some its own, again and again.
my $psycopg = <<'PY';
import sys, threading, psycopg
wrong = []
def client(me, threshold, most):
    try:
        with psycopg.connect(host='127.0.0.1', port=sys.argv[1], user='postgres', dbname='postgres', autocommit=True) as c:
            c.prepare_threshold, c.prepared_max = threshold, most
            for turn in range(6):
                for i in range(30):
                    if c.execute(f"select %s::int + {i if i % 2 else i * 100 + me}", (turn,)).fetchone()[0] != turn + (i if i % 2 else i * 100 + me):
                        wrong.append((me, turn, i))
                with c.transaction():
                    c.execute('insert into t (who, n) values (%s, %s)', (f'psycopg{me}', turn))
                    if c.execute('select count(*) from t where who = %s', (f'psycopg{me}',)).fetchone()[0] != turn + 1:
                        wrong.append((me, turn, 'insert'))
                try:
                    with c.transaction():
                        c.execute('insert into t (who, n) values (%s, %s)', (f'psycopg{me}', turn))
                        c.execute('select 1 / %s', (0,))
                except psycopg.errors.DivisionByZero:
                    pass
            with c.pipeline():
                cur = [c.execute(f'select %s::int * {k % 7}', (k,)) for k in range(60)]
                if [x.fetchone()[0] for x in cur] != [k * (k % 7) for k in range(60)]:
                    wrong.append((me, 'pipeline'))
            with c.pipeline() as p:
                good = c.execute('select %s::text', ('before',))
                try:
                    c.execute('select 1 / %s', (0,)).fetchone()
                    wrong.append((me, 'no error'))
                except psycopg.errors.DivisionByZero:
                    pass
                p.sync()
                if c.execute('select %s::text', ('after',)).fetchone()[0] != 'after':
                    wrong.append((me, 'after'))
            c.execute('drop table if exists none')
            if c.execute('select %s::int', (5,), prepare=True).fetchone()[0] != 5:
                wrong.append((me, 'last'))
    except Exception as e:
        wrong.append((me, repr(e)))
for threshold, most in ((0, 100), (1, 5), (5, 100)):
    threads = [threading.Thread(target=client, args=(i, threshold, most)) for i in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    with psycopg.connect(host='127.0.0.1', port=sys.argv[1], user='postgres', dbname='postgres', autocommit=True) as c:
        print('threshold', threshold, 'wrong', wrong[:5], c.execute('select count(*) from t').fetchone()[0])
        c.execute('truncate t')
PY

my $asyncpg = <<'PY';
import asyncio, sys, asyncpg
async def client(me, cache, wrong):
    c = await asyncpg.connect(host='127.0.0.1', port=int(sys.argv[1]), user='postgres', database='postgres',
                              statement_cache_size=cache)
    for turn in range(5):
        for i in range(25):
            if await c.fetchval(f'select $1::int + {i * (me if i % 2 else 1)}', turn) != turn + i * (me if i % 2 else 1):
                wrong.append((me, turn, i))
        async with c.transaction():
            await c.execute('insert into t (who, n) values ($1, $2)', f'asyncpg{me}', turn)
            rows = [r['n'] async for r in c.cursor('select n from t where who = $1 order by n', f'asyncpg{me}', prefetch=2)]
            if rows != list(range(turn + 1)):
                wrong.append((me, turn, rows))
        try:
            async with c.transaction():
                await c.fetchval('select 1 / $1::int', 0)
        except asyncpg.DivisionByZeroError:
            pass
        await c.executemany('insert into t (who, n) values ($1, $2)', [('many', k) for k in range(20)])
    s = await c.prepare('select $1::text || $2::text')
    for k in range(20):
        if await s.fetchval(str(me), str(k)) != f'{me}{k}':
            wrong.append((me, 'prepare', k))
    if [x['g'] for x in await c.fetch('select generate_series(1, 500) as g')] != list(range(1, 501)):
        wrong.append((me, 'rows'))
    await c.execute(f'create table asyncpg{me} as select 1 as a')
    if await c.fetchval(f'select * from asyncpg{me}') != 1:
        wrong.append((me, 'table'))
    await c.execute(f"alter table asyncpg{me} alter a type text using 'changed'")
    if await c.fetchval(f'select * from asyncpg{me}') != 'changed':
        wrong.append((me, 'changed'))
    await c.execute(f'drop table asyncpg{me}')
    await c.close()
async def main():
    for cache in (100, 3, 0):
        wrong = []
        c = await asyncpg.connect(host='127.0.0.1', port=int(sys.argv[1]), user='postgres', database='postgres')
        await c.execute('truncate t')
        await c.close()
        done = await asyncio.gather(*[client(i, cache, wrong) for i in range(8)], return_exceptions=True)
        print('cache', cache, 'wrong', wrong[:5], [repr(x) for x in done if x is not None][:3])
    pool = await asyncpg.create_pool(host='127.0.0.1', port=int(sys.argv[1]), user='postgres', database='postgres',
                                     min_size=2, max_size=6)
    all = await asyncio.gather(*[pool.fetchval('select $1::int * 2', i) for i in range(200)])
    print('pool', all == [i * 2 for i in range(200)])
    await pool.close()
asyncio.run(main())
PY

my $psycopg2 = <<'PY';
import sys, threading, psycopg2
wrong = []
def client(me):
    c = psycopg2.connect(host='127.0.0.1', port=sys.argv[1], user='postgres', dbname='postgres')
    k = c.cursor()
    k.execute(f"prepare mine as select $1 || 'of {me}'")
    for i in range(20):
        k.execute('execute mine(%s)', (str(i),))
        if k.fetchone()[0] != f'{i}of {me}':
            wrong.append((me, i))
        c.commit()
    k.execute('deallocate mine')
    c.commit()
    k.execute('select %s + 1', (me,))
    if k.fetchone()[0] != me + 1:
        wrong.append(me)
    c.commit()
    c.close()
threads = [threading.Thread(target=client, args=(i,)) for i in range(6)]
[t.start() for t in threads]
[t.join() for t in threads]
print('wrong', wrong[:5])
PY

my $node_pg = <<'JS';
const { Client, Pool } = require('pg');
(async () => {
  const at = { host: '127.0.0.1', port: +process.argv[1], user: 'postgres', database: 'postgres' };
  const wrong = [];
  const client = async me => {
    const c = new Client(at);
    await c.connect();
    for (let turn = 0; turn < 5; turn++) {
      for (let i = 0; i < 25; i++) {
        const plus = i % 2 ? i * me : i;
        const r = await c.query({ name: 'q' + i, text: `select $1::int + ${plus} as n`, values: [turn] });
        if (r.rows[0].n !== turn + plus) wrong.push([me, turn, i]);
      }
      await c.query('begin');
      await c.query({ name: 'insert', text: 'insert into t (who, n) values ($1, $2)', values: ['node' + me, turn] });
      const n = await c.query({ name: 'count', text: 'select count(*)::int as n from t where who = $1', values: ['node' + me] });
      if (n.rows[0].n !== turn + 1) wrong.push([me, turn, 'insert']);
      await c.query(turn % 2 ? 'commit' : { name: 'commit', text: 'commit' });
      await c.query({ name: 'zero', text: 'select 1 / $1::int', values: [0] }).then(() => wrong.push('no error'), e => e.code === '22012' || wrong.push(e.message));
      await c.query('select 1 / $1::int', [0]).catch(() => 0);
    }
    const same = await c.query({ name: 'q1', text: 'select 1' }).catch(e => e.message);
    if (!/must be unique/.test(same)) wrong.push(same);
    const many = await Promise.all([...Array(50).keys()].map(i => c.query({ name: 'many' + i % 3, text: `select $1::int * ${i % 3} as n`, values: [i] })));
    if (many.some((r, i) => r.rows[0].n !== i * (i % 3))) wrong.push([me, 'many']);
    await c.end();
  };
  await Promise.all([...Array(8).keys()].map(client));
  console.log('clients', JSON.stringify(wrong.slice(0, 5)));
  const pool = new Pool({ ...at, max: 8 });
  const all = await Promise.all([...Array(300).keys()].map(i => pool.query({ name: 'p' + i % 5, text: `select $1::int + ${i % 5} as n`, values: [i] })));
  console.log('pool', all.every((r, i) => r.rows[0].n === i + i % 5));
  await pool.end();
})().catch(e => { console.log(e.message); process.exit(1); });
JS

driver_is('psycopg', $psycopg, "threshold 0 wrong [] 48\nthreshold 1 wrong [] 48\nthreshold 5 wrong [] 48\n", $proxy->port);
driver_is('asyncpg', $asyncpg, "cache 100 wrong [] []\ncache 3 wrong [] []\ncache 0 wrong [] []\npool True\n", $proxy->port);
driver_is('psycopg2', $psycopg2, "wrong []\n", $proxy->port);
driver_is('node-postgres', $node_pg, "clients []\npool true\n", $proxy->port);

my ($most) = sort { $b <=> $a } map { $_->{prepared_statements} // 0 } @{ $proxy->console('SHOW SERVERS') };
cmp_ok($most, '>', 0, 'statements are shown');
cmp_ok($most, '<=', 20, 'no connection has more than max_prepared_statements');
is(scalar @{ $proxy->console('SHOW SERVERS') }, 2, 'two connections have been enough');

$proxy->stop;
done_testing();
