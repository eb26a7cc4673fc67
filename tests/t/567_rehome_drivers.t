#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Real drivers whose sessions are moved to and fro while they work: what they have prepared by
# themselves, in the protocol or in SQL, by name or without one, settings, pipelines, cursors,
# batches and LISTEN. Each driver says what was wrong; nothing is to be.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Drivers qw(driver_run driver_missing);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use Test::More;

my ($east, $west) = regional_clusters('us-east1', 'us-west1');
$_->safe_psql('postgres', 'CREATE TABLE t (who text, n int); CREATE FUNCTION place() RETURNS text LANGUAGE sql AS $$ SELECT current_setting(\'port\') $$')
  for $east, $west;
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $east, 'us-west1' => $west ],
	set     => { auth => 'trust', workers => 2, region => 'us-east1', default_pool_size => 40 },
	conf    => "[database own]\ndbname = postgres\npool = off\n[database ses]\ndbname = postgres\npool = session\n");
$proxy->start;
$proxy->wait_up(2);

# Sessions are sent to and fro by a child until it is told to stop; returns its pid.
sub begin_moving
{
	my $pid = fork // die "fork: $!";
	return $pid if $pid;
	my $round = 0;
	$SIG{TERM} = sub { POSIX::_exit(0) };
	require POSIX;
	my $admin = Meridian::Test::Wire->new(path => $proxy->socket_path);
	$admin->login(database => 'meridian');
	for (;;) {
		my $region = $round++ % 2 ? 'us-east1' : 'us-west1';
		for my $database (qw(own ses)) {
			$admin->send(query("SHOW SESSIONS FULL DATABASE $database"));
			$admin->ask("REHOME SESSION $_ TO REGION $region") for map { row_values($_)->[0] } grep { $_->[0] eq 'D' } $admin->until('Z');
		}
		let_pass(0.02, 'the drivers ask something');
	}
}

sub moves { return (grep { $_->{counter} eq 'rehomed' } @{ $proxy->console('SHOW STATS') })[0]{value} }

my $psycopg = <<'PY';
import sys, threading, time, psycopg
wrong, ports = [], set()
def client(me, threshold, db):
    try:
        with psycopg.connect(host='127.0.0.1', port=sys.argv[1], user='postgres', dbname=db, autocommit=True) as c:
            c.prepare_threshold = threshold
            c.execute(f"set app.me = 'client {me}'")
            c.execute("set time zone 'Asia/Tokyo'")
            end, turn = time.time() + 2.5, 0
            while time.time() < end:
                turn += 1
                for i in range(10):
                    if c.execute(f"select %s::int + {i}", (turn,)).fetchone()[0] != turn + i:
                        wrong.append((me, turn, i))
                got = c.execute("select current_setting('app.me'), current_setting('timezone'), place()").fetchone()
                if got[:2] != (f'client {me}', 'Asia/Tokyo'):
                    wrong.append((me, turn, got))
                ports.add(got[2])
                with c.transaction():
                    here = c.execute('select place()').fetchone()[0]
                    before = c.execute('select count(*) from t where who = %s', (f'p{me}',)).fetchone()[0]
                    c.execute('insert into t (who, n) values (%s, %s)', (f'p{me}', turn))
                    if c.execute('select count(*) from t where who = %s', (f'p{me}',)).fetchone()[0] != before + 1:
                        wrong.append((me, turn, 'insert'))
                    if c.execute('select place()').fetchone()[0] != here:
                        wrong.append((me, turn, 'moved in a transaction'))
                with c.pipeline():
                    cur = [c.execute(f'select %s::int * {k % 7}', (k,)) for k in range(20)]
                    if [x.fetchone()[0] for x in cur] != [k * (k % 7) for k in range(20)]:
                        wrong.append((me, 'pipeline'))
                time.sleep(0.01)  # time: a pause between two turns
    except Exception as e:
        wrong.append((me, db, repr(e)))
