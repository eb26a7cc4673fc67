#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# The relay under everything that clients do to a server: pgbench in each of its ways, dump and
# restore, rows and COPY of 100 MB, notifications, pipelines, function calls, COPY that fails.
use strict;
use warnings;
use IPC::Run qw(run);
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Measure qw(:all);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;

my $clients = "$ENV{MERIDIAN_BUILDDIR}/tests/tools/clients";
my $mb      = sanitized() ? 20 : 100;
my $node    = regional_clusters('us-east1');
my $proxy   = Meridian::Test::Proxy->new('main', regions => [ 'us-east1' => $node ]);
$proxy->start;
my $dir = PostgreSQL::Test::Utils::tempdir();
my $db  = $proxy->connstr('postgres');

sub types { return join '', map { $_->[0] } @_ }

sub session
{
	my $w = Meridian::Test::Wire->new($proxy);
	$w->login(database => 'postgres', application_name => 'wire');
	return $w;
}

# What the proxy takes the sessions of this application for.
sub states_are
{
	my ($want, $what, $application) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @states;
	wait_until(sub {
		@states = map { $_->{state} } grep { $_->{application_name} eq ($application // 'wire') }
		  @{ $proxy->console('SHOW SESSIONS FULL') };
		return "@states" eq $want;
	});
	is("@states", $want, $what);
	return;
}

# ---------------------------------------------------------------- the tools of PostgreSQL

$proxy->command_ok([ 'pgbench', '-iq', '-s', '1', 'postgres' ], 'pgbench -i');
for my $mode (qw(simple extended prepared)) {
	$proxy->command_like([ 'pgbench', '-n', '-M', $mode, '-c8', '-j2', '-t100', 'postgres' ],
		qr{actually processed: 800/800}, "pgbench -M $mode, 8 clients");
}

$proxy->safe_psql('postgres', <<'SQL');
CREATE TABLE odd (id serial PRIMARY KEY, b bytea, t text COLLATE "C", a int[], j jsonb, n numeric, ts timestamptz);
INSERT INTO odd (b, t, a, j, n, ts)
  SELECT decode(repeat(md5(i::text), 1 + i), 'hex'), repeat(chr(200 + i), i * i), ARRAY[i, NULL, -i],
    jsonb_build_object('i', i, 'back', E'\\slash'), i / 7.0, NULL FROM generate_series(1, 300) i;
CREATE VIEW evens AS SELECT * FROM odd WHERE id % 2 = 0;
CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql AS 'SELECT $1 * 2';
CREATE INDEX ON odd (twice(id));
SELECT lo_from_bytea(4711, decode(repeat('ab', 100000), 'hex'));
CREATE DATABASE copy;
SQL
ok(run([ 'pg_dump', '-b', '-d', $db ], '|', [ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $proxy->connstr('copy') ],
		'>', '/dev/null'), 'pg_dump | psql');
run([ 'pg_dump', '-b', '-f', "$dir/original", '-d', $node->connstr('postgres') ]);
run([ 'pg_dump', '-b', '-f', "$dir/copy", '-d', $proxy->connstr('copy') ]);
cmp_ok(-s "$dir/original", '>', 1_000_000, 'there was something to dump');
my $differ = '';
run([ 'diff', '-I', '^.\(un\)\?restrict ', "$dir/original", "$dir/copy" ], '>', \$differ);
is(substr($differ, 0, 1000), '', 'the copy is the original');
ok(run([ 'pg_dump', '-Fd', '-j2', '-f', "$dir/dump", '-d', $db ]), 'pg_dump -j2 (a snapshot in three sessions)');

# ---------------------------------------------------------------- much at once, in little memory

my $peak_before = peak_kb($proxy->pid);
my $out = '';
run([ $clients, 'echo', $mb << 20, "$db options='-c log_statement=none'" ], '>', \$out);
is($out, "same\n", "a value of $mb MB to the server and back");

$proxy->safe_psql('postgres', 'CREATE UNLOGGED TABLE bulk (line text)');
my $rows = $mb * 1000;
ok(run([ 'psql', '-XqAt', '-d', $db, '-c', "COPY (SELECT i || repeat('x', 1000) FROM generate_series(1, $rows) i) TO STDOUT" ],
		'|', [ 'psql', '-XqAt', '-d', $db, '-c', 'COPY bulk FROM STDIN' ]), "COPY of $mb MB out and in");
is($proxy->safe_psql('postgres', 'SELECT count(*), count(DISTINCT line), sum(length(line)) FROM bulk'),
	$proxy->safe_psql('postgres', "SELECT $rows, $rows, sum(length(i::text) + 1000) FROM generate_series(1, $rows) i"),
	'each line came');
ok(run([ 'psql', '-XqAt', '-d', $db, '-c', 'TABLE bulk' ], '|', [ 'tail', '-1' ], '>', \$out), 'and comes as rows');
like($out, qr/^${rows}x{1000}$/, 'to the last');

my $growth = peak_kb($proxy->pid) - $peak_before;
measured('%d kB more at the peak', $growth);
cmp_ok($growth, '<', 4096, 'all of it took less than 4 MB of memory') unless sanitized();

# ---------------------------------------------------------------- pipelines

run([ $clients, 'pipeline', 20000, $db ], '>', \$out);
is($out, "rows 19000 errors 200 aborted 800 syncs 2000\n", 'libpq pipeline: 20,000 queries, 200 errors');

my $w = session();
my $n = 2000;
$w->send((query('SELECT 1') . parse('SELECT 2') . bind_message([]) . execute . sync_message) x $n);
my %seen;
for my $z (1 .. 2 * $n) { $seen{ $_->[0] }++ for $w->until('Z') }
is_deeply([ @seen{qw(D Z E)} ], [ 2 * $n, 2 * $n, undef ], "$n simple and $n extended queries in one piece");
$w->send(query('SELECT 1; SELECT 2; BEGIN; SELECT 3'));
is(types($w->until('Z')), 'TDCTDCCTDCZ', 'several statements in one Query');
states_are('idle in transaction', 'which leaves the transaction open');
$w->send(query('SELECT 1/0'));
$w->until('Z');
states_are('idle in transaction (aborted)', 'and fails it');
$w->send(query('ROLLBACK'), query(''), parse('SELECT 1'), flush_message);
is(types($w->until('Z'), $w->until('Z'), $w->until('1')), 'CZIZ1', 'an empty query; Flush without Sync');
states_are('active', 'a sequence without Sync is not over');
$w->send(sync_message);
is(types($w->until('Z')), 'Z', 'until Sync comes');
states_are('idle', 'then it is');

# ---------------------------------------------------------------- COPY, also when it fails

$w->send(query('CREATE TEMP TABLE t (i int)'));
$w->until('Z');
my @copies = (
	[ 'a COPY that ends well', [ query('COPY t FROM STDIN') ], [ copy_data("1\n2\n"), copy_done ], 'CZ' ],
	[ 'CopyFail', [ query('COPY t FROM STDIN') ], [ copy_data("1\n"), copy_fail('enough') ], 'EZ' ],
	[ 'data that is none', [ query('COPY t FROM STDIN') ], [ copy_data("one\n"), copy_data("2\n") x 100, copy_done ], 'EZ' ],
	[
		'an extended COPY, Sync first, as libpq does it',
		[ parse('COPY t FROM STDIN'), bind_message([]), execute, sync_message ],
		[ copy_data("3\n"), copy_done, sync_message ], 'CZ'
	],
	[
		'an extended COPY that fails',
		[ parse('COPY t FROM STDIN'), bind_message([]), execute ],
		[ copy_data("three\n"), copy_done, sync_message ], 'EZ'
	],
	[ 'Flush and Sync amid the data', [ query('COPY t FROM STDIN') ],
		[ copy_data("4\n"), flush_message, sync_message, copy_data("5\n"), copy_done ], 'CZ' ],
);
for (@copies) {
	my ($what, $begin, $data, $want) = @$_;
	$w->send(@$begin);
	my @m = $w->until('G');
	$w->send(@$data);
	push @m, $w->until('Z');
	is(types(@m) =~ s/^[12]*G//r, $want, $what);
	states_are('idle', '... and it is over');
}
$w->send(query('COPY t FROM STDIN') . copy_data("6\n") . copy_done . query('SELECT sum(i) FROM t'));
is(types($w->until('Z'), $w->until('Z')), 'GCZTDCZ', 'a COPY in one piece with its data and the next query');
$w->send(query('COPY t TO STDOUT'));
is(types($w->until('Z')), 'HddddddcCZ', 'COPY out');
$w->send(query('COPY (SELECT 1/(5 - i) FROM generate_series(1, 9) i) TO STDOUT'));
is(types($w->until('Z')), 'HddddEZ', 'COPY out that fails half way');
states_are('idle', '... and it is over');

# ---------------------------------------------------------------- seldom seen

my $oid = $node->safe_psql('postgres', "SELECT 'int4pl'::regproc::oid");
$w->send(function_call($oid, 40, 2));
my @m = $w->until('Z');
is(types(@m), 'VZ', 'FunctionCall');
is(substr($m[0][1], 4), '42', 'and its result');
$w->send(function_call(0));
is(types($w->until('Z')), 'EZ', 'FunctionCall of nothing');

$w->send(query(<<'SQL'));
DO $$ BEGIN FOR i IN 1..100 LOOP RAISE NOTICE 'n %', i; END LOOP; END $$; SELECT 1; SET application_name = 'other'; SELECT 2
SQL
is(types($w->until('Z')) =~ s/N+/N/r, 'NCTDCCTDCSZ', 'notices and a ParameterStatus amid the rows');
$w->send(query("SET application_name = 'wire'"));
$w->until('Z');

my $listener = session();
$listener->send(query('LISTEN news'));
$listener->until('Z');
$w->send(query("NOTIFY news, 'from the other'"));
$w->until('Z');
is(($listener->until('A'))[0][1] =~ s/^.{4}//sr, "news\0from the other\0", 'NOTIFY reaches a session that sits idle');
$listener->send(terminate);
ok($listener->closed, 'Terminate ends it');
states_are('idle', 'and the other is as it was');

# A client that says Terminate behind a query has not vanished: the server finishes.
my ($quick, $locker) = (session(), Meridian::Test::Wire->session($node));
$locker->ask('SELECT pg_advisory_lock(1)');
$quick->send(query('CREATE TABLE left_behind AS SELECT 1 FROM pg_advisory_xact_lock(1)'));
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'advisory'"), 'a query runs');
$quick->send(terminate);
$quick->close;
let_pass(0.3, 'the end of the client reaches the server');
$locker->close;
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_class WHERE relname = 'left_behind'"),
	'with Terminate behind it, it is carried out');

# A half-closed connection is one whose client is gone.
my $half = session();
$half->send(query('SELECT pg_sleep(100)'));
$half->shutdown;
ok($half->closed, 'half-close: the session ends');
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(100)%' AND pid <> pg_backend_pid()"),
	'and its query with it');

# What is not the protocol ends the session, with a word and no other.
$w->send("Q\0\0\0\3");
@m = $w->until('E');
is(error_fields($m[-1])->{C}, '08P01', 'a length below four') or diag explain \@m;
ok($w->closed, 'ends the session');
$proxy->stop;
done_testing();
