#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Migrations of kind regions, before anything runs: PLAN has the order of CockroachDB's guide to
# several regions, CHECK names what stands in the way. Against a stand-in for a CockroachDB cluster
# (Meridian::Test::CockroachStandIn), since multi-region statements ask a real one for a licence;
# with COCKROACH=<binary> also against a real one, as far as that goes without.
use strict;
use warnings;
use Meridian::Test::CockroachStandIn qw(movr movr_proxy real_cockroach);
use Test::More;

my $spec = 'TO REGIONS us-east1 PRIMARY, us-west1, europe-west1 SURVIVE REGION FAILURE LOCALITY (promo_codes GLOBAL, '
  . 'users REGIONAL BY ROW BY (city) MAP router, vehicles REGIONAL BY ROW)';
my $crdb  = movr(nodes => 3);
my $proxy = movr_proxy('main', $crdb);
$proxy->start;

sub errors
{
	my ($m) = @_;
	return { map { $_->{check} => $_->{object} } grep { $_->{severity} eq 'ERROR' } @{ $proxy->console("SHOW MIGRATION $m CHECKS") } };
}

sub warns
{
	my ($m) = @_;
	return { map { $_->{check} => $_->{object} } grep { $_->{severity} eq 'WARN' } @{ $proxy->console("SHOW MIGRATION $m CHECKS") } };
}

sub gone { my ($m) = @_; return $proxy->console("ABORT MIGRATION $m") }

# ---- the order of the guide

my ($row) = @{ $proxy->console("CREATE MIGRATION mr OF DATABASE movr $spec") };
is_deeply([ @$row{qw(name kind state)} ], [ 'mr', 'regions', 'preflight-success' ], 'MovR can become multi-region');
is_deeply(warns('mr')->{waiting_nodes}, 'europe-west1', 'regions without nodes are told');

my $plan = $proxy->console('PLAN MIGRATION mr');
is_deeply(
	[ map { "$_->{phase}: $_->{step}" . ($_->{object} ne '' ? " $_->{object}" : '') } @$plan ],
	[
		'prepare: primary_region us-east1',
		'data: nodes', 'data: add_region us-west1', 'data: add_region europe-west1', 'data: survival region',
		'data: locality public.promo_codes',
		'data: changefeeds public.users', 'data: locality public.users',
		'data: changefeeds public.vehicles', 'data: locality public.vehicles',
		'data: visible public.users',
		'finalize: app_deployed', 'finalize: backfill public.users' ],
	'the plan has the order of the guide: primary region, nodes, regions, survival, localities, column, application, rows');
is($plan->[0]{sql}, 'ALTER DATABASE "movr" SET PRIMARY REGION "us-east1"', 'with exact statements');
is($plan->[2]{sql}, 'ALTER DATABASE "movr" ADD REGION "us-west1"',         'one region in each');
is($plan->[4]{sql}, 'ALTER DATABASE "movr" SURVIVE REGION FAILURE',         'the survival goal');
is($plan->[7]{sql}, 'ALTER TABLE "public"."users" SET LOCALITY REGIONAL BY ROW', 'the locality');
like($plan->[12]{sql}, qr/^UPDATE "public"."users" SET crdb_region = '(?:us-east1|us-west1|europe-west1)' WHERE "city" IN \(.*\) AND crdb_region <> .* LIMIT 1000/,
	'the rows by their cities, in batches');
like($plan->[12]{sql}, qr/'europe-west1' WHERE "city" IN \('paris', 'rome'\)/, 'as the router sends them');
like($plan->[2]{undo}, qr/DROP REGION "us-west1"/, 'and how each is undone');
is_deeply([ $crdb->log ], [], 'nothing was executed');
gone('mr');

$proxy->console("CREATE MIGRATION computed OF DATABASE movr $spec WITH (region_column = computed)");
is_deeply([ map { $_->{step} } @{ $proxy->console('PLAN MIGRATION computed') } ],
	[qw(primary_region nodes add_region add_region survival locality changefeeds region_column locality changefeeds locality)],
	'a computed column needs neither the application nor a backfill');
gone('computed');

# ---- what stands in the way

$proxy->console('CREATE MIGRATION two OF DATABASE movr TO REGIONS us-east1 PRIMARY, us-west1 SURVIVE REGION FAILURE '
	  . 'LOCALITY (nosuch GLOBAL, users REGIONAL BY ROW AS city, rides REGIONAL BY TABLE IN asia-east1)');
is_deeply(errors('two'), { survival => 'movr', no_such_table => 'nosuch', region_column => 'city', table_region => 'asia-east1' },
	'too few regions, tables and columns that are none');
is($proxy->console('SHOW MIGRATION two')->[0]{state}, 'preflight-error', 'the state says so');
like($proxy->console_error('RUN MIGRATION two PREPARE'), qr/MR005|55000/, 'and nothing runs');
is_deeply([ $crdb->log ], [], 'indeed nothing');
gone('two');

$crdb->tell('LICENCE off');
$proxy->console("CREATE MIGRATION nolicence OF DATABASE movr $spec");
is_deeply(errors('nolicence'), { licence => 'movr' }, 'a licence that is missing is found before anything runs');
$crdb->tell('LICENCE on');
$proxy->console('CHECK MIGRATION nolicence');
is($proxy->console('SHOW MIGRATION nolicence')->[0]{state}, 'preflight-success', 'CHECK looks again');
gone('nolicence');

my $feed = $crdb->psql_value(q{CREATE CHANGEFEED FOR TABLE users INTO 'kafka://b' WITH schema_change_policy = 'stop'});
$proxy->console("CREATE MIGRATION feeds OF DATABASE movr $spec");
is(warns('feeds')->{changefeed_stop}, 'public.users', 'a changefeed that would end is told');
is_deeply([ map { "$_->{impact} $_->{object}" } @{ $proxy->console('SHOW MIGRATION feeds IMPACT') } ], ['changefeed ends public.users'],
	'IMPACT has it too');
is_deeply({ map { $_->{table} => "$_->{method} $_->{state}" } @{ $proxy->console('SHOW MIGRATION feeds TABLES') } },
	{ 'public.promo_codes' => 'GLOBAL pending', 'public.users' => 'REGIONAL BY ROW pending', 'public.vehicles' => 'REGIONAL BY ROW pending' },
	'TABLES has where they are to be');
gone('feeds');

like($proxy->console_error('CREATE MIGRATION x OF DATABASE nosuch TO REGIONS us-east1 PRIMARY'), qr/nosuch/, 'a database that is not there');
$proxy->stop;

# ---- a real one

SKIP: {
	my $real = real_cockroach() or skip 'COCKROACH does not name a CockroachDB binary', 2;
	my $p    = movr_proxy('real', $real);
	$p->start;
	$p->console('CREATE MIGRATION r OF DATABASE movr TO REGIONS us-east1 PRIMARY LOCALITY (users GLOBAL)');
	my %found = map { $_->{check} => $_->{severity} } @{ $p->console('SHOW MIGRATION r CHECKS') };
	ok(!exists $found{not_cockroachdb}, 'the catalog of a real cluster is read') or diag explain \%found;
	is_deeply([ map { $_->{step} } @{ $p->console('PLAN MIGRATION r') } ], [qw(primary_region nodes locality)], 'and planned for');
	$p->stop;
}
done_testing();
