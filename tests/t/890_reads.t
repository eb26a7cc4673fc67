#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# reads = nearest: what only reads goes to the standby near the client, never behind what its
# session has seen; the rest goes home.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters regional_standby);
use Meridian::Test::Patience;
use Meridian::Test::Reads;
use Meridian::Test::Wire qw(:build);
use Test::More;

my ($home) = regional_clusters('us-east1', { streaming => 1 });
$home->safe_psql('postgres', <<'SQL');
CREATE TABLE t (i int PRIMARY KEY, v text);
INSERT INTO t VALUES (1, 'one');
CREATE SEQUENCE s;
CREATE VIEW hides AS SELECT nextval('s') AS n;
CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT current_setting('cluster_name') $$;
SQL
my $near = regional_standby($home, 'europe-west1');
my $wait  = span(2);
my $proxy = near_proxy($home, $near,
	conf => "[database postgres]\npool = transaction\nreads = nearest\nconsistency_wait = $wait\n[database watched]\ndbname = postgres\npool = transaction\nreads = observe\n"
	  . "[database loose]\ndbname = postgres\npool = transaction\nreads = nearest\nconsistency = eventual\n"
	  . "[database sampled]\ndbname = postgres\npool = transaction\nreads = nearest\nstatement_sample = 1\n");

sub session { return paris($proxy, @_) }

sub reads
{
	my %n;
	$n{"$_->{reason}/$_->{runs}"} += $_->{transactions} for @{ $proxy->console('SHOW READS') };
	return \%n;
}

my $where = $WHERE;
my $paris = session();
is($paris->ask($where), 'europe-west1', 'a read of a caller in Paris runs in Europe');
is(session(options => '-c meridian.city=new-york')->ask($where), 'us-east1', 'one of a caller in New York at home');
is($paris->ask('SELECT f()'), 'us-east1', 'a function that is not known may write');

# ---------------------------------------------------------------- which way

my %way = (
	"$where FROM t"                            => 'europe-west1',
	"SELECT 1; $where"                         => 'europe-west1',
	"$where FROM t FOR UPDATE"                 => 'us-east1',
	"WITH x AS (UPDATE t SET v = v RETURNING i) $where FROM x" => 'us-east1',
	"UPDATE t SET v = v WHERE i = 1 RETURNING current_setting('cluster_name')" => 'us-east1',
	"$where, nextval('s') > 0"                 => 'us-east1,t',
	"SELECT nextval('s'); $where"              => 'us-east1',
	"EXPLAIN (COSTS off) SELECT 1"             => 'Result',
	"$where, pg_backend_pid() > 0"             => 'us-east1,t',
	"SELECT current_setting('cluster_name') WHERE pg_try_advisory_xact_lock(1)" => 'us-east1',
);
is(calmly($proxy, $paris, $_), $way{$_}, $_) for sort keys %way;
calm($proxy);

$paris->ask('BEGIN READ ONLY');
is($paris->ask($where), 'europe-west1', 'a transaction that is READ ONLY runs nearby');
like($paris->ask('INSERT INTO t VALUES (5)'), qr/^25006 /, '... where its writes are refused as they would be at home');
is($paris->ask('ROLLBACK'), '', '... to its end');
$paris->ask('BEGIN');
is($paris->ask($where), 'us-east1', 'any other at home');
is($paris->ask('COMMIT'), '', '... to its end');
is(calmly($proxy, $paris, $where), 'europe-west1', 'and then it reads nearby again');
like($paris->ask('SELECT 1/0'), qr/^22012 /, 'an error of a read is the client\'s');

my $leaves = session();
is($leaves->ask($where), 'europe-west1', 'who reads nearby');
$leaves->send(terminate());
$leaves->until('!');
is(reads()->{'PROTOCOL/home'}, undef, '... and leaves, does not count as one that goes home');

# ---------------------------------------------------------------- explained

