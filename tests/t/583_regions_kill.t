#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Migrations of kind regions: the proxy is killed before and after every step, another proxy goes on
# forward or back, and the cluster is as if nothing had happened; killed while it waits for nodes, and
# while the server works on what it was told. Here at one side of each step, in 983 at both. Against a stand-in for a
# CockroachDB cluster (Meridian::Test::CockroachStandIn).
use strict;
use warnings;
use Meridian::Test::CockroachStandIn qw(movr movr_proxy);
use Meridian::Test::Patience;
use Test::More;

my $spec = 'TO REGIONS us-east1 PRIMARY, us-west1, europe-west1 SURVIVE REGION FAILURE LOCALITY (promo_codes GLOBAL, '
  . 'users REGIONAL BY ROW BY (city) MAP router, vehicles REGIONAL BY ROW)';
my $crdb  = movr(partitioned => 1, nodes => 3, regions => [qw(us-east1 us-west1 europe-west1)]);
my $fresh = $crdb->psql_value('STANDIN STATE');
$crdb->tell('KEEP');
my $other = movr_proxy('other', $crdb);
$other->start;

sub go_on
{
	my ($command) = @_;
	my ($status, $out, $err) = $other->console_when_free($command);
	return ($status, $err);
}

my @steps = qw(partitions primary_region add_region survival changefeeds locality visible app_deployed backfill);
my $all   = $ENV{KILL_EVERYWHERE};
my $n     = 0;
my $whole;
for my $i (0 .. $#steps) {
	my $step = $steps[$i];
	for my $where (qw(before after)) {
		my $is_gate = $step eq 'app_deployed';    # found done, so that there is no act
		next if $is_gate ? $where eq 'after' : !$all && $where ne ($i % 2 ? 'after' : 'before');
		my $m    = 'k' . ++$n;
		my $back = int(($all ? $n : $i + 1) / 2) % 2;
		$other->console("CREATE MIGRATION $m OF DATABASE movr $spec");
		$other->console("ACK MIGRATION $m app_deployed");
		my $victim = movr_proxy("v$n", $crdb, args => ['--crash-points'], env => { MERIDIAN_CRASH_AT => "$step:$where" });
		$victim->start;
		$victim->console_raw("RUN MIGRATION $m ALL");
		ok($victim->wait_exit(60) && $victim->exit_status == 9 << 8, "killed $where $step") or $victim->kill9;
		my ($status, $err) = go_on($back ? "ABORT MIGRATION $m" : "RUN MIGRATION $m ALL");
		is($status, 0, $back ? 'another proxy aborts it' : 'another proxy goes on') or diag $err;
		my $state = $crdb->psql_value('STANDIN STATE');
		if ($back) {
			is($state, $fresh, 'and everything is as it was');
			next;
		}
		$whole //= $state;
		is($state, $whole, 'and it is whole');
		is($crdb->psql_value(q{SELECT count(*) FROM users WHERE crdb_region::text <> CASE city WHEN 'seattle' THEN 'us-west1'
			WHEN 'paris' THEN 'europe-west1' WHEN 'rome' THEN 'europe-west1' ELSE 'us-east1' END}), 0, 'with every row in its region');
		$crdb->tell('RESET');
	}
}

# ---- a column that is computed

$crdb->tell('RESET');
for my $where (qw(before after)) {
	my $m = 'k' . ++$n;
	$other->console("CREATE MIGRATION $m OF DATABASE movr TO REGIONS us-east1 PRIMARY, us-west1, europe-west1 "
		  . 'LOCALITY (users REGIONAL BY ROW BY (city) MAP router) WITH (region_column = computed)');
	my $victim = movr_proxy("v$n", $crdb, args => ['--crash-points'], env => { MERIDIAN_CRASH_AT => "region_column:$where" });
	$victim->start;
	$victim->console_raw("RUN MIGRATION $m ALL");
	ok($victim->wait_exit(60) && $victim->exit_status == 9 << 8, "killed $where region_column") or $victim->kill9;
	is((go_on("RUN MIGRATION $m NEXT"))[0], 0, 'another proxy goes on, a step') if $where eq 'before';
	is((go_on("ABORT MIGRATION $m"))[0],    0, 'another proxy aborts it');
	is($crdb->psql_value('STANDIN STATE'), $fresh, 'and everything is as it was');
}
$other->stop;

# ---- while it waits, and while the server works

$crdb  = movr(name => 'few', nodes => 3);
$other = movr_proxy('few', $crdb);
$other->start;
my $victim = movr_proxy('waits', $crdb);
$victim->start;
$victim->console("CREATE MIGRATION w OF DATABASE movr $spec");
$victim->console('ACK MIGRATION w app_deployed');
$victim->console('RUN MIGRATION w ALL NOWAIT');
$victim->wait_console('SHOW MIGRATION w', sub { $_[0][0]{state} eq 'waiting-nodes' });
$victim->kill9;
$crdb->tell("NODE $_") for qw(us-west1 europe-west1);
$crdb->tell('SLOW 2');
$victim = movr_proxy('works', $crdb);
$victim->start;
$victim->console_when_free('RUN MIGRATION w ALL NOWAIT');
$other->wait_console('SHOW MIGRATION w', sub { $_[0][0]{step} =~ /^locality public.promo_codes/ }, 60);
let_pass(0.2, 'the server has heard the statement');
$victim->kill9;
$crdb->tell('SLOW 0');
is((go_on('RUN MIGRATION w ALL'))[0], 0, 'killed while it waited, and while the server worked: another proxy goes on');
is($other->console('SHOW MIGRATION w')->[0]{state}, 'done', 'to the end');
my %times;
$times{$_}++ for grep { !/^UPDATE/ } $crdb->log;
is_deeply([ grep { $times{$_} != 1 } sort keys %times ], [], 'each statement was made once') or diag explain \%times;
$other->stop;
done_testing();
