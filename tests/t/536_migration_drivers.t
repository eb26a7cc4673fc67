#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Drivers run migrations: parameters in commands, typed results in text and in binary, NOTICEs, errors
# with their SQLSTATE, FOLLOW as a COPY, cancel as detach, connections closed in the middle.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Drivers qw(driver_is);
use Meridian::Test::Proxy;
use PostgreSQL::Test::Utils ();
use Test::More;

my $node  = regional_clusters('us-east1');
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $node ],
	set     => { migration_conninfo => 'user=postgres' });
$proxy->start;
$proxy->wait_console('SHOW NODES FULL', sub { $_[0][0]{state} eq 'up' });

# One database and one folder of files for each driver, so that none sees another's. The fourth file waits
# until there is a row in the table "go".
sub prepare
{
	my ($name) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE \"$name\"");
	$node->safe_psql($name, 'CREATE TABLE go(i int)');
	my $dir = PostgreSQL::Test::Utils::tempdir();
	PostgreSQL::Test::Utils::append_to_file("$dir/V001__t.sql", "CREATE TABLE t(id int PRIMARY KEY);\n");
	PostgreSQL::Test::Utils::append_to_file("$dir/V00${_}__sleep.sql", "SELECT pg_sleep(0.3);\n") for 2, 3, 5, 6;
	PostgreSQL::Test::Utils::append_to_file("$dir/V004__wait.sql", <<'SQL');
DO $$ BEGIN
	FOR i IN 1 .. 1200 LOOP
		EXIT WHEN EXISTS (SELECT FROM go);
		PERFORM pg_sleep(0.05);
	END LOOP;
END $$;
SQL
	return ($proxy->socket_dir, $proxy->port, $name, $dir);
}

my @where = prepare('psycopg');
$node->safe_psql('psycopg', 'INSERT INTO go VALUES (1)');
driver_is('psycopg', <<'PY', <<'OUT', @where);
import sys, threading, time, psycopg
host, port, db, files = sys.argv[1:5]
c = psycopg.connect(host=host, port=port, dbname='meridian', autocommit=True)
notices = []
c.add_notice_handler(lambda d: notices.append(d.message_primary))
k = c.cursor(binary=True)
row = k.execute('CREATE MIGRATION a OF DATABASE ' + db + ' FROM FILES %s WITH (lint = %s)', (files, 'off')).fetchone()
m = row[0]
print(type(m).__name__, row[1:4], k.statusmessage, row[7] == 'RUN MIGRATION %d ALL;' % m)
print(any('checks: 0 errors' in n for n in notices))
row = k.execute('RUN MIGRATION %s NEXT', (str(m),), prepare=True).fetchone()
print(row[3], k.statusmessage)
try:
    k.execute('SET MIGRATION %s (lint = %s)', (str(m), 'loud'))
except psycopg.errors.InvalidParameterValue as e:
    print(e.sqlstate, e.diag.message_hint)
k.execute('RUN MIGRATION %s ALL NOWAIT', (str(m),))
with k.copy('FOLLOW MIGRATION %d' % m) as copy:
    text = b''.join(bytes(b) for b in copy).decode()
print(text.count('step-done'), text.rstrip().split('\n')[-1] == 'migration %d is done' % m)
row = k.execute("SHOW MIGRATIONS LIKE %s", ('a',)).fetchone()
print(row[3], row[5], row[8], row[10].tzinfo is not None)
k.execute("SELECT 1")
print(k.fetchone()[0])
# the files are there already
k.execute('CREATE MIGRATION b OF DATABASE ' + db + ' FROM FILES %s WITH (lint = off)', (files,))
m = k.fetchone()[0]
print(k.execute('RUN MIGRATION %s ALL', (str(m),)).fetchone()[3])
PY
int ('a', 'files', 'preflight-success') CREATE MIGRATION True
True
paused RUN MIGRATION
22023 It takes error, warn or off.
8 True
done 100 psycopg True
1
done
OUT