for db in ('own', 'ses'):
    threads = [threading.Thread(target=client, args=(f'{db}{i}', (0, 1, 5, None)[i % 4], db)) for i in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
print('wrong', wrong[:5], len(ports))
PY

my $asyncpg = <<'PY';
import asyncio, sys, time, asyncpg
wrong, ports, heard = [], set(), []
async def client(me, cache, db):
    c = await asyncpg.connect(host='127.0.0.1', port=int(sys.argv[1]), user='postgres', database=db, statement_cache_size=cache)
    s = await c.prepare('select $1::text || $2::text')
    await c.add_listener('news', lambda *a: heard.append(a))
    end, turn = time.time() + 2.5, 0
    while time.time() < end:
        turn += 1
        for i in range(10):
            if await c.fetchval(f'select $1::int + {i}', turn) != turn + i:
                wrong.append((me, turn, i))
        if await s.fetchval(me, str(turn)) != f'{me}{turn}':
            wrong.append((me, turn, 'prepared'))
        ports.add(await c.fetchval('select place()'))
        async with c.transaction():
            rows = [r['g'] async for r in c.cursor('select generate_series(1, $1::int) as g', 30, prefetch=4)]
            if rows != list(range(1, 31)):
                wrong.append((me, turn, rows))
        await c.execute("notify news, 'x'")
        await asyncio.sleep(0.01)  # time: a pause between two turns
    await c.close()
async def main():
    for db in ('own', 'ses'):
        done = await asyncio.gather(*[client(f'{db}{i}', (100, 3, 0)[i % 3], db) for i in range(3)], return_exceptions=True)
        wrong.extend(repr(x) for x in done if x is not None)
    print('wrong', wrong[:5], len(ports), len(heard) > 20)
asyncio.run(main())
PY

my $psycopg2 = <<'PY';
import sys, threading, time, psycopg2
wrong, ports = [], set()
def client(me, db):
    try:
        c = psycopg2.connect(host='127.0.0.1', port=sys.argv[1], user='postgres', dbname=db)
        k = c.cursor()
        k.execute(f"prepare mine (text) as select $1 || ' of {me}'; prepare other as select ';'")
        k.execute("set search_path to pg_catalog, public")
        c.commit()
        end, i = time.time() + 2.5, 0
        while time.time() < end:
            i += 1
            k.execute('execute mine(%s)', (str(i),))
            if k.fetchone()[0] != f'{i} of {me}':
                wrong.append((me, i))
            k.execute('execute other')
            k.execute("select place(), current_setting('search_path')")
            got = k.fetchone()
            ports.add(got[0])
            if got[1] != 'pg_catalog, public':
                wrong.append((me, got))
            c.commit()
            time.sleep(0.01)  # time: a pause between two turns
        c.close()
    except Exception as e:
        wrong.append((me, db, repr(e)))
threads = [threading.Thread(target=client, args=(f'{db}{i}', db)) for i in range(2) for db in ('own', 'ses')]
[t.start() for t in threads]
[t.join() for t in threads]
print('wrong', wrong[:5], len(ports))
PY

my $node_pg = <<'JS';
const { Client } = require('pg');
(async () => {
  const wrong = [], ports = new Set();
  const client = async (me, database) => {
    const c = new Client({ host: '127.0.0.1', port: +process.argv[1], user: 'postgres', database });
    await c.connect();
    const end = Date.now() + 2500;
    for (let turn = 0; Date.now() < end; turn++) {
      for (let i = 0; i < 10; i++) {
        const r = await c.query({ name: 'q' + i, text: `select $1::int + ${i} as n`, values: [turn] });
        if (r.rows[0].n !== turn + i) wrong.push([me, turn, i]);
      }
      ports.add((await c.query('select place() as p')).rows[0].p);
      const r = await c.query('select $1::int * 2 as n', [turn]);
      if (r.rows[0].n !== turn * 2) wrong.push([me, turn, 'unnamed']);
      await new Promise(done => setTimeout(done, 10));
    }
    await c.end();
  };
  await Promise.all([0, 1, 2, 3].map(i => client(i, i % 2 ? 'own' : 'ses').catch(e => wrong.push(e.message))));
  console.log('wrong', JSON.stringify(wrong.slice(0, 5)), ports.size);
})().catch(e => { console.log(e.message); process.exit(1); });
JS

my $java = <<'JAVA';
import java.sql.*;
import java.util.*;
import java.util.concurrent.*;

class Main {
	static final Queue<String> wrong = new ConcurrentLinkedQueue<>();
	static final Set<String> ports = ConcurrentHashMap.newKeySet();

	static void client(String url, int me) throws SQLException {
		try (Connection c = DriverManager.getConnection(url, "postgres", "")) {
			long end = System.currentTimeMillis() + 2500;
			for (int turn = 0; System.currentTimeMillis() < end; turn++) {
				for (int i = 0; i < 10; i++) {
					try (PreparedStatement s = c.prepareStatement("select ?::int + " + i + ", place()")) {
						s.setInt(1, turn);
						try (ResultSet r = s.executeQuery()) {
							r.next();
							if (r.getInt(1) != turn + i) wrong.add(me + " " + turn + " " + i);
							ports.add(r.getString(2));
						}
					}
				}
				c.setAutoCommit(false);
				try (PreparedStatement s = c.prepareStatement("insert into t (who, n) values (?, ?)")) {
					for (int k = 0; k < 20; k++) {
						s.setString(1, "jdbc" + me);
						s.setInt(2, turn);
						s.addBatch();
					}
					if (s.executeBatch().length != 20) wrong.add("batch");
				}
				c.commit();
				c.setAutoCommit(true);
				try { Thread.sleep(10); } catch (InterruptedException e) { }  // time: a pause between two turns
			}
		}
	}

	public static void main(String[] a) throws Exception {
		ExecutorService all = Executors.newCachedThreadPool();
		List<Future<?>> done = new ArrayList<>();
		String[] how = { "prepareThreshold=1", "prepareThreshold=5", "prepareThreshold=0", "preferQueryMode=simple" };
		for (int i = 0; i < 8; i++) {
			int me = i;
			String url = "jdbc:postgresql://127.0.0.1:" + a[0] + "/" + (i % 2 == 0 ? "own" : "ses") + "?" + how[i / 2];
			done.add(all.submit(() -> { client(url, me); return null; }));
		}
		for (Future<?> f : done) {
			try { f.get(); } catch (ExecutionException e) { wrong.add(e.getCause().getMessage()); }
		}
		all.shutdown();
		System.out.println("wrong " + wrong + " " + ports.size());
	}
}
JAVA

sub driver_is
{
	my ($name, $program, $want) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
  SKIP: {
		my $why = driver_missing($name);
		skip $why, 2 if $why;
		my $before = moves();
		my $pid    = begin_moving();
		my $said   = driver_run($name, $program, $proxy->port);
		kill 'TERM', $pid;
		waitpid $pid, 0;
		is($said, $want, $name);
		my $moved = moves() - $before;
		cmp_ok($moved, '>=', 4, "its sessions were moved ($moved times)");
	}
	return;
}

driver_is('psycopg',       $psycopg,  "wrong [] 2\n");
driver_is('asyncpg',       $asyncpg,  "wrong [] 2 True\n");
driver_is('psycopg2',      $psycopg2, "wrong [] 2\n");
driver_is('node-postgres', $node_pg,  "wrong [] 2\n");
driver_is('jdbc',          $java,     "wrong [] 2\n");

$proxy->stop;
done_testing();
