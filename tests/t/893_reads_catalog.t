#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# What reads is told by the catalog, too: an application's functions, operators and types are read
# nearby once the proxy has learnt of them, and at home again once they have changed.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters regional_standby);
use Meridian::Test::Patience;
use Meridian::Test::Reads;
use Meridian::Test::Wire qw(:build);
use Test::More;

my ($home) = regional_clusters('us-east1', { streaming => 1 });
$home->safe_psql('postgres', <<'SQL');
CREATE TABLE t (i int PRIMARY KEY);
INSERT INTO t VALUES (1);
CREATE SCHEMA app;
CREATE FUNCTION stable() RETURNS text LANGUAGE sql STABLE AS $$ SELECT current_setting('cluster_name') $$;
CREATE FUNCTION app.stable2() RETURNS text LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN current_setting('cluster_name'); END $$;
CREATE FUNCTION writes() RETURNS text LANGUAGE sql AS $$ SELECT current_setting('cluster_name') $$;
CREATE FUNCTION mixed(int) RETURNS text LANGUAGE sql STABLE AS $$ SELECT current_setting('cluster_name') $$;
CREATE FUNCTION mixed(text) RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT current_setting('cluster_name') $$;
CREATE FUNCTION owner() RETURNS text LANGUAGE sql STABLE SECURITY DEFINER AS $$ SELECT current_setting('cluster_name') $$;
CREATE FUNCTION lies() RETURNS text LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN adds(); END $$;
CREATE FUNCTION adds() RETURNS text LANGUAGE sql AS $$ INSERT INTO t SELECT max(i) + 1 FROM t RETURNING current_setting('cluster_name') $$;
CREATE FUNCTION lower(int) RETURNS text LANGUAGE sql AS $$ SELECT 'mine' $$;
CREATE FUNCTION step(text, int) RETURNS text LANGUAGE sql AS $$ SELECT $1 $$;
CREATE AGGREGATE steps(int) (sfunc = step, stype = text, initcond = 'x');
CREATE FUNCTION same(text, text) RETURNS bool LANGUAGE sql IMMUTABLE AS $$ SELECT true $$;
CREATE OPERATOR <=> (leftarg = text, rightarg = text, function = same);
CREATE FUNCTION starts(text, text) RETURNS bool LANGUAGE sql AS $$ SELECT true $$;
CREATE OPERATOR <==> (leftarg = text, rightarg = text, function = starts);
CREATE TYPE mood AS ENUM ('good');
CREATE DOMAIN small AS int CHECK (VALUE < 10);
SQL
my $near  = regional_standby($home, 'europe-west1');
my $wait  = span(2);
my $proxy = near_proxy($home, $near, set => { workers => 2 },
	conf => "[database postgres]\npool = transaction\nreads = nearest\nconsistency_wait = $wait\n[database loose]\ndbname = postgres\npool = transaction\nreads = nearest\nconsistency = eventual\n");

sub session { return paris($proxy, @_) }
sub becomes { my ($w, $sql, $region) = @_; return wait_until(sub { calmly($proxy, $w, $sql) eq $region }) }

my $paris = session();
is(calmly($proxy, $paris, 'SELECT stable()'), 'us-east1', 'a function that is not known runs at home');
is($paris->ask('SELECT stable()'), 'europe-west1', '... and the next waits until what it is has been asked, and is nearby');
my $other = session();
ok(becomes($other, 'SELECT stable()', 'europe-west1'), '... for others, too');

my %way = (
	'SELECT app.stable2()'              => 'europe-west1',
	'SELECT writes()'                   => 'us-east1',
	'SELECT mixed(1)'                    => 'us-east1',
	'SELECT owner()'                    => 'us-east1',
	"SELECT current_setting('cluster_name') WHERE lower(1) = 'mine'"       => 'us-east1',
	"SELECT current_setting('cluster_name') WHERE pg_catalog.lower('A') = 'a'" => 'europe-west1',
	"SELECT current_setting('cluster_name') WHERE 'a' <=> 'b'"             => 'europe-west1',
	"SELECT current_setting('cluster_name'), 'good'::mood"                 => 'europe-west1,good',
	"SELECT current_setting('cluster_name'), 1::small"                     => 'europe-west1,1',
	"SELECT current_setting('cluster_name'), steps(1)"                     => 'us-east1,x',
);
is(calmly($proxy, $paris, $_), $way{$_}, $_) for sort keys %way;
is(calmly($proxy, $paris, 'SELECT lies()'), 'us-east1', 'what calls itself stable and writes is refused, and done at home');
is($home->safe_psql('postgres', 'SELECT count(*) FROM t'), '2', '... once');
is($proxy->console("EXPLAIN ROUTE QUERY 'SELECT stable()' CITY 'paris' DATABASE postgres")->[0]{runs}, 'near', 'EXPLAIN ROUTE QUERY knows it');
is($proxy->console("EXPLAIN ROUTE QUERY 'SELECT mixed(1)' CITY 'paris' DATABASE postgres")->[0]{what}, 'mixed', '... and what decided otherwise');

