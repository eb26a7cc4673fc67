#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# meridian.* settings of a session that lives: SET, RESET, DISCARD ALL and set_config() change where
# the caller is; SHOW is answered with what the proxy knows; by psql, by drivers and by hand, whole
# and cut at every byte.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Drivers qw(driver_is);
use Meridian::Test::Measure qw(:all);
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;

my ($east, $west, $europe) = regional_clusters(qw(us-east1 us-west1 europe-west1));
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [
		'us-east1'     => { nodes => $east,   cities => 'new york', countries => 'US' },
		'us-west1'     => { nodes => $west,   cities => 'seattle, a b' },
		'europe-west1' => { nodes => $europe, cities => 'paris' }
	],
	set  => { region => 'us-east1' },
	conf => "[database strict]\ndbname = postgres\nresidency = strict\n");
$proxy->start;

sub session
{
	my (%param) = @_;
	my $w = Meridian::Test::Wire->new($proxy);
	my @m = $w->login(database => 'postgres', %param);
	$m[-1][0] eq 'Z' or die 'no login: ' . explain(\@m);
	return $w;
}

# The types of all answers to bytes, up to so many ReadyForQuery; `@values` gets the rows' values, in
# lower case: how a city is shown is the business of other tests.
my @values;

sub answers
{
	my ($w, $bytes, %opt) = @_;
	$opt{cut} ? $w->send_split($bytes, $opt{cut}) : $w->send($bytes);
	my @m = map { $w->until('Z') } 1 .. $opt{ready} // 1;
	@values = map { defined ? lc : undef } map { @{ row_values($_) } } grep { $_->[0] eq 'D' } @m;
	return join '', map { $_->[0] } @m;
}

# One value of a simple query.
sub value
{
	my ($w, $sql) = @_;
	answers($w, query($sql));
	return $values[-1];
}

