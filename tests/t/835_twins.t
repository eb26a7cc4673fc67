#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Three clients say what comes to their minds, each on a session of a transaction pool and on a connection of its own, and must
# read the same on both: settings, roles, transactions, temporary tables, locks, cursors, notifications, prepared statements,
# COPY, pipelines and mistakes (Meridian::Test::Twins). TWINS=seed or TWINS=from-to plays others than the usual ones.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Proxy;
use Meridian::Test::Twins;
use Meridian::Test::Wire;
use Test::More;

my ($from, $to) = ($ENV{TWINS} // '1-8') =~ /^(\d+)(?:-(\d+))?$/ or die 'TWINS: a seed, or two with a hyphen between';
my ($node) = regional_clusters('us-east1');
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $node ],
	set     => { auth => 'trust', workers => 1, default_pool_size => 3 },
	conf    => "[database *]\npool = transaction\n");
$proxy->start;
$node->safe_psql('postgres', 'CREATE ROLE app LOGIN; CREATE ROLE reader; GRANT reader TO app; ALTER ROLE app SET work_mem = \'5MB\'');
for my $database (qw(own shared)) {
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, 'CREATE VIEW settings AS SELECT ' . join(', ', map { "coalesce(current_setting('$_', true), '') AS \"$_\"" } Meridian::Test::Twins::settings())
		. ', current_user, session_user, current_schemas(false); GRANT SELECT ON settings TO public');
	$node->safe_psql($database, <<'SQL');
CREATE SCHEMA one;
CREATE TABLE public.t (who int, a int);
CREATE TABLE one.t (who int, a int);
CREATE VIEW public.v AS SELECT 'public' AS v;
GRANT ALL ON SCHEMA public, one TO app, reader;
GRANT ALL ON public.t, one.t, public.v TO app;
GRANT SELECT ON public.t, one.t TO reader;
SQL
}

sub wire
{
	my ($database, $number, %param) = @_;
	my $wire = Meridian::Test::Wire->new($database eq 'own' ? (path => $node->host . '/.s.PGSQL.' . $node->port) : $proxy);
	$wire->login(database => $database, user => 'app', %param);
	return $wire;
}

my $steps = 400;
for my $seed ($from .. $to // $from) {
	$node->safe_psql($_, 'TRUNCATE public.t, one.t') for qw(own shared);
	my $twins = Meridian::Test::Twins->new(seed => $seed, clients => 3, own => sub { wire('own', @_) }, shared => sub { wire('shared', @_) });
	is($twins->play($steps), undef, "seed $seed: the same for $steps steps");
}

done_testing();
