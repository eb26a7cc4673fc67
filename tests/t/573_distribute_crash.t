#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# What may happen to a Citus cluster while a table is distributed: the statement is cancelled, its
# session is ended, the coordinator crashes, blocking or concurrently. The table can be read and
# written afterwards, RETRY goes on to the end, and no row is lost.
#
# timeout: 900
use strict;
use warnings;
use Meridian::Test::Patience;
use Meridian::Test::Toys qw(citus_reason citus_cluster citus_proxy citus_shop);
use Test::More;

plan skip_all => citus_reason() if citus_reason();

my $rows = 300_000;
my ($coordinator) = citus_cluster('toys', 2);

sub sql
{
	my ($q) = @_;
	return $coordinator->safe_psql('toys', $q);
}

my $proxy = citus_proxy($coordinator, 'main');
$proxy->start;

sub is_up
{
	return $proxy->wait_console('SHOW NODES FULL',
		sub { grep { $_->{state} eq 'up' && $_->{role} eq 'primary' } @{ $_[0] } }, 60);
}

# Begin, wait until the statement runs, do it; then RETRY until it is over.
sub happens
{
	my ($name, $method, $what, $event) = @_;
	citus_shop($coordinator, 'toys', $rows);
	is_up();
	$proxy->console("CREATE MIGRATION $name OF DATABASE toys DISTRIBUTE BY store_id ROOT stores "
		  . "(stores METHOD BLOCKING, orders METHOD $method)");
	$proxy->console("RUN MIGRATION $name PREPARE");
	$proxy->console("RUN MIGRATION $name DATA NOWAIT");
	my $running = $method eq 'CONCURRENT' ? 'concurrently' : "distributed_table\\(''public.orders";
	ok($coordinator->poll_query_until('toys',
			"SELECT count(*) = 1 FROM pg_stat_activity WHERE query ~ '^SELECT create_.*$running' "
			  . "AND state = 'active' AND pid <> pg_backend_pid()"), "$what: it is under way");
	$event->();
	is_up();
	# where the coordinator is away the error cannot be written down: it is still "running", by nobody
	$proxy->wait_console("SHOW MIGRATION $name", sub { $_[0][0]{state} =~ /^error|data-migrated/ }, 60)
	  if $what !~ /crashed/;
	like($proxy->console("SHOW MIGRATION $name")->[0]{state}, $what =~ /crashed/ ? qr/^(?:error|running\(data\))$/ : qr/^error$/,
		'… and fails');
	is(sql("INSERT INTO orders (store_id, note) VALUES (3, 'meanwhile') RETURNING note"), 'meanwhile', '… rows come in');
	my $half = sql("SELECT coalesce(max(partmethod::text), 'local') FROM pg_dist_partition WHERE logicalrelid = 'orders'::regclass");
	like($half, $method eq 'CONCURRENT' ? qr/^(?:n|local)$/ : qr/^local$/, "… the table is as Citus leaves it: $half");
	my ($status, $out, $err);
	wait_until(sub { ($status, $out, $err) = $proxy->console_raw("RETRY MIGRATION $name"); !$status }, 'RETRY to be let');
	is($status, 0, '… RETRY goes on') or diag $err;
	$proxy->wait_console("SHOW MIGRATION $name", sub { $_[0][0]{state} =~ /^error|data-migrated/ }, 120);
	($status, $out, $err) = $proxy->console_raw("RUN MIGRATION $name FINALIZE");
	is($proxy->console("SHOW MIGRATION $name")->[0]{state}, 'done', '… to the end') or diag $err;
	is(sql('SELECT count(*) FROM orders JOIN stores USING (store_id)'), $rows + 1, '… with every row');
	is(sql("SELECT string_agg(partmethod::text, '') FROM pg_dist_partition"), 'hh', '… distributed');
	is(sql("SELECT convalidated FROM pg_constraint WHERE conname = 'orders_store'"), 't', '… and its key');
	return;
}

my $session = "FROM pg_stat_activity WHERE query ~ '^SELECT create_distributed' AND pid <> pg_backend_pid() "
  . "AND application_name ~ '^meridian-'";
happens('cancelled', 'CONCURRENT', 'cancelled', sub { sql("SELECT pg_cancel_backend(pid) $session") });
happens('ended',     'CONCURRENT', 'session ended', sub { sql("SELECT pg_terminate_backend(pid) $session") });
happens('crashed', 'CONCURRENT', 'coordinator crashed', sub { $coordinator->stop('immediate'); $coordinator->start });
happens('blocked', 'BLOCKING', 'coordinator crashed while blocking',
	sub { $coordinator->stop('immediate'); $coordinator->start });

$proxy->stop;
done_testing();