# ---------------------------------------------------------------- prepared

sub calm_extended { calm($proxy); return extended(@_) }
is(calm_extended($paris, parse('SELECT stable()', 'p'), bind_message([], 'p'), execute('')), '1 2 europe-west1 C Z', 'a prepared statement');

# ---------------------------------------------------------------- it changes

$paris->ask('CREATE OR REPLACE FUNCTION stable() RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT current_setting(\'cluster_name\') $$');
is(calmly($proxy, $other, 'SELECT stable()'), 'us-east1', 'a function that has become volatile runs at home at once, in any session');
ok(becomes($paris, 'SELECT app.stable2()', 'europe-west1'), 'the names are learnt anew');
is(calmly($proxy, $paris, 'SELECT stable()'), 'us-east1', '... with what has changed');
is(calm_extended($paris, bind_message([], 'p'), execute('')), '2 us-east1 C Z', '... prepared before, too');
$other->ask('ALTER ROUTINE stable() STABLE');
ok(becomes($paris, 'SELECT stable()', 'europe-west1'), 'and back');
$other->ask('BEGIN');
$other->ask('ALTER FUNCTION stable() VOLATILE');
ok(wait_until(sub { $paris->ask('SELECT stable()') eq 'europe-west1' }), 'while a change is not committed, the old words are true');
$other->ask('COMMIT');
is(calmly($proxy, $paris, 'SELECT stable()'), 'us-east1', '... and no longer once it is');

# ---------------------------------------------------------------- who asks

my $loose = session(database => 'loose');
ok(becomes($loose, 'SELECT app.stable2()', 'europe-west1'), 'consistency = eventual learns as well');
$loose->ask("SET statement_timeout = 1");
$other->ask('ALTER FUNCTION app.stable2() STABLE');
is(calmly($proxy, $loose, 'SELECT app.stable2()'), 'us-east1', 'a question that fails');
is(calmly($proxy, $loose, 'SELECT 1'), '1', '... costs nobody his session');

# ---------------------------------------------------------------- default_transaction_read_only

my $reader = session();
is(calmly($proxy, $reader, 'BEGIN'), '', 'BEGIN');
is($reader->ask("SELECT current_setting('cluster_name')"), 'us-east1', '... runs at home');
$reader->ask('COMMIT');
$reader->ask('SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY');
sub begun { calmly($proxy, $reader, 'BEGIN'); return $reader->ask('SELECT writes()') }
ok(wait_until(sub { return 1 if begun() eq 'europe-west1'; $reader->ask('ROLLBACK'); return 0 }), 'with default_transaction_read_only = on, BEGIN is BEGIN READ ONLY');
like($reader->ask('INSERT INTO t VALUES (77)'), qr/^25006 /, '... as it would be at home');
$reader->ask('ROLLBACK');
is(calmly($proxy, $reader, 'BEGIN READ WRITE'), '', 'BEGIN READ WRITE');
is($reader->ask("INSERT INTO t VALUES (77) RETURNING current_setting('cluster_name')"), 'us-east1', '... is that');
$reader->ask('COMMIT');
like(calmly($proxy, $reader, 'INSERT INTO t VALUES (78)'), qr/^25006 /, 'a write is refused at home');

# the client has it from its startup packet, or its role, which the standby does not know at first
$near->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
$home->safe_psql('postgres', 'CREATE ROLE watcher LOGIN; ALTER ROLE watcher SET default_transaction_read_only = on');
my $watcher = session(user => 'watcher');
is(calmly($proxy, $watcher, "SELECT current_setting('cluster_name')"), 'us-east1', 'a standby that refuses a role is not read');
$near->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
ok(becomes($watcher, "SELECT current_setting('cluster_name')", 'europe-west1'), '... until it has replayed it');
my %careful = (
	'options in the startup packet' => session(options => '-c meridian.city=paris -c default_transaction_read_only=on'),
	'a setting of its role'         => $watcher);
for my $why (sort keys %careful) {
	my $w = $careful{$why};
	is(calmly($proxy, $w, 'BEGIN'), '', "BEGIN, with default_transaction_read_only = on by $why");
	is($w->ask("SELECT current_setting('cluster_name')"), 'europe-west1', '... is BEGIN READ ONLY');
	is($w->ask('ROLLBACK'), '', '... to its end');
}
$proxy->stop;
done_testing();
