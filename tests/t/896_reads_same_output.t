#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# reads = nearest: a psql script of many kinds of statements says the same, byte for byte, as at the server itself, while
# others use the pools' connections in between. Which kinds of statements run nearby is a table here, and both servers' logs
# say that they do.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters regional_standby);
use Meridian::Test::Patience;
use Meridian::Test::Reads;
use Meridian::Test::SameOutput;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;

my @ways = qw(direct home near);
my ($home) = regional_clusters('us-east1',
	{ streaming => 1, conf => "max_prepared_transactions = 4\nwal_writer_delay = 10\nlog_statement = all\nlog_line_prefix = '[%p] %d '\n" });
$home->safe_psql('postgres', 'CREATE ROLE app LOGIN');
$home->safe_psql('postgres', "CREATE DATABASE d_$_") for @ways;
my $near  = regional_standby($home, 'europe-west1');
my $wait  = span(30);
my $proxy = near_proxy($home, $near, set => { default_pool_size => 3 },
	conf => join '', map { "[database $_->[0]]\ndbname = $_->[1]\npool = transaction\nreads = $_->[2]\nconsistency_wait = $wait\n" }
	  [ home => 'd_home', 'home' ], [ near => 'd_near', 'nearest' ], [ postgres => 'postgres', 'nearest' ]);

# What a server has logged since its log was so long.
sub logged { my ($node, $from) = @_; return PostgreSQL::Test::Utils::slurp_file($node->logfile, $from) }

# ---------------------------------------------------------------- a script

my %at = (
	direct => $home->connstr('d_direct') . ' host=127.0.0.1',
	map { ($_ => $proxy->connstr($_, options => '-c meridian.city=paris')) } qw(home near));
my $from = -s $near->logfile;
my %said;
for my $way (@ways) {
	($said{$way}, my $noise) = statements_say($at{$way});
	unlike($noise, qr/error|abort/i, "$way: the others are served");
}
ok($said{home} eq $said{direct}, 'psql says the same with reads = home as at the server') or diag first_difference($said{direct}, $said{home});
ok($said{near} eq $said{direct}, '... and with reads = nearest') or diag first_difference($said{direct}, $said{near});
is($home->safe_psql('d_near', 'SELECT count(*) FROM t WHERE i = 20000'), '0', 'what was left open is gone');

my %n = (near => 0, home => 0);
$n{ $_->{runs} } += $_->{transactions} for grep { $_->{database} eq 'near' } @{ $proxy->console('SHOW READS') };
cmp_ok($n{near}, '>', 50, "$n{near} transactions have run nearby, $n{home} at home");

