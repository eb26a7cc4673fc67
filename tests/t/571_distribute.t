#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# A shop is distributed on a Citus cluster (a coordinator and two workers) while it sells: small
# tables blocking, busy ones concurrently; every order that was acknowledged is there at the end,
# and every foreign key. Then the ways that do not go straight: ABORT, a worker that is away, rows
# without parents, all tables in one transaction.
use strict;
use warnings;
use Meridian::Test::Patience;
use Meridian::Test::Toys qw(toys citus_reason citus_cluster citus_proxy citus_catalogs);
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes qw(time);

plan skip_all => citus_reason() if citus_reason();

my ($coordinator, @workers) = citus_cluster('toys', 2);
toys($coordinator, 'toys');
my $proxy = citus_proxy($coordinator, 'main');
$proxy->start;
$proxy->wait_up;

sub sql
{
	my ($q) = @_;
	return $coordinator->safe_psql('toys', $q);
}

sub migration
{
	my ($m) = @_;
	return $proxy->console("SHOW MIGRATION $m")->[0];
}

sub kinds
{
	return sql('SELECT logicalrelid, partmethod, column_to_column_name(logicalrelid, partkey) FROM pg_dist_partition '
		  . 'ORDER BY logicalrelid::text');
}

sub keys_of_all
{
	return sql("SELECT conrelid::regclass, conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint "
		  . "WHERE contype = 'f' AND conparentid = 0 AND connamespace = 'public'::regnamespace "
		  . 'AND NOT relation_is_a_known_shard(conrelid) ORDER BY conrelid::regclass::text, 2');
}

# What an ABORT has to bring back: the schema, slots, publications.
sub catalogs { return citus_catalogs($coordinator, 'toys') }

my ($keys, $before) = (keys_of_all(), catalogs());

# ---------------------------------------------------------------- the whole way, under load

my $methods = '(stores METHOD BLOCKING, products METHOD BLOCKING, orders METHOD CONCURRENT, '
  . 'line_items METHOD CONCURRENT)';
my $m = $proxy->console("CREATE MIGRATION shop OF DATABASE toys DISTRIBUTE BY store_id ROOT stores $methods")->[0];
is($m->{state}, 'preflight-success', 'nothing stands against it')
  or diag explain $proxy->console('SHOW MIGRATION shop CHECKS');

# Whoever reads stores and orders together will meet both worlds.
$proxy->safe_psql('toys', 'SELECT count(*) FROM orders JOIN stores USING (store_id)') for 1 .. 5;
my ($pair) = grep { $_->{impact} =~ /^join/ && $_->{object} eq 'public.stores, public.orders' }
  @{ $proxy->console('SHOW MIGRATION shop IMPACT') };
cmp_ok($pair->{calls}, '>=', 5, 'IMPACT counts the statements that name both tables') or diag explain $pair;

