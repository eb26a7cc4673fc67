#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Migrations of kind regions: the proxy is killed before and after every step, another proxy goes on
# forward or back, and the cluster is as if nothing had happened. Against a stand-in for a
# CockroachDB cluster (Meridian::Test::CockroachStandIn).
use strict;
use warnings;
use Meridian::Test::CockroachStandIn qw(movr movr_proxy);
use Test::More;
use Time::HiRes qw(time usleep);

my $spec = 'TO REGIONS us-east1 PRIMARY, us-west1, europe-west1 SURVIVE REGION FAILURE LOCALITY (promo_codes GLOBAL, '
  . 'users REGIONAL BY ROW BY (city) MAP router, vehicles REGIONAL BY ROW)';
my $crdb  = movr(partitioned => 1, nodes => 3, regions => [qw(us-east1 us-west1 europe-west1)]);
my $fresh = $crdb->psql_value('STANDIN STATE');
$crdb->tell('KEEP');
my $other = movr_proxy('other', $crdb);
$other->start;

# When the lease of the dead one is over.
sub go_on
{
	my ($command) = @_;
	usleep(1_200_000);
	my ($status, $out, $err) = $other->console_raw($command);
	return ($status, $err);
}

my $n = 0;
my $whole;
for my $step (qw(partitions primary_region add_region survival changefeeds locality visible app_deployed backfill)) {
	for my $where (qw(before after)) {
		next if $step eq 'app_deployed' && $where eq 'after';    # found done: there is no act
		my $m    = 'k' . ++$n;
		my $back = $n % 2 == 0;
		$other->console("CREATE MIGRATION $m OF DATABASE movr $spec");
		$other->console("ACK MIGRATION $m app_deployed");
		my $victim = movr_proxy("v$n", $crdb, args => ['--crash-points'], env => { MERIDIAN_CRASH_AT => "$step:$where" });
		$victim->start;
		$victim->console_raw("RUN MIGRATION $m ALL");
		ok($victim->wait_exit(20) && $victim->exit_status == 9 << 8, "killed $where $step") or $victim->kill9;
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
$other->stop;
done_testing();
