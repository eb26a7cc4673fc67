#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# The process that distributes is killed before and after every step, on a Citus cluster. Another
# one goes on to the end, or takes everything back: tables, keys, comments, slots and rows are then
# as they have to be. And what a kill in the middle of a concurrent copy leaves: the copy itself,
# which goes on, and which the next one waits for.
#
# timeout: 1800
use strict;
use warnings;
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Toys qw(citus_reason citus_cluster citus_proxy citus_catalogs citus_shop);
use PostgreSQL::Test::Utils ();
use Test::More;

plan skip_all => citus_reason() if citus_reason();

my ($coordinator, @workers) = citus_cluster('toys', 2);
my $runs = 0;

sub sql
{
	my ($q) = @_;
	return $coordinator->safe_psql('toys', $q);
}

sub shop
{
	my ($rows) = @_;
	citus_shop($coordinator, 'toys', $rows);
	sql(<<'SQL');
COMMENT ON COLUMN orders.note IS 'of the customer';
COMMENT ON CONSTRAINT orders_store ON orders IS 'whose';
CREATE VIEW sales AS SELECT store_id, count(*) AS n FROM orders GROUP BY 1;
GRANT SELECT ON sales TO PUBLIC;
SQL
	return;
}

sub catalogs
{
	return citus_catalogs($coordinator, 'toys', "SELECT 'distributed ' || logicalrelid FROM pg_dist_partition",
		"SELECT 'rows ' || count(*) FROM orders");
}

sub proxy
{
	my (%more) = @_;
	my $proxy = citus_proxy($coordinator, 'p' . ++$runs, set => { migration_lease => span(1) }, %more);
	$proxy->start;
	$proxy->wait_up;
	return $proxy;
}

sub state_of
{
	my ($proxy, $m) = @_;
	return $proxy->console("SHOW MIGRATION $m")->[0]{state};
}

# Run it; the process dies on the way.
sub run_and_die
{
	my ($m, $point, @commands) = @_;
	my $proxy = proxy(args => ['--crash-points'], env => { MERIDIAN_CRASH_AT => $point });
	for my $c (@commands) {
		my ($status) = $proxy->console_raw($c);
		last if $status;
	}
	my $died = $proxy->wait_exit;
	$proxy->kill9 unless $died;
	return $died;
}

my $create = 'OF DATABASE toys DISTRIBUTE BY store_id ROOT stores (stores METHOD BLOCKING, orders METHOD CONCURRENT)';

sub created
{
	my ($m) = @_;
	return ("CREATE MIGRATION $m $create", "RUN MIGRATION $m PREPARE", "RUN MIGRATION $m DATA",
		"RUN MIGRATION $m FINALIZE");
}

shop(400);
my $before = catalogs();

# All is at its new place.
sub is_distributed
{
	my ($what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $got = sql("SELECT string_agg(format('%s %s', logicalrelid, partmethod), ', ' ORDER BY logicalrelid::text)"
		  . ' FROM pg_dist_partition')
	  . '; ' . sql("SELECT string_agg(format('%s %s', conname, convalidated), ', ') FROM pg_constraint WHERE contype = 'f'"
		  . " AND conrelid = 'orders'::regclass")
	  . '; ' . sql('SELECT count(*) FROM orders JOIN stores USING (store_id)')
	  . '; ' . sql("SELECT pg_relation_size('stores') + pg_relation_size('orders')")
	  . '; ' . sql("SELECT (SELECT relacl::text ~ '=r/' FROM pg_class WHERE oid = 'sales'::regclass)::text || col_description('orders'::regclass, 3)");
	return is($got, 'orders h, stores h; orders_store t; 400; 0; trueof the customer', $what);
}

my @steps = qw(keys distribute orphans drop_keys distribute_concurrently trimmings add_keys validate_key truncate_local);
for my $step (@steps) {
	for my $where (qw(before after)) {
		for my $then (qw(run abort)) {
			my $m = "${step}_${where}_$then";
			shop(400);
			ok(run_and_die($m, "$step:$where", created($m)), "killed $where $step") or next;
			my $proxy = proxy();
			my ($status, $out, $err) =
			  $proxy->console_raw($then eq 'run' ? "RUN MIGRATION $m ALL" : "ABORT MIGRATION $m");
			is($status, 0, "$then goes on") or diag $err;
			$proxy->wait_console("SHOW MIGRATION $m", sub { $_[0][0]{state} =~ /^(?:done|aborted|error)$/ }, 60);
			is(state_of($proxy, $m), $then eq 'run' ? 'done' : 'aborted', '… to the end')
			  or diag explain $proxy->console("SHOW MIGRATION $m");
			$then eq 'run' ? is_distributed('… with everything') : is(catalogs(), $before, '… with nothing left');
			$proxy->stop;
		}
	}
}

# ---------------------------------------------------------------- killed while taking back

for my $step (qw(distribute_concurrently distribute keys)) {
	my $m = "undo_$step";
	shop(400);
	ok(run_and_die($m, "$step:undo", (created($m))[ 0 .. 2 ], "ABORT MIGRATION $m"), "killed in the undo of $step") or next;
	my $proxy = proxy();
	my ($status, $out, $err) = $proxy->console_raw("ABORT MIGRATION $m");
	is($status, 0, 'ABORT goes on') or diag $err;
	$proxy->wait_console("SHOW MIGRATION $m", sub { $_[0][0]{state} =~ /^(?:aborted|error)$/ }, 60);
	is(catalogs(), $before, '… with nothing left');
	$proxy->stop;
}

# ---------------------------------------------------------------- killed in the middle of a copy

for my $then (qw(run abort)) {
	my $m = "middle_$then";
	shop(400_000);
	my $all   = catalogs();
	my $proxy = proxy();
	$proxy->console("CREATE MIGRATION $m $create");
	$proxy->console("RUN MIGRATION $m PREPARE");
	$proxy->console("RUN MIGRATION $m DATA NOWAIT");
	ok($coordinator->poll_query_until('toys',
			"SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name ~ '^meridian-distribute-'"
			  . " AND query ~ 'concurrently' AND state = 'active'"), 'a copy is under way');
	$proxy->kill9;
	is(sql("SELECT count(*) FROM pg_stat_activity WHERE application_name ~ '^meridian-distribute-'"), 1,
		'it does not end with the process that began it');
	$proxy = proxy();
	my ($status, $out, $err) = $proxy->console_raw($then eq 'run' ? "RUN MIGRATION $m ALL" : "ABORT MIGRATION $m");
	is($status, 0, "$then goes on") or diag $err;
	$proxy->wait_console("SHOW MIGRATION $m", sub { $_[0][0]{state} =~ /^(?:done|aborted|error)$/ }, 120);
	is(state_of($proxy, $m), $then eq 'run' ? 'done' : 'aborted', '… to the end')
	  or diag explain $proxy->console("SHOW MIGRATION $m");
	is(sql('SELECT count(*) FROM orders'), 400_000, 'with all rows');
	if ($then eq 'run') {
		my ($row) = grep { $_->{step} eq 'distribute_concurrently' } @{ $proxy->console("SHOW MIGRATION $m STEPS") };
		is($row->{state}, 'done', 'the step is done') or diag explain $row;
	} else {
		is(catalogs(), $all, 'and nothing is left');
	}
	$proxy->stop;
}

done_testing();