sub explained
{
	my ($query, $who) = @_;
	my ($row) = @{ $proxy->console("EXPLAIN ROUTE QUERY '" . $query =~ s/'/''/gr . "' $who DATABASE postgres") };
	return $row;
}
my $x = explained($where, "CITY 'paris'");
is("@$x{qw(verdict runs reason home_region near_region)}", 'read near READ us-east1 europe-west1', 'EXPLAIN ROUTE QUERY: a read of a caller in Paris');
like($x->{replayed}, qr{^[0-9A-F]+/[0-9A-F]+$}, '... at a standby that has replayed something');
cmp_ok($x->{lag_ms}, '>=', 0, '... and is so much behind');
$x = explained("SELECT nextval('s')", "CITY 'paris'");
is("@$x{qw(verdict runs reason what)}", 'write home FUNCTION nextval', '... and what writes');
$x = explained($where, "CITY 'new york'");
is("@$x{qw(verdict runs reason near_region)}", 'read home NO_NEARER ', '... and of a caller at home');
calmly($proxy, $paris, 'UPDATE t SET v = v');
calm($proxy);
my ($p) = grep { $_->{city} eq 'paris' } @{ $proxy->console('SHOW SESSIONS FULL') };
$x = explained($where, "SESSION $p->{id}");
is("@$x{qw(verdict runs)}", 'read near', '... and of a session');
like($x->{floor}, qr{^[0-9A-F]+/[0-9A-F]+$}, '... which has seen something');
$paris->ask('SET meridian.reads = home');
is(explained($where, "SESSION $p->{id}")->{runs}, 'home', '... and reads at home, if it says so');
$paris->ask('RESET meridian.reads');
is(explained('BEGIN', "SESSION $p->{id}")->{reason}, 'BEGIN', '... and of its BEGIN');
$paris->ask('SET default_transaction_read_only = on');
calm($proxy);    # the pool asks for what was set behind the SET
is(explained('BEGIN', "SESSION $p->{id}")->{reason}, 'READ_ONLY', '... which is READ ONLY where the session says so');
$paris->ask('RESET default_transaction_read_only');
calm($proxy);

# ---------------------------------------------------------------- never stale

for my $i (1 .. 20) {
	$paris->ask("UPDATE t SET v = 'v$i' WHERE i = 1");
	calm($proxy) if $i % 2;
	is($paris->ask('SELECT v FROM t WHERE i = 1'), "v$i", "what was written is read, $i");
}
ok($near->poll_query_until('postgres', "SELECT v = 'v20' FROM t"), 'the standby has it');
$near->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
$paris->ask("UPDATE t SET v = 'paused' WHERE i = 1");
is(calmly($proxy, $paris, "SELECT v || ' ' || current_setting('cluster_name') FROM t"), 'paused us-east1', 'a standby that does not replay is not read');
cmp_ok(reads()->{'BEHIND/home'}, '>=', 1, '... and counted');
my $loose = session(database => 'loose');
$loose->ask("UPDATE t SET v = 'unseen' WHERE i = 1");
is(calmly($proxy, $loose, 'SELECT v FROM t'), 'v20', 'with consistency = eventual it is');
$near->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
ok($near->poll_query_until('postgres', "SELECT v = 'unseen' FROM t"), 'it replays again');
ok(wait_until(sub { calmly($proxy, $paris, $where) eq 'europe-west1' }), 'and is read again');

# A query keeps a standby from replaying what removes rows that it could see: waiting must not be one query.
$home->safe_psql('postgres', 'CREATE TABLE hot (v text) WITH (autovacuum_enabled = off); INSERT INTO hot VALUES (repeat(md5(random()::text), 58))');
$paris->ask("UPDATE t SET v = 'before' WHERE i = 1");
ok(wait_until(sub { calmly($proxy, $paris, $where) eq 'europe-west1' }), 'the standby is read');
$near->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
$home->safe_psql('postgres', 'UPDATE hot SET v = reverse(v)') for 1 .. 8;
$paris->ask("UPDATE t SET v = 'behind' WHERE i = 1");
calm($proxy);
$paris->send(query("SELECT v || ' ' || current_setting('cluster_name') FROM t"));
ok($proxy->wait_console('SHOW SESSIONS FULL', sub { grep { $_->{city} eq 'paris' && $_->{server_pid} ne '' } @{ $_[0] } }), 'a read waits for its standby');
$near->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
is($paris->answer, 'behind europe-west1', '... which it does not keep from replaying');

# Where what the standby replays ends a query, the client does not hear of it; and the query is no write.
$near->safe_psql('postgres', 'ALTER SYSTEM SET max_standby_streaming_delay = 0; SELECT pg_reload_conf()');
ok($near->poll_query_until('postgres', "SELECT current_setting('max_standby_streaming_delay') = '0'"), 'the standby replays at once');
my $slow = "SELECT current_setting('cluster_name') FROM hot, pg_sleep(CASE WHEN current_setting('cluster_name') = 'europe-west1' THEN %s ELSE 0 END)";
ok(wait_until(sub { calmly($proxy, $paris, sprintf $slow, 0) eq 'europe-west1' }), 'a query of the standby');
$paris->send(query(sprintf $slow, 3600));
ok($near->poll_query_until('postgres', "SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE '%3600%' AND wait_event = 'PgSleep'"), '... lasts');
$home->safe_psql('postgres', $_) for 'UPDATE hot SET v = reverse(v)', 'VACUUM hot';
is($paris->answer, 'us-east1', '... and is done again at home where it is in the way of what the standby replays');
ok($near->poll_query_until('postgres', "SELECT confl_snapshot + confl_lock + confl_bufferpin > 0 FROM pg_stat_database_conflicts WHERE datname = 'postgres'"), '... which it was');
ok(wait_until(sub { calmly($proxy, $paris, sprintf $slow, 0.001) eq 'europe-west1' }), '... and is read nearby again');
is(reads()->{'MISJUDGED/home'} // 0, 0, '... since it is no write');
$near->safe_psql('postgres', 'ALTER SYSTEM RESET max_standby_streaming_delay; SELECT pg_reload_conf()');

# ---------------------------------------------------------------- misjudged

my $before = reads()->{'REFUSED/home'} // 0;
like(calmly($proxy, $paris, 'SELECT n FROM hides'), qr/^\d+$/, 'a view that writes is asked at home');
is(reads()->{'REFUSED/home'}, $before + 1, '... after the standby has refused it');
like(calmly($proxy, $paris, 'SELECT n FROM hides'), qr/^\d+$/, 'and again');
calm($proxy);
is(reads()->{'MISJUDGED/home'}, 1, '... at once');

my $sampled = session(database => 'sampled');
$sampled->ask($_) for 'SELECT v FROM t WHERE i = 1', 'SELECT v FROM t WHERE i = 2 /* another */', 'SELECT f()', "UPDATE t SET v = 'sampled'";
my %known = map { ($_->{statement} => $_->{reads}) } @{ $proxy->console('SHOW FINGERPRINTS') };
is($known{'select v from t where i = ?'}, 'READ', 'SHOW FINGERPRINTS: what reads');
is($known{'select f()'}, 'FUNCTION', '... what calls a function that is not known');
is($known{'update t set v = ?'}, 'CHANGES', '... and what writes');

# ---------------------------------------------------------------- the extended protocol

sub calm_extended { calm($proxy); return extended($paris, @_) }
is(calm_extended(parse($where, 'p'), bind_message([], 'p'), execute('')), '1 2 europe-west1 C Z', 'a prepared statement that reads');
is(calm_extended(bind_message([], 'p'), execute('')), '2 europe-west1 C Z', '... by its name');
is(calm_extended(parse("UPDATE t SET v = 'x' RETURNING current_setting('cluster_name')", 'w'), bind_message([], 'w'), execute('')), '1 2 us-east1 C Z', 'one that writes');
is(calm_extended(bind_message([], 'w'), execute('')), '2 us-east1 C Z', '... by its name');
is(calm_extended(bind_message([], 'p'), execute(''), bind_message([], 'w'), execute('')), '2 us-east1 C 2 us-east1 C Z', 'both in one go');
is(calm_extended(parse('SELECT n FROM hides WHERE n > 0'), bind_message([]), execute('')) =~ s/\d\d+/N/r =~ s/ \d C/ N C/r, '1 2 N C Z', 'one that is misjudged');

# Of several statements in one go, one that is misjudged is remembered alone; where the client has heard of one in front of it, it
# hears of the refusal, once.
my %refused = (first => 'REFUSED/home', later => 'MISJUDGED/home');
sub told { my ($was, $now) = @_; return join ' ', map { ($now->{ $refused{$_} } // 0) - ($was->{ $refused{$_} } // 0) } qw(first later) }
sub hides { my ($tag) = @_; return parse("SELECT 'N' AS $tag FROM hides", $tag) }
my @run = map { [ bind_message([], $_), execute('') ] } qw(behind front alone);
calm_extended(hides('front'), hides('behind'), hides('alone'), parse($where, 'p2'));
for (
	[ 'a write behind a read', [ bind_message([], 'p'), execute(''), @{ $run[0] } ], '2 europe-west1 C 2 25006 Z', '0 0' ],
	[ '... which is remembered', [ bind_message([], 'p'), execute(''), @{ $run[0] } ], '2 us-east1 C 2 N C Z', '0 1' ],
	[ '... and the read is read nearby', [ bind_message([], 'p'), execute('') ], '2 europe-west1 C Z', '0 0' ],
	[ 'a write in front of a read', [ @{ $run[1] }, bind_message([], 'p2'), execute('') ], '2 N C 2 us-east1 C Z', '1 0' ],
	[ '... which is remembered', [ @{ $run[1] }, bind_message([], 'p2'), execute('') ], '2 N C 2 us-east1 C Z', '0 1' ],
	[ '... and the read is read nearby', [ bind_message([], 'p2'), execute('') ], '2 europe-west1 C Z', '0 0' ],
	[ 'one that was prepared before', $run[2], '2 N C Z', '1 0' ],
	[ '... is remembered', $run[2], '2 N C Z', '0 1' ]) {
	my ($name, $messages, $answer, $counted) = @$_;
	my $was = reads();
	is(calm_extended(@$messages), $answer, $name);
	calm($proxy);
	is(told($was, reads()), $counted, '... refused, or known to be');
}
my $two = "$where; SELECT 'N' AS two FROM hides";
$paris->send(query($two));
my @heard = map { $_->[0] eq 'D' ? row_values($_)->[0] : $_->[0] eq 'E' ? error_fields($_)->{C} : () } $paris->until('Z');
is("@heard", 'europe-west1 25006', 'two statements in one query, of which the second is misjudged');
$paris->send(query($two));
@heard = map { $_->[0] eq 'D' ? row_values($_)->[0] : $_->[0] } grep { $_->[0] =~ /[DE]/ } $paris->until('Z');
is("@heard", 'us-east1 N', '... are remembered');
calm($proxy);
$paris->send(query($where) . query("UPDATE t SET v = 'piped'") . query('SELECT v FROM t') . query($where));
is(join(' ', map { $paris->answer } 1 .. 4), 'europe-west1  piped us-east1', 'a pipeline keeps its order');
calm($proxy);
$paris->send_split(query($where), 1);
is($paris->answer, 'europe-west1', 'byte by byte');

# ---------------------------------------------------------------- the session is one

$paris->ask("SET application_name = 'both'; SET TimeZone = 'Asia/Tokyo'");
is(calmly($proxy, $paris, "SELECT current_setting('TimeZone'), current_setting('application_name'), current_setting('cluster_name')"), 'Asia/Tokyo,both,europe-west1', 'settings are alike');
$paris->ask('CREATE TEMP TABLE mine AS SELECT 7 AS n');
is($paris->ask('SELECT n FROM mine'), '7', 'a temporary table keeps it at home');
is($paris->ask($where), 'us-east1', '... with all it says');
is(reads()->{'PINNED/home'}, 2, '... which counts');
$paris->ask('DROP TABLE mine');
$paris->ask("SET default_transaction_isolation = 'serializable'");
is(calmly($proxy, $paris, $where), 'us-east1', 'SERIALIZABLE is for home');
$paris->ask('RESET default_transaction_isolation');

calm($proxy);
$paris->ask('BEGIN READ ONLY');
is($paris->ask("SELECT current_setting('cluster_name') WHERE pg_advisory_lock(7) IS NOT NULL"), 'europe-west1', 'a lock in a transaction that is READ ONLY');
is($paris->ask('COMMIT'), '', '... outlives it');
is($paris->ask('SELECT count(*) FROM t'), '1', '... and keeps the session there');
is($paris->ask('SELECT pg_advisory_unlock(7)'), 't', '... until it lets go');
is(calmly($proxy, $paris, "UPDATE t SET v = v RETURNING current_setting('cluster_name')"), 'us-east1', '... and is free to write');
my $changes = reads()->{'CHANGES/home'};
$paris->ask('UPDATE t SET v = v') for 1 .. 5;
is(reads()->{'CHANGES/home'} - $changes, 5, 'each of writes one behind the other counts');

calm($proxy);
$paris->send(query("$where, pg_sleep(3600)"));
ok($near->poll_query_until('postgres', "SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE '%3600%' AND wait_event = 'PgSleep'"), 'a query that lasts, nearby');
ok($paris->cancel, '... is cancelled');
is($paris->answer, '57014 canceling statement due to user request', '... there');
is(calmly($proxy, $paris, $where), 'europe-west1', '... and leaves the session as it was');

# ---------------------------------------------------------------- observed

my $seen = reads()->{'READ/near'};
is(session(database => 'watched')->ask($where), 'us-east1', 'reads = observe: home');
is(reads()->{'READ/near'}, $seen + 1, '... and counted as a read');
my %rows = map { ("$_->{database} $_->{region} $_->{runs} $_->{reason}" => $_) } @{ $proxy->console('SHOW READS') };
is($rows{'watched europe-west1 near READ'}{transactions}, 1, '... of its database, where it would have run');
cmp_ok($rows{'postgres europe-west1 near READ'}{waited}, '>=', 0, 'what has waited for its standby is counted');
is($rows{'postgres us-east1 home REFUSED'}{waited}, '', '... nearby alone');
ok(!exists $rows{'postgres us-east1 near READ'}, 'what runs nearby runs in that region');

# ---------------------------------------------------------------- the standby goes

my $w = session();
is($w->ask($where), 'europe-west1', 'nearby');
$w->send(query("$where, pg_sleep(1)"));
$near->poll_query_until('postgres', "SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(1)' AND pid <> pg_backend_pid()");
$near->stop('immediate');
is($w->answer, 'us-east1,', 'a read whose standby is killed is done again at home');
is($w->ask($where), 'us-east1', 'and so is what follows');
$proxy->stop;
done_testing();
