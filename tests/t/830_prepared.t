#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Prepared statements of sessions that share server connections, one transaction at a time: what is
# read is what a connection of one's own would have said. Real drivers are 832.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Measure qw(measured peak_kb peak_reset sanitized);
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;

my ($node) = regional_clusters('us-east1');
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $node ],
	set     => { auth => 'trust', workers => 1, default_pool_size => 2, max_prepared_statements => 5 },
	conf    => "[database *]\npool = transaction\n[database template1]\npool = session\n");
$proxy->start;

sub session
{
	my (%param) = @_;
	my $w = Meridian::Test::Wire->new($proxy);
	$w->login(database => 'postgres', user => 'postgres', %param);
	return $w;
}

# The answer as words: types of messages, values of rows, codes of errors.
sub answer
{
	my ($w, $end) = @_;
	return join ' ', map { $_->[0] eq 'D' ? 'D=' . (row_values($_)->[0] // 'null') : $_->[0] eq 'E' ? 'E=' . error_fields($_)->{C} : $_->[0] }
	  grep { $_->[0] !~ /[TtSN]/ } $w->until($end // 'Z');
}

sub say_to
{
	my ($w, @messages) = @_;
	$w->send(join '', @messages);
	return answer($w);
}

sub prepare { my ($name, $sql) = @_; return parse($sql, $name) }
sub run { my ($name, @values) = @_; return bind_message(\@values, $name) }

sub value
{
	my ($w, $sql) = @_;
	return say_to($w, query($sql)) =~ /D=(\S+)/ ? $1 : undef;
}

my $S = sync_message();
my $pid = 'SELECT pg_backend_pid()';

# ---------------------------------------------------------------- names wander

my ($a, $b, $c) = map { session() } 1 .. 3;
is(say_to($a, prepare('x', "SELECT 'a' || \$1"), $S), '1 Z', 'a session prepares');
is(say_to($b, prepare('x', "SELECT 'b' || \$1"), $S), '1 Z', 'another, by the same name');
is(say_to($_->[0], run('x', '1'), execute(), $S), "2 D=$_->[1] C Z", "each has its own ($_->[1])")
  for [ $a, 'a1' ], [ $b, 'b1' ];

# Both server connections are in use: a third session has what it prepared on either of them.
is(say_to($c, prepare('mine', $pid), $S), '1 Z', 'a third session prepares');
is(say_to($a, query('BEGIN')), 'C Z', 'one connection is taken');
my $one = say_to($c, run('mine'), execute(), $S);
is(say_to($b, query('BEGIN')), 'C Z', 'so is the other');
is(say_to($a, query('COMMIT')), 'C Z', 'the first is free again');
my $two = say_to($c, run('mine'), execute(), $S);
like($_, qr/^2 D=\d+ C Z$/, "its statement is where it is ($_)") for $one, $two;
isnt($one, $two, 'on two connections');
is(say_to($b, query('COMMIT')), 'C Z', 'all is free');

# ---------------------------------------------------------------- what a server of its own would say

is(say_to($a, prepare('x', 'SELECT 1'), $S), 'E=42P05 Z', 'a name that is in use');
is(say_to($a, run('y'), execute(), $S), 'E=26000 Z', 'a name that is not known');
is(say_to($a, run('meridian_1'), execute(), $S), 'E=26000 Z', 'a name of ours');
is(say_to($a, describe('S', 'x'), $S), 'Z', 'Describe');
is(say_to($a, close_message('S', 'y'), $S), '3 Z', 'Close of what is not there');
is(say_to($a, close_message('S', 'x'), prepare('x', "SELECT 'new'"), run('x'), execute(), $S), '3 1 2 D=new C Z',
	'a name is used anew');
is(say_to($a, prepare('bad', 'SELECT nonsense('), $S), 'E=42601 Z', 'what cannot be parsed');
is(say_to($a, run('bad'), $S), 'E=26000 Z', 'is not there');
is(say_to($a, query('BEGIN'), prepare('z', 'SELECT 1'), query('ROLLBACK')) . ' ' . answer($a), 'C Z 1 C Z',
	'a Parse in a transaction that is rolled back');
is(say_to($a, run('z'), execute(), $S), '2 D=1 C Z', 'is there');
is(say_to($a, query('BEGIN'), query('SELECT 1/0')) . ' ' . answer($a), 'C Z E=22012 Z', 'a transaction fails');
is(say_to($a, prepare('z2', 'SELECT 1'), $S), 'E=25P02 Z', 'Parse fails in it');
is(say_to($a, run('z'), execute(), $S), 'E=25P02 Z', 'and Bind');
is(say_to($a, query('ROLLBACK')), 'C Z', 'it is over');
is(say_to($a, run('z2'), $S), 'E=26000 Z', 'what failed is not there');

# Pipelines: what follows an error is skipped up to the Sync, and so is what would have been prepared.
is(say_to($a, query('SELECT 1/0'), prepare('p1', 'SELECT 1'), $S) . ' ' . answer($a), 'E=22012 Z 1 Z', 'a Query that fails skips nothing');
$a->send(prepare('', 'SELECT 1/0') . run('') . execute() . prepare('p2', "SELECT 'p2'") . close_message('S', 'p1') . $S
	. run('p1') . execute() . $S . prepare('p2', "SELECT 'again'") . run('p2') . execute() . $S);
is(join(' ', map { answer($a) } 1 .. 3), '1 E=22012 Z 2 D=1 C Z 1 2 D=again C Z', 'skipped: neither prepared nor closed');

# The statement without a name outlives its sequence.
is(say_to($a, prepare('', "SELECT 'unnamed'"), $S), '1 Z', 'without a name');
value($_, $pid), say_to($_, prepare('', "SELECT 'other'"), $S) for $b, $c, $b;
is(say_to($a, run(''), execute(), $S), '2 D=unnamed C Z', 'it is the session\'s own, wherever it is');
say_to($a, query('SELECT 1'));
is(say_to($a, run(''), execute(), $S), 'E=26000 Z', 'a Query drops it');

# ---------------------------------------------------------------- by SQL

is(say_to($a, query('DEALLOCATE p1')), 'C Z', 'DEALLOCATE of a statement of the protocol');
is(say_to($a, query('DEALLOCATE p1')), 'E=26000 Z', 'once');
is(say_to($a, run('p1'), $S), 'E=26000 Z', 'it is gone');
is(say_to($a, prepare('', 'DEALLOCATE "p2"'), run(''), execute(), $S), '1 2 C Z', 'by an extended query');
is(say_to($a, run('p2'), $S), 'E=26000 Z', 'it is gone, too');
is(say_to($a, query('DEALLOCATE ALL')), 'C Z', 'DEALLOCATE ALL');
is(say_to($a, run('z'), $S), 'E=26000 Z', 'all are gone');
is(say_to($b, run('x', '2'), execute(), $S), '2 D=b2 C Z', 'but not another session\'s');
is(say_to($a, prepare('n', 'SELECT 1'), query('DISCARD ALL'), prepare('n', "SELECT 'n'"), run('n'), execute(), $S) . ' ' . answer($a),
	'1 C Z 1 2 D=n C Z', 'DISCARD ALL in a pipeline');

# ---------------------------------------------------------------- few on a server, shared

sub prepared
{
	my @n = map { say_to($_, query('BEGIN')); value($_, 'SELECT count(*) FROM pg_prepared_statements WHERE NOT from_sql') } $a, $b;
	say_to($_, query('COMMIT')) for $a, $b;
	return @n;
}
say_to($a, query('DEALLOCATE ALL'));
for my $i (1 .. 20) {
	is(say_to($a, prepare("s$i", "SELECT $i"), run("s$i"), execute(), $S), "1 2 D=$i C Z", "statement $i") if $i == 1 || $i == 20;
	say_to($a, prepare("s$i", "SELECT $i"), $S) unless $i == 1 || $i == 20;
}
cmp_ok($_, '<=', 5, "max_prepared_statements on a server connection ($_)") for prepared();
is(join(' ', map { say_to($a, run("s$_"), execute(), $S) } 1 .. 20), join(' ', map { "2 D=$_ C Z" } 1 .. 20), 'all of them are there');

my @same = map { session() } 1 .. 6;
say_to($_, prepare('own', "SELECT 'shared'"), run('own'), execute(), $S) for @same;
say_to($a, query('BEGIN'));
my $n = value($a, "SELECT count(*) FROM pg_prepared_statements WHERE statement = 'SELECT ''shared'''");
say_to($a, query('COMMIT'));
cmp_ok($n, '<=', 1, 'a text that six sessions prepare is on a connection once');

# ---------------------------------------------------------------- what a text means

my $tokyo = session(TimeZone => 'Asia/Tokyo');
my $utc = session(TimeZone => 'UTC');
my $noon = prepare('noon', "SELECT extract(epoch FROM timestamptz '2020-01-01 12:00')::bigint");
is(say_to($_->[0], $noon, run('noon'), execute(), $S), "1 2 D=$_->[1] C Z", 'a literal is read by the session\'s own settings')
  for [ $utc, 1577880000 ], [ $tokyo, 1577847600 ];
$node->safe_psql('postgres', 'CREATE SCHEMA one; CREATE SCHEMA two; CREATE TABLE one.t AS SELECT 1::int AS v; CREATE TABLE two.t AS SELECT now() AS v, true AS w');
my ($first, $second) = (session(search_path => 'one'), session(search_path => 'two'));
is(say_to($first, prepare('t', 'SELECT v FROM t'), describe('S', 't'), run('t'), execute(), $S), '1 2 D=1 C Z', 'a table by search_path');
like(say_to($second, prepare('t', 'SELECT v FROM t'), describe('S', 't'), run('t'), execute(), $S), qr/^1 2 D=20\d\d-\S+ \S+ C Z$|^1 2 D=20/,
	'another, by another');

# A plan that is out of date: the client prepares anew, as drivers do.
$node->safe_psql('postgres', 'CREATE TABLE plan AS SELECT 1 AS a');
is(say_to($a, prepare('plan', 'SELECT * FROM plan'), run('plan'), execute(), $S), '1 2 D=1 C Z', 'a plan');
$node->safe_psql('postgres', "ALTER TABLE plan ALTER a TYPE text USING 'changed'");
is(say_to($a, run('plan'), execute(), $S), 'E=0A000 Z', 'is out of date');
is(say_to($a, prepare('plan2', 'SELECT * FROM plan'), run('plan2'), execute(), $S), '1 2 D=changed C Z', 'the same text by a new name is not');

# … also where it is another server connection that has never had the old one. One that has not been
# described may change: nobody relies on what it was.
$node->safe_psql('postgres', 'CREATE TABLE shape AS SELECT 1 AS a');
my $read = 'SELECT * FROM shape';
is(say_to($a, prepare('shape', $read), describe('S', 'shape'), $S), '1 Z', 'a statement is described');
is(say_to($c, prepare('shape', $read), $S), '1 Z', 'another client only prepares it');
say_to($b, query('BEGIN'));
is(say_to($_, run('shape'), execute(), $S), '2 D=1 C Z', 'it runs on the other') for $a, $c;
$node->safe_psql('postgres', "ALTER TABLE shape ADD b text DEFAULT 'new'");
is(say_to($a, run('shape'), execute(), $S), 'E=0A000 Z', 'it changes: refused where it has been');
say_to($_, query('BEGIN')) for $c;
say_to($b, query('COMMIT'));
$a->send(run('shape') . execute() . $S);
my ($e) = grep { $_->[0] eq 'E' } $a->until('Z');
is($e && error_fields($e)->{C}, '0A000', 'and where it has not been');
is($e && error_fields($e)->{M}, 'cached plan must not change result type', 'as PostgreSQL says it');
is($e && error_fields($e)->{R}, 'RevalidateCachedQuery', 'and drivers know it');
is(say_to($a, prepare('shape2', $read), describe('S', 'shape2'), $S), '1 Z', 'it is prepared anew');
is(say_to($a, run('shape2'), execute(), $S), '2 D=1 C Z', 'and runs');
say_to($c, query('COMMIT'));
is(say_to($_, run('shape2'), execute(), $S), '2 D=1 C Z', 'anywhere') for $a;
say_to($b, query('BEGIN'));
is(say_to($a, run('shape2'), execute(), $S), '2 D=1 C Z', 'on either');
say_to($b, query('COMMIT'));

# A name that is closed and means another statement in the same sequence: what Describe has said of the one before is not
# what the client relies on then.
($one, $two) = ('SELECT 1 AS one', "SELECT 'two' AS two");
is(say_to($a, prepare('two', $two), describe('S', 'two'), $S), '1 Z', 'two statements, described');
is(say_to($a, prepare('turn', $one), describe('S', 'turn'), $S), '1 Z', 'of other columns');
is(say_to($a, close_message('S', 'turn'), prepare('turn', $two), run('turn'), execute(), $S), '3 1 2 D=two C Z', 'the name of one becomes the other\'s');
is(say_to($a, run('turn'), execute(), $S), '2 D=two C Z', 'and stays it');

# A type that is dropped and created anew is another one. PostgreSQL does not prepare the statement anew, and says so by an
# internal error; who prepares the text again, by the same session or another, gets a new plan.
my $typed = 'SELECT $1::mood';
$node->safe_psql('postgres', q(CREATE TYPE mood AS ENUM ('sad')));
is(say_to($a, prepare('mood', $typed), run('mood', 'sad'), execute(), $S), '1 2 D=sad C Z', 'a type');
$node->safe_psql('postgres', q(DROP TYPE mood; CREATE TYPE mood AS ENUM ('glad')));
is(say_to($a, run('mood', 'glad'), execute(), $S), 'E=XX000 Z', 'is another now');
is(say_to($_, prepare('mood2', $typed), run('mood2', 'glad'), execute(), $S), '1 2 D=glad C Z', 'the same text prepared after that has the new one') for $a, $c;

# A text that cannot be read anew with the types its parameters have had since it was prepared.
my $half = 'SELECT half($1)';
$node->safe_psql('postgres', q(CREATE FUNCTION half(int) RETURNS int LANGUAGE sql AS 'SELECT $1 / 2'));
is(say_to($a, prepare('half', $half), run('half', '4'), execute(), $S), '1 2 D=2 C Z', 'a function');
$node->safe_psql('postgres', q(DROP FUNCTION half; CREATE FUNCTION half(text) RETURNS text LANGUAGE sql AS 'SELECT $1 || $1'));
is(say_to($c, prepare('half', $half), run('half', '4'), execute(), $S), '1 E=42883 Z', 'has other arguments now: a plan that was there fails');
is(say_to($_, prepare('half2', $half), run('half2', 'x'), execute(), $S), '1 2 D=xx C Z', '... once') for $a, $c;

# ---------------------------------------------------------------- long ones

my $long = "SELECT length('" . 'x' x 200000 . "')";
is(say_to($a, prepare('', $long), run(''), execute(), $S), '1 2 D=200000 C Z', 'a long text without a name');
my $block = sub { my ($row) = grep { $_->{database} eq 'postgres' && $_->{move_block} } @{ $proxy->console('SHOW SESSIONS FULL') }; $row ? $row->{move_block} : '' };
is($block->(), '', 'pins nothing once it is bound');
is(say_to($a, prepare('long', $long), $S), '1 Z', 'a long text with a name');
is($block->(), 'prepared statement', 'pins the session');
is(say_to($a, run('long'), execute(), $S), '2 D=200000 C Z', 'it runs');
is(say_to($a, close_message('S', 'long'), $S), '3 Z', 'it is closed');
is($block->(), '', 'the session is free again');
is(say_to($a, prepare('echo', 'SELECT length($1)'), run('echo', 'y' x 3_000_000), execute(), $S), '1 2 D=3000000 C Z', 'a long parameter');

# ---------------------------------------------------------------- many at once

$node->command_ok([ 'pgbench', '-iq', '-s', '1', 'postgres' ], 'tables for pgbench');
my $script = PostgreSQL::Test::Utils::tempdir() . '/pipeline.sql';
PostgreSQL::Test::Utils::append_to_file($script, <<'SQL');
\set a random(1, 100000)
\startpipeline
SELECT abalance FROM pgbench_accounts WHERE aid = :a;
SELECT abalance + 1 FROM pgbench_accounts WHERE aid = :a;
UPDATE pgbench_branches SET bbalance = bbalance + 1;
\endpipeline
SQL
# each client in a thread of its own: pgbench waits for a PQprepare() with all that it has in a thread
for my $mode (qw(simple extended prepared)) {
	for my $file ([], [ '-S' ], [ '-f', $script ]) {
		next if @$file == 2 && $mode eq 'simple';
		$proxy->command_like([ 'pgbench', '-n', '-M', $mode, '-c20', '-j20', '-t30', @$file, 'postgres' ],
			qr/actually processed: 600\/600/, "pgbench -M $mode @$file: 20 clients on 2 connections");
	}
}

# ---------------------------------------------------------------- a connection for good

for my $turn (1, 2) {
	my $w = session(database => 'template1');
	is(say_to($w, prepare('own', "SELECT 'own'"), $S), '1 Z', "pool = session ($turn)");
	is(say_to($w, query('EXECUTE own')), 'D=own C Z', 'names are the server\'s, also in SQL');
	is(say_to($w, run('own'), execute(), $S), '2 D=own C Z', 'and in the protocol');
	$w->send(terminate());
	ok($w->closed, 'the session ends');
}

# ---------------------------------------------------------------- all of many names, again and again

my ($rich, $lock) = map { session() } 1 .. 2;
my $names = 30_000;
for my $from (map { $_ * 1000 } 0 .. $names / 1000 - 1) {
	$rich->send(join '', (map { prepare("many_$_", 'SELECT 1') } $from .. $from + 999), $S);
	$rich->until('Z');
}
is(say_to($rich, run('many_29999'), execute(), $S), '2 D=1 C Z', 'a session of 30,000 names');
is(say_to($lock, query('BEGIN; SELECT pg_advisory_xact_lock(7)')), 'C D= C Z', 'a lock');
peak_reset($proxy->pid);
my $kb = peak_kb($proxy->pid);
$rich->send(query('SELECT pg_advisory_lock_shared(7), pg_advisory_unlock_shared(7)'), map { query('DEALLOCATE ALL') } 1 .. 2000);
$node->poll_query_until('postgres', "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)");
ok($rich->silent, 'it forgets them two thousand times, and has to wait');
$kb = peak_kb($proxy->pid) - $kb;
measured("%d kB of memory for 2,000 DEALLOCATE ALL of 30,000 names", $kb);
cmp_ok($kb, '<', sanitized() ? 200_000 : 32_000, 'which takes memory for few of them');
is(say_to($lock, query('COMMIT')), 'C Z', 'it may go on');
is(answer($rich), 'D= C Z', 'it goes on');
is((grep { answer($rich) eq 'C Z' } 1 .. 2000), 2000, 'each of them is answered');
is(say_to($rich, run('many_1'), $S), 'E=26000 Z', 'and there are none any more');
# in one sequence, of which nobody hears before its end
is(say_to($rich, (map { prepare("again_$_", 'SELECT 1') } 1 .. 5), prepare('', 'DEALLOCATE ALL'), (bind_message([]), execute()) x 1500, $S),
	'1 ' x 6 . '2 C ' x 1500 . 'Z', 'nor does it wait in a sequence that goes on');
is(say_to($rich, run('again_1'), $S), 'E=26000 Z', 'they are gone, too');
$_->send(terminate()) && $_->closed for $rich, $lock;

# ---------------------------------------------------------------- not at all

$proxy->reload(set => { auth => 'trust', workers => 1, default_pool_size => 2, max_prepared_statements => 0 });
my $off = session();
is(say_to($off, prepare('off', "SELECT 'off'"), $S), '1 Z', 'max_prepared_statements = 0');
is($block->(), 'prepared statement', 'a name pins');
is(say_to($off, run('off'), execute(), $S), '2 D=off C Z', 'and is the server\'s own');
$off->send(terminate());
ok($off->closed, 'the session ends');
my $next = session();
is(say_to($next, run('off'), $S), 'E=26000 Z', 'nobody finds what it had prepared') for 1 .. 2;

$proxy->stop;
done_testing();
