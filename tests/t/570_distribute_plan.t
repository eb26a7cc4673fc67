#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Distributing a shop by store, before anything runs: the order of its tables, the method of each,
# the foreign keys that go and come back, and everything that stands against it. On a plain
# PostgreSQL: that Citus is missing is one finding among the others.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Proxy;
use Meridian::Test::Toys qw(toys);
use Test::More;

my ($node) = regional_clusters('us-east1');
toys($node, 'toys');
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $node ],
	set     => { migration_conninfo => 'user=postgres' });
$proxy->start;
$proxy->wait_up;

sub checks
{
	my ($m) = @_;
	return map { "$_->{severity} $_->{check} $_->{object}" } @{ $proxy->console("SHOW MIGRATION $m CHECKS") };
}

sub steps
{
	my ($m) = @_;
	return map { "$_->{step} $_->{object}" } @{ $proxy->console("PLAN MIGRATION $m") };
}

sub has
{
	my ($list, $want, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(scalar(grep { $_ eq $want } @$list), $what // $want) || diag join "\n", @$list;
}

# ---------------------------------------------------------------- the order

my $made = $proxy->console('CREATE MIGRATION shop OF DATABASE toys DISTRIBUTE BY store_id ROOT stores')->[0];
is($made->{kind}, 'distribute', 'a migration of kind distribute is made');
is($made->{state}, 'preflight-error', 'its preflight has errors: Citus is missing');
my @checks = checks('shop');
has(\@checks, 'ERROR citus_extension citus', 'which is said');
is(scalar(grep { /^ERROR/ } @checks), 1, 'nothing else stands against it') or diag join "\n", @checks;

my @order = grep { /^distribute / } steps('shop');
is_deeply(
	\@order,
	[ map { "distribute public.$_" } qw(stores orders products line_items) ],
	'stores first, then orders and products, then line_items');
my $plan = $proxy->console('PLAN MIGRATION shop');
my ($orders) = grep { $_->{step} eq 'distribute' && $_->{object} eq 'public.orders' } @$plan;
like($orders->{sql}, qr/create_distributed_table\('public\.orders', 'store_id', colocate_with => 'public\.stores'\)/,
	'PLAN shows the statement');
like($orders->{undo}, qr/undistribute_table\('public\.orders', cascade_via_foreign_keys => true\)/, 'and its undo');
like($orders->{lock}, qr/public\.orders/, 'and the lock');
like($orders->{estimate}, qr/kB, about .* s/, 'and how long it will take');
my ($truncate) = grep { $_->{step} eq 'truncate_local' } @$plan;
is($truncate->{phase}, 'finalize', 'rows on the coordinator are thrown away last');
is($node->safe_psql('toys', 'SELECT count(*) FROM line_items'), 3000, 'nothing was executed');
my %method = map { $_->{table} => $_->{method} } @{ $proxy->console('SHOW MIGRATION shop TABLES') };
is($method{'public.line_items'}, 'BLOCKING', 'small quiet tables may be blocked');

# ---------------------------------------------------------------- concurrent

$proxy->console('CREATE MIGRATION online OF DATABASE toys DISTRIBUTE BY store_id ROOT stores '
	  . '(stores METHOD BLOCKING, products METHOD BLOCKING, orders METHOD CONCURRENT, line_items METHOD CONCURRENT)');
$plan = $proxy->console('PLAN MIGRATION online');
my %drop = map { $_->{object} => $_->{sql} } grep { $_->{step} eq 'drop_keys' } @$plan;
is_deeply([ sort keys %drop ], [ 'public.line_items', 'public.orders' ], 'keys are dropped for the concurrent tables');
like($drop{'public.orders'}, qr/"$_"/, "orders: $_") for qw(orders_store_id_fkey line_items_orders_fkey);
unlike($drop{'public.orders'}, qr/line_items_products_fkey/, 'but not those of others');
like($drop{'public.line_items'}, qr/"$_"/, "line_items: $_, also to a table that is done")
  for qw(line_items_store_id_fkey line_items_products_fkey);
my ($add) = grep { $_->{step} eq 'add_keys' && $_->{object} eq 'public.orders' } @$plan;
like($add->{sql}, qr/ADD CONSTRAINT "orders_store_id_fkey" .* ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED NOT VALID/,
	'a key comes back as soon as both ends are done, as it was');
unlike($add->{sql}, qr/line_items/, 'and not before');
is(scalar(grep { $_->{step} eq 'validate_key' } @$plan), 4, 'each is checked when it is back');
@checks = checks('online');
has(\@checks, 'WARN key_not_enforced line_items_store_id_fkey on public.line_items', 'CHECK says which keys go');
my $fix = (grep { $_->{check} eq 'key_not_enforced' } @{ $proxy->console('SHOW MIGRATION online CHECKS') })[0];
like($fix->{detail}, qr/dropped in step \d+, back and checked after step \d+/, 'and for how long');

my $impact = $proxy->console('SHOW MIGRATION online IMPACT');
my ($lost) = grep { $_->{impact} eq 'foreign key not enforced' && $_->{object} =~ /orders_store_id/ } @$impact;
ok($lost, 'IMPACT says after which step a key is not enforced');
my ($pair) = grep { $_->{impact} =~ /^join/ && $_->{object} eq 'public.stores, public.orders' } @$impact;
ok($pair, 'and which tables are joined across the border');
has([ map { "$_->{impact}" } @$impact ], 'traffic is not known', 'and that the traffic is not known here');

# ---------------------------------------------------------------- what stands against it

$node->safe_psql('toys', <<'SQL');
CREATE TABLE a (store_id bigint, id bigint, b bigint, PRIMARY KEY (store_id, id));
CREATE TABLE b (store_id bigint, id bigint, a bigint, PRIMARY KEY (store_id, id));
ALTER TABLE a ADD CONSTRAINT a_b FOREIGN KEY (store_id, b) REFERENCES b (store_id, id);
ALTER TABLE b ADD CONSTRAINT b_a FOREIGN KEY (store_id, a) REFERENCES a (store_id, id);
CREATE TABLE staff (store_id bigint, id bigint GENERATED ALWAYS AS IDENTITY, boss bigint, PRIMARY KEY (store_id, id),
	CONSTRAINT staff_boss FOREIGN KEY (store_id, boss) REFERENCES staff (store_id, id));
CREATE TABLE audit (store_id bigint, note text, seq serial);
CREATE FUNCTION noop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER audit_trigger BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION noop();
CREATE TABLE wrong_key (store_id bigint, id bigint PRIMARY KEY);
CREATE TABLE other_type (store_id int PRIMARY KEY);
CREATE TABLE made (base bigint, store_id bigint GENERATED ALWAYS AS (base + 1) STORED);
CREATE UNLOGGED TABLE fast (store_id bigint PRIMARY KEY);
CREATE TABLE elder (store_id bigint);
CREATE TABLE younger () INHERITS (elder);
CREATE TABLE parts (store_id bigint, at date) PARTITION BY RANGE (at);
CREATE TABLE parts_2026 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE loose (store_id bigint, store bigint, FOREIGN KEY (store) REFERENCES stores);
CREATE TABLE forgetful (store_id bigint REFERENCES stores ON DELETE SET NULL);
CREATE TABLE gaps (store_id bigint);
INSERT INTO gaps VALUES (NULL);
CREATE TABLE cities (name text PRIMARY KEY);
CREATE TABLE shelves (store_id bigint, city text REFERENCES cities);
CREATE TABLE without (id bigint);
SQL
$proxy->console('CREATE MIGRATION hard OF DATABASE toys DISTRIBUTE BY store_id ROOT stores');
@checks = checks('hard');
has(\@checks, $_)
  for (
	'WARN circle_of_keys a_b on public.a', 'INFO self_reference staff_boss on public.staff',
	'WARN irreversible public.staff',      'ERROR triggers public.audit',
	'WARN serial_on_workers public.audit', 'ERROR key_without_column public.wrong_key',
	'ERROR column_type public.other_type', 'ERROR generated_column public.made',
	'ERROR inheritance public.elder',      'ERROR inheritance public.younger',
	'INFO partitioned_table public.parts', 'ERROR key_without_column loose_store_fkey on public.loose',
	'ERROR key_sets_column forgetful_store_id_fkey on public.forgetful',
	'ERROR null_values public.gaps',       'INFO reference_table public.cities');
is(scalar(grep { /parts_2026/ } @checks), 0, 'partitions go with their parent');
my @steps = steps('hard');
is(scalar(grep { /without|parts_2026/ } @steps), 0, 'tables without the column are left alone');
has(\@steps, 'drop_keys public.a',    'the circle is opened');
has(\@steps, 'add_keys public.b',     'and closed again');
has(\@steps, 'reference public.cities');

$proxy->console('CREATE MIGRATION named OF DATABASE toys DISTRIBUTE BY store_id ROOT stores '
	  . '(stores, without, fast METHOD CONCURRENT, nowhere, orders METHOD LOCAL, audit METHOD CONCURRENT)');
@checks = checks('named');
has(\@checks, $_)
  for (
	'ERROR missing_distribution_column public.without',
	'ERROR no_such_table nowhere',
	'ERROR unlogged_table public.fast',
	'WARN no_replica_identity public.audit',
	'WARN child_stays_local orders_store_id_fkey on public.orders',
	'ERROR child_stays_local products_store_id_fkey on public.products');
like($proxy->console_error('RUN MIGRATION named PREPARE'), qr/ERROR:  (?:55000|MR005)/, 'with errors it does not run');
is($node->safe_psql('toys', "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND conname ~ 'fkey'"),
	8, 'every key is where it was');

# atomic = on: one step
$proxy->console('CREATE MIGRATION whole OF DATABASE toys DISTRIBUTE BY store_id (stores, orders, products, line_items) '
	  . 'WITH (atomic = on)');
my ($all) = grep { $_->{step} eq 'distribute_all' } @{ $proxy->console('PLAN MIGRATION whole') };
like($all->{sql}, qr/stores'.*orders'.*products'.*line_items'/s, 'atomic: all tables in one transaction, in their order');

my $verified = $proxy->console('VERIFY MIGRATION whole TABLE orders, public.stores');
is_deeply(
	[ map { "$_->{table}: $_->{detail}" } @$verified ],
	[ 'public.orders: not distributed yet; 3000 rows now', 'public.stores: not distributed yet; 60 rows now' ],
	'VERIFY of what has not begun');

$proxy->stop;
done_testing();
