# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::Toys - a shop to be distributed by store, and a Citus cluster to distribute it on.
#
#   use Meridian::Test::Toys qw(toys citus_reason citus_cluster);
#
#   toys($node, 'toys');                         # makes the database: stores, products, orders, line_items
#   plan skip_all => citus_reason() if citus_reason();
#   my ($coordinator, @workers) = citus_cluster('toys', 2);     # the extension and its nodes in that database
#   my $proxy = citus_proxy($coordinator, 'main');               # in front of it; more options of new() may follow
#   citus_shop($coordinator, 'toys', 1000);      # stores and orders anew, as they were before anything was distributed
#   my $text = citus_catalogs($coordinator, 'toys', @queries);   # what an ABORT brings back, and what these answer
#
# The cluster is of real servers; citus_reason() says why there can be none ('' when there can).
package Meridian::Test::Toys;
use strict;
use warnings;

use Exporter qw(import);
use IPC::Run ();
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Proxy;

our @EXPORT_OK = qw(toys citus_reason citus_cluster citus_proxy citus_catalogs citus_shop);

# 60 stores, 600 products, 3000 orders with a line item each.
my $schema = <<'SQL';
CREATE TABLE stores (store_id bigint PRIMARY KEY, name text NOT NULL);
CREATE TABLE products (store_id bigint NOT NULL REFERENCES stores, product_id bigserial, title text,
	price numeric(10, 2), PRIMARY KEY (store_id, product_id));
CREATE TABLE orders (store_id bigint NOT NULL, order_id bigserial, placed_at timestamptz DEFAULT now(),
	CONSTRAINT orders_store_id_fkey FOREIGN KEY (store_id) REFERENCES stores ON DELETE CASCADE
		DEFERRABLE INITIALLY DEFERRED,
	PRIMARY KEY (store_id, order_id));
CREATE TABLE line_items (store_id bigint NOT NULL REFERENCES stores, line_item_id bigserial,
	order_id bigint NOT NULL, product_id bigint NOT NULL, quantity int NOT NULL DEFAULT 1,
	CONSTRAINT line_items_orders_fkey FOREIGN KEY (store_id, order_id) REFERENCES orders (store_id, order_id),
	CONSTRAINT line_items_products_fkey FOREIGN KEY (store_id, product_id)
		REFERENCES products (store_id, product_id),
	PRIMARY KEY (store_id, line_item_id));
CREATE INDEX ON line_items (order_id);
COMMENT ON TABLE orders IS 'what was bought';
COMMENT ON COLUMN orders.placed_at IS 'by the clock of the shop''s server';
COMMENT ON CONSTRAINT line_items_orders_fkey ON line_items IS 'of which order';
CREATE VIEW sales AS SELECT store_id, count(*) AS n FROM orders GROUP BY 1;
GRANT SELECT ON sales TO PUBLIC;
INSERT INTO stores SELECT i, 'store ' || i FROM generate_series(1, 60) i;
INSERT INTO products (store_id, title, price) SELECT 1 + i % 60, 'toy ' || i, i / 10.0 FROM generate_series(1, 600) i;
INSERT INTO orders (store_id) SELECT 1 + i % 60 FROM generate_series(1, 3000) i;
INSERT INTO line_items (store_id, order_id, product_id)
	SELECT o.store_id, o.order_id, p.product_id FROM orders o JOIN (SELECT store_id, min(product_id) AS product_id
		FROM products GROUP BY 1) p USING (store_id);
ANALYZE;
SQL

sub toys
{
	my ($node, $db) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $db")
	  if $node->safe_psql('postgres', "SELECT count(*) FROM pg_database WHERE datname = '$db'") == 0;
	$node->safe_psql($db, $schema);
	return;
}

sub citus_reason
{
	for my $dir (split /:/, $ENV{PATH}) {
		next unless -x "$dir/postgres";
		chomp(my $share = `'$dir/pg_config' --sharedir 2>/dev/null`);
		$share = '/usr/share/postgresql/' . ($dir =~ m{/(\d+)/bin$} ? $1 : '') unless $share =~ m{/};
		return -e "$share/extension/citus.control" ? '' : 'Citus is not installed';
	}
	return 'there is no postgres in PATH';
}