# Somebody buys all the time, through the proxy, and writes down what was acknowledged.
my $ledger = PostgreSQL::Test::Utils::tempdir() . '/ledger';
my $buyer  = fork;
if (!$buyer) {
	open my $log, '>', $ledger;
	$log->autoflush(1);
	my $psql = $proxy->background_psql('toys', on_error_stop => 0);
	while (getppid() != 1 && !-e "$ledger.stop") {
		my $id = $psql->query('BEGIN; INSERT INTO orders (store_id) VALUES (7) RETURNING order_id; COMMIT;');
		print {$log} "$1\n" if ($id // '') =~ /^(\d+)/;
		let_pass(0.02, 'others ask something');
	}
	POSIX::_exit(0);
}

my ($status, $out, $err) = $proxy->console_raw('RUN MIGRATION shop PREPARE');
is($status, 0, 'PREPARE') or diag $err;
is(migration('shop')->{state}, 'prepared', 'it is prepared');
($status, $out, $err) = $proxy->console_raw('RUN MIGRATION shop DATA');
is($status, 0, 'DATA') or diag $err;
is(migration('shop')->{state}, 'data-migrated', 'every table is on the workers');
($status, $out, $err) = $proxy->console_raw('RUN MIGRATION shop FINALIZE');
is($status, 0, 'FINALIZE') or diag $err;
diag explain migration('shop') if migration('shop')->{state} ne 'done';
PostgreSQL::Test::Utils::append_to_file("$ledger.stop", '');
waitpid $buyer, 0;

is(kinds(), join("\n", map { "$_|h|store_id" } qw(line_items orders products stores)), 'by store, all four');
is(sql('SELECT count(DISTINCT colocationid) FROM pg_dist_partition'), 1, 'side by side');
is(keys_of_all(), $keys,   'with every key that there was, valid');
is(catalogs(),    $before, 'and whatever else hangs on them');
is(sql("SELECT sum(pg_relation_size(t)) FROM unnest('{stores,products,orders,line_items}'::regclass[]) t"),
	0, 'nothing is left on the coordinator');
open my $log, '<', $ledger or die "$ledger: $!";
chomp(my @acknowledged = <$log>);
cmp_ok(scalar(@acknowledged), '>', 20, 'orders came in all the time: ' . @acknowledged);
my %there = map { $_ => 1 } split /\n/, sql('SELECT order_id FROM orders WHERE store_id = 7');
is(scalar(grep { !$there{$_} } @acknowledged), 0, 'none that was acknowledged is lost');
is(sql('SELECT count(*) FROM line_items'), 3000, 'nor any other row');
like(scalar($coordinator->psql('toys', 'INSERT INTO orders (store_id) VALUES (9999)')), qr/3/, 'keys are enforced');
my @states = map { "$_->{state}" } @{ $proxy->console('SHOW MIGRATION shop STEPS') };
is(scalar(grep { !/^(?:done|skipped)$/ } @states), 0, 'every step is done');

# ---------------------------------------------------------------- back

sub afresh
{
	sql('DROP TABLE line_items, orders, products, stores CASCADE');
	sql('CALL citus_cleanup_orphaned_resources()');
	toys($coordinator, 'toys');
	return;
}

afresh();
is(catalogs(), $before, 'the shop is as it was at first');
$proxy->console("CREATE MIGRATION again OF DATABASE toys DISTRIBUTE BY store_id ROOT stores $methods");
$proxy->console('RUN MIGRATION again PREPARE');
$proxy->console('RUN MIGRATION again DATA');
like(kinds(), qr/orders\|h/, 'the data are on the workers');
($status, $out, $err) = $proxy->console_raw('ABORT MIGRATION again');
is($status, 0, 'ABORT') or diag $err;
is(migration('again')->{state}, 'aborted', 'and they are back');
is(kinds(),    '',      'no table is distributed');
is(catalogs(), $before, 'the catalogs are as they were');
is(sql('SELECT count(*) FROM line_items'), 3000, 'with all rows');

# ---------------------------------------------------------------- a worker is away half way

$proxy->console("CREATE MIGRATION hole OF DATABASE toys DISTRIBUTE BY store_id ROOT stores $methods");
$proxy->console('RUN MIGRATION hole PREPARE');
my $n;
for my $s (@{ $proxy->console('SHOW MIGRATION hole STEPS') }) {
	$n = $s->{n} if $s->{step} eq 'distribute_concurrently' && !$n;
}
$proxy->console('RUN MIGRATION hole STEP ' . ($n - 1));
$workers[1]->stop('immediate');
like($proxy->console_error('RUN MIGRATION hole DATA'), qr/ERROR/, 'with a worker down the concurrent copy fails');
is(migration('hole')->{state}, 'error', 'and says so');
is(sql('SELECT count(*) >= 3000 FROM orders'), 't', 'the table is readable, half way or not at all');
$workers[1]->start;
($status, $out, $err) = $proxy->console_raw('RETRY MIGRATION hole');
is($status, 0, 'RETRY goes on when it is back') or diag $err;
$proxy->wait_console('SHOW MIGRATION hole', sub { $_[0][0]{state} =~ /data-migrated|error/ }, 60);
is(migration('hole')->{state}, 'data-migrated', 'to the end') or diag explain migration('hole');
is(keys_of_all(), $keys, 'with every key');
$proxy->console('ABORT MIGRATION hole');
is(catalogs(), $before, 'and back');

# ---------------------------------------------------------------- rows without parents

$proxy->console('CREATE MIGRATION orphans OF DATABASE toys DISTRIBUTE BY store_id ROOT stores');
$proxy->console('RUN MIGRATION orphans PREPARE');
for my $s (@{ $proxy->console('SHOW MIGRATION orphans STEPS') }) {
	$n = $s->{n} if $s->{step} eq 'distribute' && $s->{object} eq 'public.stores';
}
$proxy->console("RUN MIGRATION orphans STEP $n");
sql('DELETE FROM stores WHERE store_id = 5');
like($proxy->console_error('RUN MIGRATION orphans DATA'), qr/23503.*rows of public\.\w+ have no row in public\.stores/s,
	'children that lost their parent meanwhile stop it, before Citus does');
$proxy->console('SET MIGRATION orphans (orphans = report)');
($status, $out, $err) = $proxy->console_raw('RETRY MIGRATION orphans');
is($status, 0, 'orphans = report goes on') or diag $err;
$proxy->wait_console('SHOW MIGRATION orphans', sub { $_[0][0]{state} =~ /data-migrated|error/ }, 60);
is(migration('orphans')->{state}, 'data-migrated', 'to the end') or diag explain migration('orphans');
is(sql("SELECT convalidated FROM pg_constraint WHERE conname = 'orders_store_id_fkey' "
		. 'AND NOT relation_is_a_known_shard(conrelid)'), 'f', 'the key is there, not valid');
is(sql('SELECT count(*) FROM orders WHERE store_id = 5'), 50, 'and the rows');
sql('INSERT INTO stores VALUES (5, \'again\')');
$proxy->console('ABORT MIGRATION orphans');
is(catalogs(), $before, 'with their parent back ABORT brings back everything');

# ---------------------------------------------------------------- one transaction

$proxy->console('CREATE MIGRATION whole OF DATABASE toys DISTRIBUTE BY store_id WITH (atomic = on)');
$proxy->console("RUN MIGRATION whole $_") for qw(PREPARE DATA FINALIZE);
is(migration('whole')->{state}, 'done', 'atomic: done') or diag explain migration('whole');
is(keys_of_all(), $keys, 'with every key');
is(sql('SELECT count(*) FROM pg_dist_partition'), 4, 'and every table');

$proxy->stop;
done_testing();
