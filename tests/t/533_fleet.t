#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# A fleet of two proxies and a database that moves under both: the executor's proxy asks the other
# one to freeze and to switch. Then the executor's proxy is killed behind the freeze, and behind the
# decision: the other one mends what is left by itself, and its clients notice nothing but the pause.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Move qw(ledger more_rows);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Test::More;

my ($agora, $osc) = regional_clusters('agora-fr1', 'osc-fr1');
$agora->safe_psql('postgres', 'CREATE DATABASE app');
$agora->safe_psql('app', 'CREATE TABLE ledger(client int, n int, PRIMARY KEY (client, n))');

sub proxy
{
	my ($name, $region, %more) = @_;
	my $p = Meridian::Test::Proxy->new($name,
		regions => [ 'agora-fr1' => $agora, 'osc-fr1' => $osc ],
		set     => { auth => 'trust', region => $region, migration_conninfo => 'user=postgres',
			migration_lease => span(1) },
		conf => "[database ses]\ndbname = app\npool = session\n[database tx]\ndbname = app\npool = transaction\n",
		args => ['--crash-points'], %more);
	$p->start;
	$p->wait_up(2);
	return $p;
}

sub run_by
{
	my ($proxy, $sql) = @_;
	my ($status, $out, $err) = $proxy->console_raw($sql);
	is($status, 0, $sql) or diag $err, $proxy->console_raw('SHOW MIGRATION mv LOG');
	return $err;
}

sub served_by
{
	my ($proxy) = @_;
	return $proxy->safe_psql('tx', q(SELECT current_setting('cluster_name')));
}

sub wait_state
{
	my ($proxy, $state) = @_;
	return $proxy->wait_console('SHOW MIGRATION mv', sub { ($_[0][0]{state} || '') eq $state });
}

my $first  = proxy('first',  'agora-fr1');
my $second = proxy('second', 'agora-fr1');
my %ledger;
for my $load ([ $first, 'tx', 1 ], [ $second, 'tx', 3 ], [ $second, 'ses', 5 ]) {
	my ($proxy, $database, $from) = @$load;
	$ledger{"$database by " . $proxy->name} =
	  ledger($proxy->connstr($database, user => 'postgres'), '-c', 2, '-w', 10, '-f', $from);
}

# ---------------------------------------------------------------- both together
run_by($first, "CREATE MIGRATION mv OF DATABASE app FROM agora-fr1 TO osc-fr1 WITH (max_lag = '1MB', retry_wait = '1s', attempts = 1, "
	  . "freeze_deadline = '" . span(10) . "', $UNHURRIED)");
ok($second->wait_console('SHOW MIGRATIONS', sub { ($_[0][0]{name} || '') eq 'mv' }), 'the other proxy sees it');
run_by($first, 'RUN MIGRATION mv PREPARE');
run_by($second, 'RUN MIGRATION mv DATA');
ok($agora->poll_query_until('app', 'SELECT count(*) = 2 FROM meridian.proxy'), 'both proxies say that they are there');
my $said = run_by($first, 'RUN MIGRATION mv FINALIZE');
note $said =~ /(write pause .*)/;
like($said, qr/, 6 sessions kept, 0 closed, 0 aborted/, 'the sessions of both proxies were kept') or diag $said;
is(served_by($first),  'osc-fr1', 'the first proxy goes there');
is(served_by($second), 'osc-fr1', '… and the second');
ok(more_rows($osc, 'app', 60), 'the load goes on there');

# ---------------------------------------------------------------- back, by the other proxy
run_by($second, 'REVERSE MIGRATION mv');
is(served_by($first),  'agora-fr1', 'REVERSE by the other one: the first goes back');
is(served_by($second), 'agora-fr1', '… and the second');
run_by($second, 'COMPLETE MIGRATION mv');
ok(more_rows($agora, 'app', 60), 'the load goes on here');

my $written = 0;
for my $name (sort keys %ledger) {
	my $l = $ledger{$name};
	$l->stop;
	is($l->{errors}, 0, "$name: no client has met an error") or diag $l->{err};
	is($l->{reconnects}, 0, "$name: … nor lost its connection");
	is($l->lost($agora, 'app'), 0, "$name: every row that was acknowledged is there ($l->{acked}, longest gap $l->{gap_ms} ms)");
	$written += $l->{acked};
}
cmp_ok($written, '>', 200, 'they have written');

# ---------------------------------------------------------------- the executor's proxy dies
$osc->safe_psql('postgres', 'DROP DATABASE app WITH (FORCE)');
run_by($second, "CREATE MIGRATION mv OF DATABASE app FROM agora-fr1 TO osc-fr1 WITH (max_lag = '1MB', attempts = 1, freeze_deadline = '" . span(10) . "', $UNHURRIED)");
run_by($second, 'RUN MIGRATION mv PREPARE');
run_by($second, 'RUN MIGRATION mv DATA');
for my $case ([ 'freeze:after', 'error', 'agora-fr1' ], [ 'decide:after', 'redirecting', 'osc-fr1' ]) {
	my ($point, $state, $region) = @$case;
	$first->stop if $first->name eq 'first';
	$first = proxy("first-$state", 'agora-fr1', env => { MERIDIAN_CRASH_AT => $point });
	ok($agora->poll_query_until('app', "SELECT count(*) = 2 FROM meridian.proxy WHERE heartbeat > now() - interval '@{[ span(4) ]}'"),
		'both proxies are there');
	my $l = ledger($second->connstr('tx', user => 'postgres'), '-c', 2, '-w', 10, '-f', $state eq 'error' ? 11 : 21);
	more_rows($agora, 'app', 10);
	my ($status) = $first->console_raw('RUN MIGRATION mv FINALIZE');
	isnt($status, 0, "the executor's proxy dies at $point");
	ok(wait_state($second, $state), "the other one makes it $state, by itself") or diag $second->console_raw('SHOW MIGRATION mv LOG');
	is(served_by($second), $region, "… served by $region");
	more_rows($region eq 'osc-fr1' ? $osc : $agora, 'app', 20);
	$l->stop;
	is($l->{errors} + $l->{reconnects}, 0, "… its clients have noticed nothing (longest gap $l->{gap_ms} ms)") or diag $l->{err};
	is($l->lost($region eq 'osc-fr1' ? $osc : $agora, 'app'), 0, "… and lost nothing ($l->{acked} rows)");
}
$second->stop;
done_testing;