# The setting that names output plugins is not in every version.
sub knows_plugins
{
	my ($bin) = grep { -x "$_/postgres" } split /:/, $ENV{PATH};
	return `'$bin/postgres' --describe-config` =~ /^output_plugin_libraries\t/m;
}

sub citus_cluster
{
	my ($db, $nworkers) = @_;
	my $conf = "shared_preload_libraries = 'citus, pg_stat_statements'\nmax_connections = 200\nmax_prepared_transactions = 200\n"
	  . "max_worker_processes = 32\nmax_replication_slots = 20\nmax_wal_senders = 20\n"
	  . "citus.local_hostname = '127.0.0.1'\ncitus.shard_count = 4\n"
	  . "citus.defer_shard_delete_interval = '1s'\ncitus.enable_statistics_collection = off\n"
	  . "citus.node_conninfo = 'sslmode=disable'\n";
	# 573 crashes the coordinator: what Citus has still to clean on its workers, it writes down on connections of its own
	$conf .= "synchronous_commit = on\n";
	$conf .= "output_plugin_libraries = 'pgoutput, test_decoding, citus'\n" if knows_plugins();
	my @nodes = map { regional_clusters($_, { conf => $conf }) } 'coordinator', map { "worker$_" } 1 .. $nworkers;
	for my $node (@nodes) {
		$node->safe_psql('postgres', "CREATE DATABASE $db");
		$node->safe_psql($db,        'CREATE EXTENSION citus; CREATE EXTENSION pg_stat_statements');
		# making the extension turns it on in postgresql.auto.conf
		$node->safe_psql($db, 'ALTER SYSTEM SET ssl = off');
		$node->reload;
	}
	my ($coordinator, @workers) = @nodes;
	$coordinator->safe_psql($db, "SELECT citus_set_coordinator_host('127.0.0.1', " . $coordinator->port . ')');
	$coordinator->safe_psql($db, "SELECT citus_add_node('127.0.0.1', " . $_->port . ')') for @workers;
	return @nodes;
}

sub citus_proxy
{
	my ($coordinator, $name, %opt) = @_;
	my %set = %{ delete $opt{set} || {} };
	return Meridian::Test::Proxy->new($name,
		regions => [ 'us-east1' => $coordinator ],
		set     => { migration_conninfo => 'user=postgres', %set },
		%opt);
}

# Schema, slots, publications; sorted lines.
sub citus_catalogs
{
	my ($node, $db, @queries) = @_;
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'pg_dump', '-s', '-N', 'meridian', '-d', $node->connstr($db) ], '>', \$out, '2>', \$err) or die $err;
	my @lines = sort grep { !/^--|^$|restrict/ } split /\n/, $out;
	push @lines, $node->safe_psql($db, join(' UNION ALL ', "SELECT 'slot ' || slot_name FROM pg_replication_slots",
		"SELECT 'publication ' || pubname FROM pg_publication", @queries) . ' ORDER BY 1');
	return join "\n", @lines;
}

# Twenty stores and so many orders; when what Citus still had to clean is gone.
sub citus_shop
{
	my ($coordinator, $db, $rows) = @_;
	$coordinator->safe_psql($db, <<"SQL");
DROP TABLE IF EXISTS orders, stores CASCADE;
CREATE TABLE stores (store_id bigint PRIMARY KEY, name text);
CREATE TABLE orders (store_id bigint NOT NULL, order_id bigserial, note text, PRIMARY KEY (store_id, order_id),
	CONSTRAINT orders_store FOREIGN KEY (store_id) REFERENCES stores ON DELETE CASCADE);
INSERT INTO stores SELECT i, i FROM generate_series(1, 20) i;
INSERT INTO orders (store_id, note) SELECT 1 + i % 20, repeat('x', 100) FROM generate_series(1, $rows) i;
ANALYZE;
SQL
	$coordinator->poll_query_until($db, 'SELECT count(*) = 0 FROM pg_dist_cleanup') or die 'leftovers stay';
	return;
}

1;