# Nothing has reached the standby that it has had to refuse, but the DELETE that the script says in a transaction that is READ ONLY;
# and nothing but queries, what opens and ends such a transaction, and settings that the pool replays.
my $log = logged($near, $from);
my @asked = map { s{^(?:\s|;|--.*\n|/\*.*?\*/)+}{}r } $log =~ /^\[\d+\] d_near LOG:  (?:statement|execute [^:]*): (.*(?:\n(?!\[).*)*)/mg;
is_deeply([ $log =~ /^\[\d+\] d_near ERROR:  (cannot execute .*|.*recovery.*|.*standby.*)/mg ], ['cannot execute DELETE in a read-only transaction'],
	'the standby has refused nothing but what the script means to be refused');
my $reads = qr/$|SELECT|TABLE|VALUES|WITH|EXPLAIN|COPY .* TO STDOUT|BEGIN .*READ ONLY|END|SHOW|SET|RESET|DELETE FROM t;$/;
is_deeply([ grep { !/^(?:$reads)/ } @asked ], [], '... and was asked to read');
cmp_ok(scalar(grep { /^(?:SELECT|TABLE|VALUES|WITH|EXPLAIN|COPY)/ } @asked), '>=', $n{near} - 2, '... as often as is counted');

# ---------------------------------------------------------------- kinds of statements

$home->safe_psql('postgres', <<'SQL');
CREATE TABLE t (i int PRIMARY KEY, v text);
INSERT INTO t VALUES (1, 'one'), (2, 'two');
CREATE UNLOGGED TABLE unlogged (i int);
CREATE SEQUENCE s;
CREATE VIEW plain AS SELECT * FROM t;
CREATE VIEW hides AS SELECT nextval('s') AS n;
CREATE MATERIALIZED VIEW made AS SELECT * FROM t;
CREATE FUNCTION stable() RETURNS int LANGUAGE sql STABLE AS 'SELECT count(*)::int FROM t';
CREATE FUNCTION volatile() RETURNS int LANGUAGE sql AS 'SELECT count(*)::int FROM t';
CREATE FUNCTION adds(t) RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO t SELECT max(i) + 1 FROM t; RETURN 1; END $$;
CREATE PROCEDURE does() LANGUAGE sql AS 'INSERT INTO t SELECT max(i) + 1 FROM t';
CREATE ROLE serious LOGIN;
ALTER ROLE serious SET default_transaction_isolation = serializable;
SQL
$home->wait_for_catchup($near, 'replay');
my $w = paris($proxy);
sub explained
{
	my ($sql) = @_;
	my ($row) = @{ $proxy->console("EXPLAIN ROUTE QUERY '" . $sql =~ s/'/''/gr . "' CITY 'paris' DATABASE postgres") };
	return "$row->{reason} $row->{runs}";
}

# Where it ran, by a mark that both servers log: near, home, or near+home where the standby has refused it.
my $marks = 0;
sub ran
{
	my ($sql, $messages) = @_;
	my $mark = '/* mark ' . ++$marks . ' */';
	my %from = map { ($_->name => -s $_->logfile) } $near, $home;
	calm($proxy);
	$w->send($messages->("$sql $mark"));
	$w->until('Z');
	return join '+', map { logged($_, $from{ $_->name }) =~ /\Q$mark/ ? $_ == $near ? 'near' : 'home' : () } $near, $home;
}

# Why, where it would run, and where it ran: by a Query, and, where it is one statement, by Parse, Bind and Execute, too.
my @kinds = map { [ split /\s+\| /, $_, 2 ] } grep { $_ } split /\n/, <<'SQL';
READ near near           | SELECT * FROM t
READ near near           | SELECT v FROM t WHERE i = 1 OR v LIKE 'x%' ORDER BY v LIMIT 3
READ near near           | TABLE t
READ near near           | VALUES (1), (2)
READ near near           | SELECT 1; SELECT 2
READ near near           | SELECT 1 UNION SELECT 2 EXCEPT SELECT 3
READ near near           | WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT * FROM r
READ near near           | SELECT i, row_number() OVER (ORDER BY i), count(*) FILTER (WHERE i > 1) OVER w FROM t WINDOW w AS (PARTITION BY v)
READ near near           | SELECT v, count(*) FROM t GROUP BY GROUPING SETS ((v), ()) HAVING count(*) > 0
READ near near           | SELECT * FROM t a JOIN LATERAL (SELECT * FROM t b WHERE b.i = a.i) c ON true
READ near near           | SELECT * FROM t TABLESAMPLE system (50) REPEATABLE (1)
READ near near           | SELECT * FROM json_to_recordset('[]') AS x(a int), generate_series(1, 3), unnest(ARRAY[1, 2])
READ near near           | SELECT 'x'::regclass IS NULL FROM t WHERE false
READ near near           | SELECT xmlelement(name a), now() IS NULL, CURRENT_TIMESTAMP IS NULL, random() > 2
READ near near           | SELECT xmin, ctid, tableoid::regclass FROM t
READ near near           | SELECT 1 / 0
READ near near           | SELECT * FROM nowhere
READ near near           | COPY t TO STDOUT
READ near near           | COPY (SELECT * FROM t ORDER BY i) TO STDOUT WITH (FORMAT csv)
READ near near           | EXPLAIN SELECT * FROM t
READ near near           | EXPLAIN (ANALYZE, BUFFERS) SELECT * FROM t
READ near near           | SELECT * FROM plain
READ near near           | SELECT * FROM made
READ near near           | SELECT stable()
READ near near           | SELECT relname, relpages FROM pg_class WHERE relname = 't'
READ near near           | SELECT table_name FROM information_schema.tables
READ near near           | SELECT pg_get_viewdef('plain'::regclass), pg_relation_size('t'), has_table_privilege('t', 'SELECT')
READ near near           | SELECT last_value FROM s
READ near near+home      | SELECT * FROM hides
READ near near+home      | SELECT t.adds FROM t WHERE i = 1
READ near near+home      | SELECT * FROM unlogged
READ_ONLY near near      | BEGIN READ ONLY
READ_ONLY near near      | START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY
TRANSACTION home home    | BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE
BEGIN home home          | BEGIN
TRANSACTION home home    | BEGIN; SELECT 1; COMMIT
FUNCTION home home       | SELECT volatile()
FUNCTION home home       | SELECT nextval('s')
FUNCTION home home       | SELECT setval('s', 100)
FUNCTION home home       | SELECT pg_notify('a', 'b')
FUNCTION home home       | SELECT pg_try_advisory_xact_lock(1)
FUNCTION home home       | SELECT pg_advisory_lock(1), pg_advisory_unlock(1)
FUNCTION home home       | SELECT set_config('app.x', '1', false)
FUNCTION home home       | SELECT lo_create(0)
FUNCTION home home       | SELECT pg_is_in_recovery()
FUNCTION home home       | SELECT pg_current_wal_lsn()
FUNCTION home home       | SELECT txid_current()
FUNCTION home home       | SELECT pg_current_snapshot()
FUNCTION home home       | SELECT pg_export_snapshot()
FUNCTION home home       | SELECT pg_backend_pid(), inet_server_port()
FUNCTION home home       | SELECT pg_stat_get_numscans('t'::regclass)
FUNCTION home home       | SELECT query_to_xml('INSERT INTO t VALUES (70)', false, false, '')
FUNCTION home home       | SELECT count(*) FROM t WHERE volatile() > 0
FUNCTION home home       | EXPLAIN ANALYZE SELECT nextval('s')
FUNCTION home home       | COPY (SELECT nextval('s')) TO STDOUT
RELATION home home       | SELECT * FROM pg_stat_activity
RELATION home home       | SELECT * FROM pg_locks
RELATION home home       | SELECT * FROM pg_settings
RELATION home home       | SELECT * FROM pg_sequences
RELATION home home       | SELECT * FROM pg_prepared_xacts
LOCKS home home          | SELECT * FROM t FOR UPDATE
LOCKS home home          | SELECT * FROM (SELECT * FROM t FOR KEY SHARE SKIP LOCKED) x
INTO home home           | SELECT 1 AS i INTO new_one
CHANGES home home        | INSERT INTO t VALUES (3, 'three') ON CONFLICT DO NOTHING
CHANGES home home        | UPDATE t SET v = v RETURNING *
CHANGES home home        | DELETE FROM t WHERE i > 50
CHANGES home home        | MERGE INTO t USING (SELECT 60 AS i) u ON t.i = u.i WHEN NOT MATCHED THEN INSERT VALUES (u.i)
CHANGES home home        | WITH x AS (DELETE FROM t WHERE i > 50 RETURNING i) SELECT * FROM x
CHANGES home home        | EXPLAIN ANALYZE INSERT INTO t VALUES (61)
CHANGES home home        | COPY (DELETE FROM t WHERE i > 50 RETURNING i) TO STDOUT
CHANGES home home        | SELECT 1; UPDATE t SET v = v
STATEMENT home home      | COPY t TO PROGRAM 'cat > /dev/null'
STATEMENT home home      | TRUNCATE unlogged
STATEMENT home home      | CREATE TABLE another AS SELECT 1 AS i
STATEMENT home home      | ALTER TABLE another ADD COLUMN v text
STATEMENT home home      | DROP TABLE another
STATEMENT home home      | REFRESH MATERIALIZED VIEW made
STATEMENT home home      | VACUUM t
STATEMENT home home      | ANALYZE t
STATEMENT home home      | CALL does()
STATEMENT home home      | DO 'BEGIN END'
STATEMENT home home      | LOCK t
STATEMENT home home      | SHOW transaction_read_only
STATEMENT home home      | SET app.x = '2'
STATEMENT home home      | RESET app.x
STATEMENT home home      | EXECUTE none
STATEMENT home home      | DECLARE c CURSOR FOR SELECT 1
STATEMENT home home      | FETCH c
STATEMENT home home      | UNLISTEN a
STATEMENT home home      | DISCARD PLANS
STATEMENT home home      | NOTIFY a
UNPARSABLE home home     | SELEC 1
SQL

my %ask = (
	'Query' => sub { query($_[0]) },
	'Parse' => sub { parse($_[0]) . bind_message([]) . describe('P', '') . execute('') . sync_message });
for my $how (sort keys %ask) {
	ok(wait_until(sub { calmly($proxy, $w, 'SELECT volatile()'); explained('SELECT stable()') =~ /near/ }), "$how: the names of the application are known");
	for my $kind (@kinds) {
		my ($want, $sql) = @$kind;
		next if $how eq 'Parse' && $sql =~ /;/;
		my $got = explained($sql) . ' ' . ran($sql, $ask{$how});
		# what was refused by the first way is known by its fingerprint, as long as the catalog says the same
		$got =~ s/ home$/ near+home/ if $how eq 'Query' && $want =~ / near\+home$/;
		is($got, $want, "$how: $sql");
		$w->ask('ROLLBACK') if $sql =~ /^(?:BEGIN|START)/ && $sql !~ /COMMIT/;
		$w->ask('DROP TABLE new_one') if $sql =~ / INTO new_one/;
	}
}

my $serious = paris($proxy, user => 'serious');
for my $n (1 .. 3) {
	calm($proxy);
	is($serious->ask("SELECT current_setting('cluster_name') WHERE 7 = 7"), 'us-east1', 'a role whose transactions are SERIALIZABLE reads at home');
}
is((grep { $_->{reason} eq 'SERIALIZABLE' } @{ $proxy->console('SHOW READS') })[0]{transactions}, 2, '... at once, when it is known of it');
is(calmly($proxy, $w, "SELECT current_setting('cluster_name') WHERE 7 = 7"), 'europe-west1', '... and others read the same nearby');
$proxy->stop;
done_testing();
