#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# What statements run through the proxy: SHOW FINGERPRINTS of databases with statement_sample, with
# each way of saying a statement; and what migrations make of it: IMPACT, and the lint of files.
use strict;
use warnings;
use HTTP::Tiny;
use JSON::PP ();
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Http;
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Toys qw(toys);
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;

my ($node) = regional_clusters('us-east1');
toys($node, 'toys');
$node->safe_psql('postgres', "CREATE DATABASE $_") for qw(pooled sparse quiet);
my $conf = <<'CONF';
[database toys]
statement_sample = 1
[database shop]
dbname = toys
statement_sample = 1
[database pooled]
statement_sample = 1
pool = transaction
auth = trust
[database sparse]
statement_sample = 10
CONF
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $node ],
	set     => { migration_conninfo => 'user=postgres', workers => 2, http => 'on' },
	conf    => $conf);
$proxy->start;
$proxy->wait_up;

sub session { my ($db) = @_; return Meridian::Test::Wire->session($proxy, database => $db) }

sub fingerprints
{
	my ($db) = @_;
	return { map { $_->{statement} => $_ } @{ $proxy->console('SHOW FINGERPRINTS' . ($db ? " DATABASE $db" : '')) } };
}

sub calls { my ($db, $text) = @_; return (fingerprints($db)->{$text} // { calls => 0 })->{calls} }

is_deeply($proxy->console('SHOW FINGERPRINTS'), [], 'nothing has been seen yet');

# ---------------------------------------------------------------- statements, however they are said

my $join = 'select s.name from stores s join orders o using (store_id) where o.order_id = ? and s.name <> ?';
my @sessions = map { session('toys') } 1 .. 8;
my $n = 0;
for my $w (@sessions) {
	is($w->ask("SELECT s.name FROM stores s JOIN orders o USING (store_id) WHERE o.order_id = $_ AND s.name <> 'secret $_'"),
		'store ' . (1 + $_ % 60), 'a join')
	  for map { $n++; $n } 1 .. 3;
}
my $w = $sessions[0];
$w->send(parse('SELECT s.name FROM stores s JOIN orders o USING (store_id) WHERE o.order_id = $1 AND s.name <> $2', 'j'), sync_message);
$w->answer;
for (1 .. 10) {
	$w->send(bind_message([ $_, 'x' ], 'j'), describe('P'), execute, sync_message);
	is($w->answer, 'store ' . (1 + $_ % 60), 'a prepared one');
}
for (1 .. 5) {
	$w->send(parse('select s.name from stores s join orders o using (store_id) where o.order_id = $1 and s.name <> $2'),
		bind_message([ $_, 'x' ]), execute, sync_message);
	$w->answer;
}
my $seen = fingerprints('toys')->{$join};
is($seen->{calls}, 8 * 3 + 10 + 5, 'simple, prepared and unnamed statements have one fingerprint, on all workers');
is($seen->{timed}, 8 * 3 + 10 + 5, 'each answer was timed');
is($seen->{database}, 'toys', 'its database');
is($seen->{tables}, 'stores, orders', 'its tables');
like($seen->{fingerprint}, qr/^[0-9a-f]{16}$/, 'its number');
cmp_ok($seen->{p99_ms}, '>', 0, 'how long it takes');
cmp_ok($seen->{calls_per_s}, '>', 0, 'how often it comes');
unlike(JSON::PP::encode_json($proxy->console('SHOW FINGERPRINTS')), qr/secret/, 'no constant is kept');

$w->ask('SELECT pg_sleep(0.06)') for 1 .. 2;
cmp_ok(fingerprints('toys')->{'select pg_sleep(?)'}{p99_ms}, '>=', 60, 'what is slow is seen to be');
cmp_ok(fingerprints('toys')->{'select pg_sleep(?)'}{mean_ms}, '>=', 60, 'on the average, too');

my $ids = join ',', 1 .. 2000;    # beyond what is looked at
$w->ask("SELECT count(*) FROM orders WHERE order_id IN ($ids)");
is(calls('toys', 'select count(*) from orders where order_id in (?, ... ...'), 1, 'a long text is looked at as far as it goes');
$w->send_split(query("SELECT 'cut' AS " . 'x' x 1500), 400);
$w->answer;
is(calls('toys', 'select ? as ' . 'x' x 1500), 1, 'one that came in pieces is whole');
$w->send(map { query("SELECT $_ AS pipelined") } 1 .. 5);
$w->answer for 1 .. 5;
is(calls('toys', 'select ? as pipelined'), 5, 'each of a pipeline');

# ---------------------------------------------------------------- other ways in

session('shop')->ask('SELECT 1 AS by_another_name');
is(calls('toys', 'select ? as by_another_name'), 1, 'a database is known by its name on the nodes');
session('quiet')->ask('SELECT 1 AS quiet');
is_deeply(fingerprints('quiet'), {}, 'of a database without the option nothing is known');

my @pooled = map { session('pooled') } 1 .. 4;
for my $p (@pooled) {
	$p->send(parse('SELECT $1::int + 1 AS pooled', 'same'), sync_message);
	$p->answer;
	for (1 .. 3) {
		$p->send(bind_message([$_], 'same'), execute, sync_message);
		is($p->answer, $_ + 1, 'a statement of a pool');
	}
}
is(calls('pooled', 'select ?::int + ? as pooled'), 12, 'sessions of a pool know their own statements');

my $http = HTTP::Tiny->new(timeout => patience(20));
$node->safe_psql('postgres', "CREATE ROLE alice LOGIN PASSWORD 'wonder'");
is($http->request('POST', 'http://127.0.0.1:' . $proxy->port . '/sql',
		{ headers => { 'Neon-Connection-String' => 'postgresql://alice:wonder@db.example/toys' },
			content => '{"query":"select $1::int as by_http","params":[1]}' })->{status}, 200, 'POST /sql')
  for 1 .. 2;
is(calls('toys', 'select ?::int as by_http'), 2, 'counts as well');

# what a request has prepared is nothing to the session that its connection becomes
my $tunnel = Meridian::Test::Wire->new($proxy);
is(http_ask($tunnel, POST => '/sql', 'Neon-Connection-String' => 'postgresql://alice:wonder@db.example/toys',
		body => '{"query":"select $1::int as in_front","params":[1]}')->{status}, 200, 'POST /sql on a connection that is kept');
is(http_connect($tunnel, 'db')->{status}, 200, 'then CONNECT');
is(($tunnel->login(database => 'pooled'))[-1][0], 'Z', 'a session of a pool');
for (1 .. 2) {
	$tunnel->send(parse('SELECT $1::int + 2 AS tunnelled', "tunnel$_"), bind_message([$_], "tunnel$_"), execute, sync_message);
	is($tunnel->answer, $_ + 2, 'has statements of its own');
}
is(calls('pooled', 'select ?::int + ? as tunnelled'), 2, 'which are counted');

my $sparse = session('sparse');
$sparse->send(map { query('SELECT 1') } 1 .. 500) && map { $sparse->answer } 1 .. 500 for 1 .. 4;
my $guess = calls('sparse', 'select ?');
cmp_ok($guess, '>', 1000, "one of ten stands for ten ($guess of 2000)");
cmp_ok($guess, '<', 3000, 'and not for more');
is($guess % 10, 0, 'ten at a time');

# ---------------------------------------------------------------- IMPACT

$proxy->console('CREATE MIGRATION shop OF DATABASE toys DISTRIBUTE BY store_id ROOT stores');
my $impact = $proxy->console('SHOW MIGRATION shop IMPACT');
my ($pair) = grep { $_->{impact} =~ /^join/ && $_->{object} eq 'public.stores, public.orders' } @$impact;
is($pair->{calls}, 8 * 3 + 10 + 5, 'IMPACT counts the statements that name both tables') or diag explain $impact;
like($pair->{source}, qr/^this proxy, last \d+ (?:s|min)$/, 'says who saw them');
cmp_ok($pair->{calls_per_s}, '>', 0, 'how often they come');
cmp_ok($pair->{p99_ms}, '>', 0, 'how long they take');
cmp_ok($pair->{mean_ms}, '>', 0, 'on the average');
is(scalar(grep { $_->{impact} =~ /not known/ } @$impact), 0, 'the traffic is known');
my ($none) = grep { $_->{object} eq 'public.products, public.line_items' || $_->{object} eq 'public.stores, public.products' } @$impact;
is($none->{calls}, 0, 'a pair that nobody joins has no calls') or diag explain $impact;

# ---------------------------------------------------------------- lint

sub lint
{
	my ($what) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	chmod 0755, $dir;
	PostgreSQL::Test::Utils::append_to_file("$dir/V1__drop.sql", "ALTER TABLE $what;\n");
	my $m = $proxy->console("CREATE MIGRATION OF DATABASE toys FROM FILES '$dir' ALL REGIONS")->[0]{migration};
	my @found = grep { $_->{check} eq 'ban-drop-column' } @{ $proxy->console("SHOW MIGRATION $m CHECKS") };
	return join "\n", map { "$_->{severity} $_->{detail}" } @found;
}

like(lint('stores DROP COLUMN name'), qr/^ERROR stores\.name is in use: 39 calls \(this proxy, last \d+ (?:s|min)\)$/,
	'a column that statements use is not dropped');
like(lint('public.Stores DROP COLUMN "name"'), qr/^ERROR .* is in use: 39 calls/, 'however it is spelled');
like(lint('orders DROP COLUMN placed_at'), qr/^WARN .*placed_at will fail; 0 calls \(this proxy, last /,
	'one that nobody names is warned of, with for how long that was looked at');

# ---------------------------------------------------------------- off again

$proxy->write_conf(conf => $conf =~ s/statement_sample = 1$/statement_sample = 0/gmr);
$proxy->reload;
session('toys')->ask('SELECT 1 AS again');
is(calls('toys', 'select ? as again'), 0, 'new sessions are not looked at any more');
$sessions[1]->ask('SELECT 1 AS again');
is(calls('toys', 'select ? as again'), 1, 'those that were there are, to their end');

$_->close for @sessions, @pooled;
$proxy->stop;
done_testing();