# What SHOW SESSIONS says of it.
sub facts
{
	my ($w, $column) = @_;
	my ($row) = grep { ($_->{server_pid} // '') eq $w->{pid} } @{ $proxy->console('SHOW SESSIONS FULL') };
	return lc $row->{$column};
}

# ---------------------------------------------------------------- SHOW

my $w = session('meridian.city' => 'new york');
is(answers($w, query('SHOW meridian.region')), 'TDCZ', 'SHOW meridian.region is answered like any SHOW');
is($values[0], 'us-east1', 'with the region that the session is in');
is(value($w, 'show "meridian".CITY; '), 'new york', 'SHOW meridian.city');
is(value($w, '/* where */ SHOW meridian.country -- ?'), 'us', 'SHOW meridian.country');
is(value($w, 'SHOW meridian.route'), 'us-east1, us-west1, europe-west1', 'SHOW meridian.route');
answers($w, query('SHOW meridian.city; SELECT 7; SHOW meridian.region'));
is_deeply(\@values, [ 'new york', 7, 'us-east1' ], 'several in one text, each in its place');
is($proxy->psql_from({ city => 'seattle' }, 'postgres', 'SHOW meridian.route'),
	'us-west1, us-east1, europe-west1', 'psql');
$w->send(query('SHOW meridian.city'));
my ($head) = $w->until('Z');
like($head->[1], qr/^\x00\x01meridian\.city\x00.{6}\x00{3}\x19/s, 'the column has the name of the setting, and is text');
is(answers($w, query('SHOW meridian.nonesuch')), 'EZ', 'a setting that there is not is an error of the node');

# ---------------------------------------------------------------- SET and RESET

is(answers($w, query("SET meridian.city = 'paris'")), 'CZ', 'SET meridian.city');
is(facts($w, 'city'), 'paris', 'SHOW SESSIONS has it at once');
is(facts($w, 'locality_source'), 'startup', 'as said by the client');
is(facts($w, 'home'), 'us-east1', 'the session stays where it is');
is(value($w, 'SHOW meridian.city'), 'paris', 'SHOW meridian.city');
is(value($w, 'SHOW meridian.route'), 'europe-west1, us-east1, us-west1', 'SHOW meridian.route: where it would go now');
is(value($w, "SELECT current_setting('meridian.city')"), 'paris', 'the node has it as well');
my ($id) = facts($w, 'id');
my @detail = map { "$_->{key}: $_->{value}" } grep { $_->{section} eq 'evidence' } @{ $proxy->console("SHOW SESSION $id") };
like(join("\n", @detail), qr/new york: replaced by SET.*\n.*paris: .*\(won\)/, 'SHOW SESSION has both, and which one won')
  or diag explain \@detail;

is(answers($w, query('RESET meridian.city')), 'CZ', 'RESET meridian.city');
is(value($w, 'SHOW meridian.city'), 'new york', 'brings back what the startup packet said');
for my $reset ('RESET ALL', 'DISCARD ALL', 'SET meridian.city = DEFAULT', 'SET SESSION meridian.city TO DEFAULT',
	'CLOSE ALL; UNLISTEN *; RESET ALL;', "SELECT set_config('meridian.city', NULL, false)")
{
	answers($w, query("SET SESSION meridian.city TO 'seattle'"));
	is(value($w, 'SHOW meridian.city'), 'seattle', 'SET SESSION');
	unlike(answers($w, query($reset)), qr/E/, $reset);
	is(value($w, 'SHOW meridian.city'), 'new york', 'brings it back');
}
is(value($w, "SET meridian.city = 'paris'; SHOW meridian.city"), 'paris', 'SET and SHOW in one text');
answers($w, query('RESET ALL'));
answers($w, query("SET meridian.location = '47.6,-122.3'"));
is(value($w, 'SHOW meridian.route'), 'us-west1, us-east1, europe-west1', 'SET meridian.location');
answers($w, query("SET meridian.region = 'europe-west1'"));
like(value($w, 'SHOW meridian.route'), qr/^europe-west1, /, 'SET meridian.region comes first');
answers($w, query('RESET meridian.region'));
is(value($w, 'SHOW meridian.route'), 'us-west1, us-east1, europe-west1', 'RESET of one leaves the others');
my $wrong = $proxy->counter('settings_wrong');
is(answers($w, query("SET meridian.location = 'north'")), 'CZ', 'a location that is none');
is(value($w, 'SHOW meridian.route'), 'us-west1, us-east1, europe-west1', 'does not count');
is($proxy->counter('settings_wrong'), $wrong + 1, 'is counted');
answers($w, query("RESET ALL; SET meridian.city = ''"));
is(facts($w, 'locality_source'), 'self', 'an empty city is none: the next source decides');
is(answers($w, query("SET meridian.unheard = 'x'")), 'CZ', 'other names go to the node');
is(value($w, 'SHOW meridian.unheard'), 'x', 'and come from there');
answers($w, query('RESET ALL'));

# ---------------------------------------------------------------- transactions

answers($w, query('BEGIN; SET LOCAL meridian.city = \'paris\''));
is(value($w, 'SHOW meridian.city'), 'new york', 'SET LOCAL is not taken');
answers($w, query("SELECT set_config('meridian.city', 'paris', true)"));
is(value($w, 'SHOW meridian.city'), 'new york', 'nor is set_config(…, true)');
is(answers($w, query('SELECT 1/0')), 'EZ', 'an error');
is(answers($w, query("SET meridian.city = 'paris'")), 'EZ', 'SET in a failed transaction is refused by the node');
is(answers($w, query('SHOW meridian.city')), 'EZ', 'SHOW as well');
is(answers($w, query('ROLLBACK') . query('SHOW meridian.city'), ready => 2), 'CZTDCZ', 'after it');
is($values[0], 'new york', 'nothing was taken');
answers($w, query('BEGIN') . query('SELECT 1/0'), ready => 2);
answers($w, query('ROLLBACK') . query("SET meridian.city = 'paris'"), ready => 2);
is(value($w, 'SHOW meridian.city'), 'paris', 'ROLLBACK and SET in one write');
answers($w, query('RESET ALL'));

# ---------------------------------------------------------------- the extended protocol

my $batch = parse("SET meridian.city = 'paris'") . bind_message([]) . describe('P') . execute
  . parse('SHOW meridian.city') . bind_message([]) . describe('P') . execute . sync_message;
is(answers($w, $batch), '12nC12TDCZ', 'SET and SHOW in one pipeline');
is($values[0], 'paris', 'in order');
is(answers($w, parse('SELECT set_config($1, $2, false)', 'tell') . describe('S', 'tell') . sync_message), '1tTZ', 'Parse of set_config()');
is(value($w, 'SHOW meridian.city'), 'paris', 'changes nothing yet');
my $bind = sub { return bind_message([@_], 'tell') . execute . sync_message };
is(answers($w, $bind->('meridian.city', 'seattle')), '2DCZ', 'Bind');
is(value($w, 'SHOW meridian.city'), 'seattle', 'does');
answers($w, $bind->('application_name', 'x'));
is(value($w, 'SHOW meridian.city'), 'seattle', 'another name changes nothing');
answers($w, $bind->('MERIDIAN.City', 'new york'));
is(value($w, 'SHOW meridian.city'), 'new york', 'the same in capitals does');
answers($w, $bind->('meridian.city', 'paris'));
is(value($w, 'SHOW meridian.city'), 'paris', 'and again');
answers($w, $bind->('meridian.city', undef));
is(value($w, 'SHOW meridian.city'), 'new york', 'NULL resets');
answers($w, close_message('S', 'tell') . parse("SELECT set_config('meridian.city', \$1, \$2)", 'tell')
	. bind_message([ 'paris', 't' ], 'tell') . execute . sync_message);
is(value($w, 'SHOW meridian.city'), 'new york', 'local by a parameter');
answers($w, bind_message([ 'paris', 'off' ], 'tell') . execute . sync_message);
is(value($w, 'SHOW meridian.city'), 'paris', 'and not');

# as drivers do that send all in binary: format codes, then a boolean of one byte
my $binary = frame('B', "\0tell\0" . pack('n n n N/a N/a n', 1, 1, 2, 'seattle', "\0", 0));
answers($w, $binary . execute . sync_message);
is(value($w, 'SHOW meridian.city'), 'seattle', 'parameters in binary');
answers($w, frame('B', "\0tell\0" . pack('n n n N/a N/a n', 1, 1, 2, 'paris', "\1", 0)) . execute . sync_message);
is(value($w, 'SHOW meridian.city'), 'seattle', 'and a true one');
answers($w, close_message('S', 'tell') . sync_message);
is(answers($w, $binary . execute . sync_message), 'EZ', 'a statement that was closed');
is(value($w, 'SHOW meridian.city'), 'seattle', 'says nothing');
answers($w, parse('SELECT 1/0') . bind_message([]) . execute . $bind->('meridian.city', 'paris'));
is(value($w, 'SHOW meridian.city'), 'seattle', 'behind an error in the batch: nothing, and the session goes on');

# set_config() is function 2078
answers($w, query('RESET ALL'));
my $call = function_call(2078, 'meridian.city', 'paris', 'f');
for my $cut (0, 1, 5, 9, 40) {
	is(answers($w, $call, cut => $cut), 'VZ', "FunctionCall of set_config(), cut at $cut");
	is(value($w, 'SHOW meridian.city'), 'paris', 'counts as well');
	answers($w, function_call(2078, 'meridian.city', undef, 'f'));
	is(value($w, 'SHOW meridian.city'), 'new york', 'NULL resets');
}
is(answers($w, $call . query('SHOW meridian.city') . function_call(2078, 'Meridian.City', 'seattle', 'f') . query('SHOW meridian.city'), ready => 4), 'VZTDCZVZTDCZ',
	'several in one write');
is_deeply(\@values, [ 'paris', 'seattle' ], 'each in its place');
answers($w, $_) for function_call(2078, 'meridian.city', 'paris', 't'), function_call(2078, 'application_name', 'paris', 'f'),
  function_call(2077, 'meridian.city'), function_call(2078, 'meridian.city', 'paris'), function_call(2078, 'meridian.city', 'p' x 2000, 'f');
is(value($w, 'SHOW meridian.city'), 'seattle', 'a local one, another name, another function, one that fails, one that is too long: nothing');
answers($w, query('BEGIN; SELECT 1/0'));
is(answers($w, $call . query('ROLLBACK'), ready => 2), 'EZCZ', 'FunctionCall in a failed transaction');
is(value($w, 'SHOW meridian.city'), 'seattle', 'says nothing either');

# a name that SQL takes away, and one that it does not: in a failed transaction, and another one
my $tell = parse("SET meridian.city = 'paris'", 'tell') . sync_message . query('RESET ALL');
for my $sql ('DEALLOCATE tell', 'DEALLOCATE PREPARE "tell";', 'DEALLOCATE ALL', 'DISCARD ALL') {
	for my $extended (0, 1) {
		answers($w, $tell, ready => 2);
		answers($w, $extended ? parse($sql) . bind_message([]) . execute . sync_message : query($sql));
		is(answers($w, bind_message([], 'tell') . execute . sync_message), 'EZ', "behind $sql there is none");
		is(value($w, 'SHOW meridian.city'), 'new york', 'and it says nothing');
	}
}
answers($w, $tell, ready => 2);
is(answers($w, query('DEALLOCATE other')), 'EZ', 'DEALLOCATE of another name');
answers($w, query('BEGIN; SELECT 1/0'));
is(answers($w, query('DEALLOCATE ALL') . query('ROLLBACK'), ready => 2), 'EZCZ', 'DEALLOCATE ALL in a failed transaction');
is(answers($w, bind_message([], 'tell') . execute . sync_message), '2CZ', 'the statement is there');
is(value($w, 'SHOW meridian.city'), 'paris', 'and counts');
answers($w, close_message('S', 'tell') . sync_message);

# a name of more than 63 bytes is the server's first 63
my $name70 = 'n' x 70;
answers($w, query('RESET ALL') . parse("SET meridian.city = 'paris'", $name70) . sync_message, ready => 2);
is(answers($w, bind_message([], $name70 . 'x') . execute . sync_message), '2CZ', 'a long name');
is(value($w, 'SHOW meridian.city'), 'paris', 'counts, too');
answers($w, query('DEALLOCATE ALL') . query('RESET ALL'), ready => 2);

# many prepared statements: only the last few are known, and the memory is bounded
answers($w, join('', map { parse("SET meridian.city = 'city $_'", "many$_") } 1 .. 200) . sync_message);
answers($w, bind_message([], 'many200') . execute . sync_message);
is(value($w, "SELECT current_setting('meridian.city')"), 'city 200', '200 prepared statements');
answers($w, parse("SET meridian.city = 'paris'", 'kept') . bind_message([], 'kept') . execute . sync_message);
answers($w, query('RESET ALL'));
answers($w, bind_message([], 'kept') . execute . sync_message);
is(value($w, 'SHOW meridian.city'), 'paris', 'a prepared SET counts whenever it is run');

# a statement that is prepared anew, by a message that is too long to be looked at, wherever it is cut
my $stale = 0;
my $long_sql = "SELECT '" . 'x' x 2000 . "'";
for my $name ('', 'again') {
	for my $cut (0, 1, 5, 10, 40, 69, 70, 100, 2000) {
		answers($w, parse("SET meridian.city = 'paris'", $name) . sync_message . query('RESET ALL')
			. ($name eq '' ? parse("SET meridian.city = 'paris'") : close_message('S', 'none')) . sync_message, ready => 3);
		my $again = ($name eq '' ? '' : query("DEALLOCATE $name")) . parse($long_sql, $name);
		$w->send(substr $again, 0, $cut);
		answers($w, substr($again, $cut) . bind_message([], $name) . execute . sync_message, ready => $name eq '' ? 1 : 2);
		is(length $values[-1], 2000, "the long statement of name '$name', cut at $cut, runs") if $cut == 1;
		$stale++ if value($w, 'SHOW meridian.city') ne 'new york';
		answers($w, query($name eq '' ? 'SELECT 1' : "DEALLOCATE $name"));
	}
}
is($stale, 0, 'what a name stood for before is forgotten');

# ---------------------------------------------------------------- cut at every byte

answers($w, query('RESET ALL'));
my $mix = query("SELECT 1; SET meridian.city = 'paris'; SHOW meridian.city")
  . parse('SELECT set_config($1, $2, false), 5', 'cut') . bind_message([ 'meridian.city', 'seattle' ], 'cut') . execute
  . parse('SHOW meridian.route') . bind_message([]) . execute . close_message('S', 'cut') . sync_message
  . query("INSERT INTO pg_temp.nonesuch VALUES ('" . 'x' x 3000 . "')")
  . query('RESET meridian.city') . query('SHOW meridian.city');
my $want = answers($w, $mix, ready => 5);
my @want = @values;
is_deeply(\@want, [ 1, 'paris', 'seattle', 5, 'us-west1, us-east1, europe-west1', 'new york' ], 'a mixture');
is(answers($w, $mix, ready => 5, cut => 1), $want, 'byte by byte') or diag explain \@values;
is_deeply(\@values, \@want, 'with the same values');
my $bad = 0;
for my $at (1 .. 420, map { $_ * 97 } 5 .. length($mix) / 97) {
	$w->send(substr $mix, 0, $at);
	$w->send(substr $mix, $at);
	my $got = answers($w, '', ready => 5);
	$bad++ if $got ne $want || "@values" ne "@want";
}
is($bad, 0, 'cut in two anywhere');

# bytes inside a message are no messages, wherever a read begins
my $inside = query("SET meridian.city = 'paris'");
my $value  = 'x' x 2000 . $inside x 10;
my $batch2 = parse('SELECT length($1)', '', 17) . frame('B', "\0\0" . pack('n n n N/a* n', 1, 1, 1, $value, 0)) . execute
  . sync_message;
for my $from (grep { substr($batch2, $_, 1) eq 'Q' } 0 .. length($batch2) - 1) {
	answers($w, substr($batch2, 0, $from), ready => 0);
	answers($w, substr($batch2, $from, length $inside), ready => 0);
	is(answers($w, substr $batch2, $from + length $inside), '12DCZ', "a message that holds others, cut at $from");
}
is(value($w, 'SHOW meridian.city'), 'new york', 'says nothing by them');

# ---------------------------------------------------------------- what is not looked at

my $long = "SET meridian.city = 'paris' /* " . 'x' x 1100 . ' */';
answers($w, query($long));
is(value($w, 'SHOW meridian.city'), 'new york', 'a message of more than 1,024 bytes is not looked at');
answers($w, query('RESET ALL'));
$w->send(query('CREATE TEMP TABLE t (s text)'), query('COPY t FROM STDIN'));
$w->until('G');
$w->send(copy_data("SET meridian.city = 'paris'\n"), copy_done);
is(join('', map { $_->[0] } $w->until('Z')), 'CZ', 'COPY');
is(value($w, 'SHOW meridian.city'), 'new york', 'its data say nothing');
my $r = session(replication => 'database');
answers($r, query("SET meridian.city = 'paris'"));
isnt(facts($r, 'city'), 'paris', 'nor does a replication connection');
my $s = session(database => 'strict', 'meridian.city' => 'new york');
answers($s, query("SET meridian.city = 'paris'"));
is(facts($s, 'city'), '', 'residency = strict: what the client says does not count');

# a value with a backslash, whatever standard_conforming_strings says
answers($w, query("SET standard_conforming_strings = off; SET meridian.city = E'a\\\\''b'"));
is(value($w, 'SHOW meridian.city'), "a\\'b", 'quotes and backslashes come back as they were')
  or diag explain \@values;
$w->send(terminate);

# ---------------------------------------------------------------- drivers

my $psycopg = <<'PY';
import sys, psycopg
sys.stdout.reconfigure(line_buffering=True)
c = psycopg.connect(host='127.0.0.1', port=sys.argv[1], dbname='postgres', autocommit=True)
show = lambda: c.execute('show meridian.route').fetchone()[0].split(',')[0]
c.execute("set meridian.city = 'paris'")
print(show())
for city in ['seattle', 'new york', 'paris'] * 4:
    c.execute('select set_config(%s, %s, false)', ('meridian.city', city))
print(show())
with c.pipeline():
    c.execute("select set_config('meridian.city', %s, %s)", ('seattle', False))
    a = c.execute('show meridian.city')
    c.execute('reset all')
    b = c.execute('select 1')
    print(a.fetchone()[0].lower(), b.fetchone()[0])
with psycopg.ClientCursor(c) as k:
    k.execute('set meridian.city = %s', ('L\'A\\quila',))
    print(k.execute("select current_setting('meridian.city')").fetchone()[0])
PY

my $psycopg2 = <<'PY';
import sys, psycopg2, psycopg2.pool
sys.stdout.reconfigure(line_buffering=True)
pool = psycopg2.pool.ThreadedConnectionPool(1, 1, host='127.0.0.1', port=sys.argv[1], dbname='postgres')
for city in ['paris', 'seattle', 'new york']:
    c = pool.getconn()
    k = c.cursor()
    k.execute('set meridian.city = %s', (city,))
    k.execute('show meridian.route')
    print(city, k.fetchone()[0].split(',')[0])
    c.commit()
    pool.putconn(c)
c = pool.getconn()
c.cursor().execute('discard all') if c.set_session(autocommit=True) is None else None
k = c.cursor()
k.execute('show meridian.city')
print(repr(k.fetchone()[0]))
PY

my $node = <<'JS';
const { Pool } = require('pg');
(async () => {
  const pool = new Pool({ host: '127.0.0.1', port: +process.argv[1], user: process.argv[2], database: 'postgres', max: 1 });
  for (const city of ['paris', 'seattle', 'new york']) {
    const c = await pool.connect();
    await c.query("select set_config('meridian.city', $1, false)", [city]);
    const r = await c.query({ name: 'route', text: 'show meridian.route', values: [] });
    console.log(city, (await c.query('SHOW meridian.route')).rows[0]['meridian.route'].split(',')[0], r.rowCount);
    c.release();
  }
  const c = await pool.connect();
  for (const city of ['paris', 'seattle'])
    await c.query({ name: 'tell', text: 'select set_config($1, $2, false)', values: ['meridian.city', city] });
  console.log((await c.query('SHOW meridian.city')).rows[0]['meridian.city'].toLowerCase());
  c.release();
  await pool.end();
})().catch(e => { console.log(e.message); process.exit(1); });
JS

driver_is('psycopg', $psycopg, <<'OUT', $proxy->port, (getpwuid $>)[0]);
europe-west1
europe-west1
seattle 1
L'A\quila
OUT
driver_is('psycopg2', $psycopg2, <<'OUT', $proxy->port, (getpwuid $>)[0]);
paris europe-west1
seattle us-west1
new york us-east1
''
OUT
driver_is('node-postgres', $node, <<'OUT', $proxy->port, (getpwuid $>)[0]);
paris europe-west1 1
seattle us-west1 1
new york us-east1 1
seattle
OUT

# psql and pgbench: libpq, one by one and pipelined
is(lc $proxy->psql_from({ city => 'paris' }, 'postgres', <<'SQL'), "paris\nseattle\nparis", 'psql');
SHOW meridian.city;
SET meridian.city TO seattle;
SHOW meridian.city;
RESET meridian.city;
SHOW meridian.city;
SQL
my $script = PostgreSQL::Test::Utils::tempdir() . '/pipeline.sql';
PostgreSQL::Test::Utils::append_to_file($script, <<'SQL');
\startpipeline
SELECT set_config('meridian.city', 'paris', false);
SHOW meridian.city;
SET meridian.city = 'seattle';
SHOW meridian.route;
RESET ALL;
\endpipeline
SQL
$proxy->command_like([ 'pgbench', '-n', '-M', $_, '-c4', '-j2', '-t50', '-f', $script, 'postgres' ],
	qr/actually processed: 200\/200/, "pgbench pipeline -M $_")
  for qw(extended prepared);

$proxy->stop;
done_testing();
