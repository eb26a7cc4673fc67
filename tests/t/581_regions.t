#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Migrations of kind regions, the whole way: waiting for nodes and for the application, the rows of
# each city in its region, ABORT back to old partitions; schema changes that are slow, that have to
# be tried again, or whose connection is lost; the proxy killed before and after every step, and the
# other one resumes or aborts. Against a stand-in for a CockroachDB cluster
# (Meridian::Test::CockroachStandIn): it keeps regions and localities, PostgreSQL keeps the rows.
use strict;
use warnings;
use Meridian::Test::CockroachStandIn qw(movr movr_proxy);
use Test::More;

my @regions = qw(us-east1 us-west1 europe-west1);
my $spec    = 'TO REGIONS us-east1 PRIMARY, us-west1, europe-west1 SURVIVE REGION FAILURE LOCALITY (promo_codes GLOBAL, '
  . 'users REGIONAL BY ROW BY (city) MAP router, vehicles REGIONAL BY ROW)';
my $crdb  = movr(partitioned => 1, nodes => 3);
my $proxy = movr_proxy('main', $crdb);
$proxy->start;

sub state_is { my ($m, $want) = @_; return $proxy->wait_console("SHOW MIGRATION $m", sub { $_[0][0]{state} eq $want }) }
sub cities   { return $crdb->psql_value(q{SELECT DISTINCT city || ' ' || crdb_region FROM users ORDER BY 1}) }
my $spread = join "\n", 'boston us-east1', 'new york us-east1', 'paris europe-west1', 'rome europe-west1', 'seattle us-west1';
my $fresh  = $crdb->psql_value('STANDIN STATE');

# ---- the whole way

$proxy->console("CREATE MIGRATION mr OF DATABASE movr $spec");
my ($row) = @{ $proxy->console('RUN MIGRATION mr PREPARE') };
is($row->{state}, 'prepared', 'prepared: one region');
like($row->{next}, qr/^RUN MIGRATION \d+ (?:ALL|DATA);$/, 'and says what is next');
is_deeply([ $crdb->log ], [
		'ALTER PARTITION us_west OF INDEX movr.public.users@primary CONFIGURE ZONE DISCARD',
		'ALTER TABLE "public"."users" PARTITION BY NOTHING',
		'ALTER INDEX "public"."vehicles"@"vehicles_city_idx" PARTITION BY NOTHING',
		'ALTER DATABASE "movr" SET PRIMARY REGION "us-east1"' ], 'old partitions went, then came the primary region');

$proxy->console('RUN MIGRATION mr DATA NOWAIT');
state_is('mr', 'waiting-nodes');
$proxy->wait_console('SHOW MIGRATION mr', sub { $_[0][0]{detail} =~ /us-west1, europe-west1/ });
pass('waits for nodes of the other regions');
$crdb->tell('NODE us-west1');
$proxy->wait_console('SHOW MIGRATION mr', sub { $_[0][0]{detail} =~ /nodes in europe-west1$/ });
$crdb->tell('NODE europe-west1');
state_is('mr', 'data-migrated');
pass('and goes on by itself when they have joined');

$proxy->console('RUN MIGRATION mr FINALIZE NOWAIT');
state_is('mr', 'waiting-ack');
is($crdb->psql_value('SELECT DISTINCT crdb_region FROM users'), 'us-east1', 'no row moves before the application knows');
$proxy->console("ACK MIGRATION mr app_deployed 'release 7'");
state_is('mr', 'done');
is(cities(), $spread, 'then each row is in the region of its city');
like($crdb->psql_value('STANDIN STATE'), qr/primary us-east1\nregions us-east1 us-west1 europe-west1\nsurvival region\n.*home public.users REGIONAL BY ROW/s,
	'the database is multi-region');
my @log = grep { !/^UPDATE/ } $crdb->log;
is_deeply([ @log[ 4 .. $#log ] ], [
			'ALTER DATABASE "movr" ADD REGION "us-west1"',
			'ALTER DATABASE "movr" ADD REGION "europe-west1"',
			'ALTER DATABASE "movr" SURVIVE REGION FAILURE',
			'ALTER TABLE "public"."promo_codes" SET LOCALITY GLOBAL',
			'ALTER TABLE "public"."users" SET LOCALITY REGIONAL BY ROW',
			'ALTER TABLE "public"."vehicles" SET LOCALITY REGIONAL BY ROW',
			'ALTER TABLE "public"."users" ALTER COLUMN "crdb_region" SET VISIBLE' ], 'each statement once, in the order of the plan');
$proxy->stop;

# ---- back, from a half

my $east = movr(partitioned => 1, nodes => 3, name => 'half', regions => \@regions);
$crdb  = $east;
$fresh = $crdb->psql_value('STANDIN STATE');
$proxy = movr_proxy('half', $crdb);
$proxy->start;
$proxy->console("CREATE MIGRATION half OF DATABASE movr $spec");
$proxy->console('RUN MIGRATION half PREPARE');
$proxy->console('RUN MIGRATION half DATA');
is($proxy->console('ABORT MIGRATION half')->[0]{state}, 'aborted', 'aborted after DATA');
is($crdb->psql_value('STANDIN STATE'), $fresh, 'everything is as it was, old partitions and their placement too');
is($crdb->psql_value(q{SELECT count(*) FROM information_schema.columns WHERE column_name = 'crdb_region'}), 0, 'no column is left');
is($crdb->psql_value('SELECT count(*) FROM users'), 30, 'no row is lost');

# ---- slow, refused for now, lost

$crdb->tell('FORGET');
$crdb->tell('FAIL 40001 2 ADD REGION');
$crdb->tell('SLOW 0.5');
$proxy->console("CREATE MIGRATION slow OF DATABASE movr $spec");
$proxy->console("ACK MIGRATION slow app_deployed");
$proxy->console('RUN MIGRATION slow ALL NOWAIT');
$proxy->wait_console('SHOW MIGRATION slow', sub { $_[0][0]{step} =~ /^add_region/ });
$proxy->console('PAUSE MIGRATION slow');
state_is('slow', 'paused');
$crdb->tell('CUT');    # every connection, in the middle of what they do
$proxy->console('RUN MIGRATION slow ALL NOWAIT');
$proxy->wait_console('SHOW MIGRATION slow', sub { $_[0][0]{step} =~ /^locality/ });
$crdb->tell('CUT');
state_is('slow', 'done');
is(cities(), $spread, 'slow jobs, errors to be tried again, PAUSE and lost connections are only a delay');
my %times;
$times{$_}++ for grep { /ADD REGION|SET LOCALITY/ } $crdb->log;
is_deeply([ grep { $_ != 1 } values %times ], [], 'no change of the schema was made twice') or diag explain \%times;
$crdb->tell('SLOW 0');
$proxy->stop;

done_testing();
