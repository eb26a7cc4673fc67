#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# A database moves to another region while it is in use, and back: pgbench's TPC-B, and a writer that
# remembers what it was promised, 16 clients in all, simple and prepared, in transaction pools,
# session pools and with connections of their own. Nothing that was acknowledged is lost, the sums
# balance, no client meets an error, and the pause is short.
use strict;
use warnings;
use IPC::Run ();
use Meridian::Test::Move qw(counts_of ledger more_rows pgbench_sums two_regions);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use PostgreSQL::Test::Utils ();
use Test::More;

my ($agora, $osc, @config) = two_regions(workers => 2, default_pool_size => 40);
my $proxy = Meridian::Test::Proxy->new('main', @config, conf => Meridian::Test::Proxy::databases_of('app'));
$proxy->start;
$proxy->wait_up(2);

$agora->safe_psql('postgres', 'CREATE DATABASE app');
PostgreSQL::Test::Utils::system_or_bail('pgbench', '-q', '-i', '-s', 2, $agora->connstr('app'));
$agora->safe_psql('app', <<'SQL');
CREATE TABLE ledger(client int, n int, PRIMARY KEY (client, n));
CREATE TABLE shelf(id serial PRIMARY KEY, what text NOT NULL UNIQUE);
CREATE TABLE line(shelf int REFERENCES shelf, n int);
CREATE INDEX line_n ON line(n);
INSERT INTO shelf(what) SELECT 'thing ' || i FROM generate_series(1, 100) i;
DELETE FROM shelf WHERE id > 90;
CREATE SEQUENCE apart START 100 INCREMENT -5 MINVALUE -1000 MAXVALUE 1000 CACHE 10;
SELECT nextval('apart');
SQL

# ---------------------------------------------------------------- the load

my %bench;
for my $load ([ 'own', 'simple', 2 ], [ 'ses', 'prepared', 2 ], [ 'tx', 'simple', 2 ], [ 'tx', 'prepared', 2 ]) {
	my ($database, $mode, $clients) = @$load;
	my %b = (out => '', err => '');
	# Rate-limited: what is measured is the pause, not the machine.
	$b{run} = IPC::Run::start([ 'pgbench', '-n', '-c', $clients, '-R', 20 * $clients, '-T', 3600, '-M', $mode,
			$proxy->connstr($database, user => 'postgres') ],
		'<', \'', '>', \$b{out}, '2>', \$b{err}, run_limit(600));
	$bench{"$database $mode"} = \%b;
}
my %ledger;
for my $load ([ 'own', 1 ], [ 'ses', 3 ], [ 'tx', 5, '-e' ], [ 'tx', 7, '-p' ]) {
	my ($database, $first, @more) = @$load;
	$ledger{"$database @more"} = ledger($proxy->connstr($database, user => 'postgres'), '-c', 2, '-w', 4, '-f', $first, @more);
}
more_rows($agora, 'app', 40);

# ---------------------------------------------------------------- there

sub run_it
{
	my ($sql) = @_;
	my ($status, $out, $err) = $proxy->console_raw($sql);
	is($status, 0, $sql) or diag $err, $proxy->console_raw('SHOW MIGRATION 1 LOG');
	return $err;
}

sub pause_of
{
	my ($notices) = @_;
	my ($ms) = $notices =~ /write pause (\d+) ms/;
	my ($line) = $notices =~ /(write pause .*)/;
	note $line // $notices;
	return $ms // 1e9;
}

run_it("CREATE MIGRATION mv OF DATABASE app FROM agora-fr1 TO osc-fr1 WITH (identity = auto, max_lag = '1MB', retry_wait = '1s', "
	  . "freeze_deadline = '" . span(10) . "', $UNHURRIED)");
run_it('RUN MIGRATION mv PREPARE');
run_it('RUN MIGRATION mv DATA');
my $said = run_it('RUN MIGRATION mv FINALIZE');
took(pause_of($said) / 1000, 3, 'the pause is short');
like($said, qr/ 0 closed, 0 aborted/, 'every session was kept');
like($said, qr/verified at the frozen point: \d+ tables are the same/, 'both sides were the same at the frozen point');
is($proxy->console('SHOW MIGRATION mv')->[0]{state}, 'redirecting', 'it is over there');
is($proxy->safe_psql('tx', q(SELECT current_setting('cluster_name'))), 'osc-fr1', 'new sessions go there');
more_rows($osc, 'app', 40);

# ---------------------------------------------------------------- and back

$said = run_it('REVERSE MIGRATION mv');
took(pause_of($said) / 1000, 3, 'the pause of the way back is short');
like($said, qr/ 0 closed, 0 aborted/, 'every session was kept again');
is($proxy->console('SHOW MIGRATION mv')->[0]{state}, 'reversed', 'it is back');
is($proxy->safe_psql('own', q(SELECT current_setting('cluster_name'))), 'agora-fr1', 'new sessions go there');
more_rows($agora, 'app', 40);

# ---------------------------------------------------------------- what is left

my ($transactions, $failed) = (0, 0);
for my $name (sort keys %bench) {
	my $b = $bench{$name};
	$b->{run}->signal('INT');
	eval { $b->{run}->finish };
	unlike($b->{err}, qr/ERROR|FATAL|error:/, "pgbench, $name: no client has met an error") or diag $b->{err};
}
for my $name (sort keys %ledger) {
	my $l = $ledger{$name};
	$l->stop;
	is($l->{errors}, 0, "ledger, $name: no client has met an error") or diag $l->{err};
	is($l->{reconnects}, 0, "ledger, $name: and none has lost its connection");
	cmp_ok($l->{acked}, '>', 100, "ledger, $name: it has written") or diag $l->{out};
	is($l->lost($agora, 'app'), 0, "ledger, $name: every row that was acknowledged is there ($l->{acked}, longest gap $l->{gap_ms} ms)");
}
my %sum = pgbench_sums($agora, 'app');
is($sum{history}, $sum{$_}, "TPC-B: the sum of $_ is that of the history") for qw(accounts branches tellers);
is($agora->safe_psql('app', 'SELECT last_value FROM shelf_id_seq'), '100', 'a sequence stands where it stood, not at the highest row');
is($agora->safe_psql('app', q(INSERT INTO shelf(what) VALUES ('new') RETURNING id)), '101', '... and goes on from there');
is($agora->safe_psql('app', q(SELECT nextval('apart') < 55)), 't', '... a descending one too');

run_it('COMPLETE MIGRATION mv');
is_deeply([ counts_of($agora, 'app') ], [ 0, 0, 0, 0, 0 ], 'nothing of it is left where the database is: slots, publications, subscriptions, triggers');
is($osc->safe_psql('postgres', 'SELECT count(*) FROM pg_replication_slots'), '0', 'nor a slot on the other side');
my ($status, undef, $error) = $osc->psql('app', q(INSERT INTO shelf(what) VALUES ('x')));
like($error, qr/no longer accepts writes.*served by agora-fr1/s, 'which takes no writes, and says where to go');

$proxy->stop;
done_testing();