driver_is('psycopg2', <<'PY', <<'OUT', prepare('psycopg2'));
import io, os, socket, sys, threading, time, psycopg2
host, port, db, files = sys.argv[1:5]
c = psycopg2.connect(host=host, port=port, dbname='meridian')
c.autocommit = True
k = c.cursor()
k.execute('CREATE MIGRATION c OF DATABASE ' + db + ' FROM FILES %s WITH (lint = off)', (files,))
m = k.fetchone()[0]
print(any('Start the migration with' in n for n in c.notices))
def cancel_when_it_waits():
    o = psycopg2.connect(host=host, port=port, dbname='meridian')
    o.autocommit = True
    l = o.cursor()
    step = ''
    while 'V004' not in step:
        l.execute('SHOW MIGRATION %s', (m,))
        step = l.fetchone()[4] or ''
    c.cancel()
threading.Thread(target=cancel_when_it_waits).start()
try:
    k.execute('RUN MIGRATION %s ALL', (m,))
except psycopg2.Error as e:
    print(e.pgcode, str(e).startswith('detached from migration %d; it continues' % m))
k.execute('SHOW MIGRATION %s', (m,))
print(k.fetchone()[3].startswith('running'))
# one who hangs up while it is told changes nothing
d = psycopg2.connect(host=host, port=port, dbname='meridian')
d.autocommit = True
class Leaves(io.StringIO):
    def write(self, text):
        socket.socket(fileno=os.dup(d.fileno())).shutdown(socket.SHUT_RDWR)
try:
    d.cursor().execute('RETRY MIGRATION %s', (m,))
except psycopg2.Error as e:
    print(e.pgcode)
try:
    d.cursor().copy_expert('FOLLOW MIGRATION %d' % m, Leaves())
except psycopg2.Error as e:
    print('left')
g = psycopg2.connect(host=host, port=port, dbname=db)
g.cursor().execute('INSERT INTO go VALUES (1)')
g.commit()
out = io.StringIO()
k.copy_expert('FOLLOW MIGRATION %d' % m, out)
print(out.getvalue().count('step-done'))
try:
    k.execute('RUN MIGRATION %s ALL', (m,))
except psycopg2.Error as e:
    print(e.pgcode)
PY
True
57014 True
True
55P03
left
8
55000
OUT

driver_is('asyncpg', <<'PY', <<'OUT', prepare('asyncpg'));
import asyncio, sys, asyncpg
host, port, db, files = sys.argv[1:5]
async def main():
    c = await asyncpg.connect(host=host, port=int(port), database='meridian')
    said = []
    steps = asyncio.Event()
    def hear(_, m):
        said.append(m.message)
        if 'V003' in m.message:
            steps.set()
    c.add_log_listener(hear)
    r = await c.fetchrow('CREATE MIGRATION d OF DATABASE ' + db + ' FROM FILES $1 WITH (lint = $2)', files, 'off')
    m = r['migration']
    print(type(m).__name__, r['state'])
    run = asyncio.ensure_future(c.fetch('RUN MIGRATION $1 ALL', str(m)))
    await asyncio.wait_for(steps.wait(), 60)
    run.cancel()
    try:
        await run
    except asyncio.CancelledError:
        print('cancelled')
    r = await c.fetchrow('SHOW MIGRATION $1', str(m))
    print(r['state'].startswith('running'))
    try:
        await c.fetch('RUN MIGRATION $1 ALL', str(m))
    except asyncpg.PostgresError as e:
        print(e.sqlstate)
    g = await asyncpg.connect(host=host, port=int(port), database=db)
    await g.execute('INSERT INTO go VALUES (1)')
    for i in range(600):
        r = await c.fetchrow('SHOW MIGRATION $1', str(m))
        if not r['state'].startswith('running'):
            break
        await asyncio.sleep(0.1)    # time: a pause between two looks
    log = await c.fetch('SHOW MIGRATION $1 LOG', str(m))
    print(r['state'], log[0]['seq'], log[0]['at'].tzinfo is not None, any('step' in s for s in said))
    await c.close()
asyncio.run(main())
PY
int preflight-success
cancelled
True
55P03
done 1 True True
OUT

$proxy->stop;
done_testing();
