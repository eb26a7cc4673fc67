#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# A database moves to a region that is 80 ms away, and back: what the cut-over needs on the far side
# is armed there before anybody is frozen, so that the pause costs one round trip and not thirty. On the
# way back what is under way when it begins pays its own round trips: transactions are short here.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Delay;
use Meridian::Test::Move qw(ledger more_rows);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use PostgreSQL::Test::Utils ();
use Test::More;

# Three round trips are to be told from thirty: 2,400 ms. A busy machine is slow by itself, and took 452 ms.
my $bound = $ENV{MERIDIAN_TEST_STRICT} ? 0.3 : 1.2;
my ($agora, $osc) = regional_clusters('agora-fr1', 'osc-fr1');
# The proxy is near the source; both servers are as far from one another as the regions are.
my ($far, $back) = (Meridian::Test::Delay->new($osc, ms => 40), Meridian::Test::Delay->new($agora, ms => 40));
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [
		'agora-fr1' => { nodes => $agora, migration_peer_conninfo => 'host=127.0.0.1 port=' . $back->port . ' user=postgres' },
		'osc-fr1'   => { nodes => $far },
	],
	set  => { auth => 'trust', workers => 2, region => 'agora-fr1', default_pool_size => 40, migration_conninfo => 'user=postgres' },
	conf => Meridian::Test::Proxy::databases_of('app'));
$proxy->start;
$proxy->wait_up(2);
$agora->safe_psql('postgres', 'CREATE DATABASE app');
$agora->safe_psql('app', 'CREATE TABLE ledger(client int, n int, PRIMARY KEY (client, n)); CREATE TABLE serial(id serial PRIMARY KEY)');

my @ledger;
for my $load ([ 'own', 1 ], [ 'ses', 5 ], [ 'tx', 9 ], [ 'tx', 13, '-p' ]) {
	my ($database, $first, @more) = @$load;
	push @ledger, ledger($proxy->connstr($database, user => 'postgres'), '-c', 4, '-w', 10, '-f', $first, @more);
}

sub run_it
{
	my ($sql) = @_;
	my ($status, $out, $err) = $proxy->console_raw($sql);
	is($status, 0, $sql) or diag $err, $proxy->console_raw('SHOW MIGRATION 1 LOG');
	my ($line) = $err =~ /(write pause .*)/;
	note $line if $line;
	return $err =~ /write pause (\d+) ms/ ? $1 : 1e9;
}

run_it("CREATE MIGRATION mv OF DATABASE app FROM agora-fr1 TO osc-fr1 WITH (max_lag = '1MB', retry_wait = '1s', "
	  . "freeze_deadline = '" . span(10) . "', $UNHURRIED)");
run_it('RUN MIGRATION mv PREPARE');
run_it('RUN MIGRATION mv DATA');
my $there = run_it('RUN MIGRATION mv FINALIZE');
took($there / 1000, $bound, 'the pause, with 80 ms between the regions');
more_rows($osc, 'app', 60);
my $home = run_it('REVERSE MIGRATION mv');
took($home / 1000, $bound, '... and that of the way back');
more_rows($agora, 'app', 20);
for my $l (@ledger) {
	$l->stop;
	is($l->{errors} + $l->{reconnects}, 0, 'no client has met an error, or lost its connection') or diag $l->{err};
	is($l->lost($agora, 'app'), 0, "every row that was acknowledged is there ($l->{acked}, longest gap $l->{gap_ms} ms)");
}
$proxy->stop;
done_testing();
