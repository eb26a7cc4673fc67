#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# The edges of migrations of files: statements of which nobody can tell what became of them, roles
# and settings, transactional, PAUSE, two proxies, a proxy without the directory, regions that do not
# take writes or are not there, files that change while the migration is under way.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Files qw(put_files);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use PostgreSQL::Test::Utils ();
use Test::More;

my ($east, $west) = regional_clusters('us-east1' => { streaming => 1 }, 'europe-west1');
$_->safe_psql('postgres', 'CREATE DATABASE app') for $east, $west;
$east->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('asia-south1');
$standby->init_from_backup($east, 'b', has_streaming => 1);
$standby->append_conf('postgresql.conf', "listen_addresses = '127.0.0.1'\nport = " . $standby->port . "\n");
$standby->start;
my %at = ('us-east1' => $east, 'europe-west1' => $west, 'asia-south1' => $standby);

sub proxy
{
	my ($name, %opt) = @_;
	my $proxy = Meridian::Test::Proxy->new($name,
		regions => [ map { $_ => $at{$_} } qw(asia-south1 us-east1 europe-west1) ],
		set     => { migration_conninfo => 'user=postgres', migration_lease => span(2) }, %opt);
	$proxy->start;
	$proxy->wait_up(3);
	return $proxy;
}

my $proxy = proxy('main');
sub sql { my ($region, $sql) = @_; return $at{$region}->safe_psql('app', $sql) }
sub directory { return put_files(PostgreSQL::Test::Utils::tempdir(), @_) }

sub create
{
	my ($dir, $rest, $more) = @_;
	return $proxy->console("CREATE MIGRATION OF DATABASE app FROM FILES '$dir' " . ($rest // 'REGIONS (us-east1)')
		  . ($more ? " WITH ($more)" : ''))->[0]{migration};
}

sub run      { my ($m, $what) = @_; return $proxy->console("RUN MIGRATION $m " . ($what // 'ALL'))->[-1] }
sub fails    { my ($m, $what) = @_; return $proxy->console_error("RUN MIGRATION $m " . ($what // 'ALL')) }
sub state_of { my ($m) = @_; return $proxy->console("SHOW MIGRATION $m")->[0]{state} }

sub checks
{
	my ($m) = @_;
	return join "\n", map { "$_->{severity} $_->{check} $_->{object}: $_->{detail}" } @{ $proxy->console("SHOW MIGRATION $m CHECKS") };
}

sub fresh
{
	sql($_, 'SET client_min_messages = error; DROP SCHEMA IF EXISTS meridian, public CASCADE; CREATE SCHEMA public') for qw(us-east1 europe-west1);
	return;
}

# ---- a statement whose end nobody heard: the row says that it is under way
my %unknown = ('V1__t.sql' => "CREATE TABLE t (i int);\nCREATE PROCEDURE p() LANGUAGE plpgsql AS \$\$ BEGIN INSERT INTO t VALUES (1); COMMIT; END \$\$;\n",
	'V2__call.sql' => "-- meridian: no-transaction\n-- meridian: alone\nCALL p();\nINSERT INTO t VALUES (2);\n");

my $dir = directory(%unknown, 'V2__call.sql' => "-- meridian: no-transaction\n-- meridian: alone\nCALL p();\nINSERT INTO t VALUES (2);\nSELECT 1/0;\n");
my $m = create($dir);
like(fails($m), qr/22012.*V2__call.sql, line 5/s, 'a file fails at its third statement');
is(sql('us-east1', 'SELECT string_agg(i::text, \',\') FROM t'), '1,2', '… the first two are there: one stands alone, one is a transaction with its mark');
like(fails($m), qr/22012/, 'RUN again goes on there');
is(sql('us-east1', 'SELECT string_agg(i::text, \',\') FROM t'), '1,2', '… and repeats none');
sql('us-east1', "UPDATE meridian.history SET stmts_done = 0, running = 1, state = 'running' WHERE file = 'V2__call.sql'; DELETE FROM t");
like(fails($m), qr/MR006.*V2__call.sql, line 3: whether this statement was carried out in us-east1 cannot be told/s, 'of a CALL that was under way nobody can tell');
like(fails($m, 'ALL FORCE (unknown_is_applied)'), qr/22012/, 'FORCE (unknown_is_applied) counts it as carried out');
is(sql('us-east1', 'SELECT string_agg(i::text, \',\') FROM t'), '2', '… and goes on behind it');
sql('us-east1', "UPDATE meridian.history SET stmts_done = 0, running = 1, state = 'running' WHERE file = 'V2__call.sql'; DELETE FROM t");
like(fails($m, 'ALL FORCE (repeat_unknown)'), qr/22012/, 'FORCE (repeat_unknown) has it carried out again');
is(sql('us-east1', 'SELECT string_agg(i::text, \',\') FROM t'), '1,2', '… once');

put_files($dir, 'V2__call.sql' => "-- meridian: no-transaction\n-- meridian: alone\n-- meridian: done-when SELECT count(*) > 0 FROM t\nCALL p();\nINSERT INTO t VALUES (2);\n");
sql('us-east1', "UPDATE meridian.history SET stmts_done = 0, running = 1, state = 'running' WHERE file = 'V2__call.sql'; DELETE FROM t; INSERT INTO t VALUES (1)");
is(run($m)->{state}, 'done', 'done-when says what became of it');
is(sql('us-east1', 'SELECT string_agg(i::text, \',\') FROM t'), '1,2', '… it was not repeated');

# ---- roles and settings of a file
fresh();
$east->safe_psql('app', 'DO $$ BEGIN CREATE ROLE owner; EXCEPTION WHEN duplicate_object THEN NULL; END $$; GRANT ALL ON SCHEMA public TO owner');
$dir = directory(
	'V1__a.sql' => "SET ROLE owner;\nCREATE TABLE a (i int);\n",
	'V2__b.sql' => "CREATE TABLE b (i int);\n",
	'V3__c.sql' => "-- meridian: no-transaction\nSET ROLE owner;\nCREATE TABLE c (i int);\nCREATE TABLE d (i int);\nRESET ROLE;\nCREATE TABLE e (i int);\n");
is(run(create($dir))->{state}, 'done', 'files that SET ROLE');
is(sql('us-east1', "SELECT string_agg(tablename || ':' || tableowner, ' ' ORDER BY tablename) FROM pg_tables WHERE schemaname = 'public'"),
	'a:owner b:postgres c:owner d:owner e:postgres', '… the role holds to the end of its file, and the history is ours');

# ---- transactional
fresh();
$dir = directory('V1.sql' => "CREATE TABLE a (i int);\nINSERT INTO a VALUES (1);\nSELECT 1/0;\n");
$m = create($dir, undef, 'transactional = per_statement');
like(fails($m), qr/22012/, 'transactional = per_statement: a statement fails');
is(sql('us-east1', 'SELECT count(*) FROM a'), 1, '… those in front of it stay');
put_files($dir, 'V1.sql' => "CREATE TABLE a (i int);\nINSERT INTO a VALUES (1);\nINSERT INTO a VALUES (2);\n");
is(run($m)->{state}, 'done', '… and what comes behind them may be mended');
is(sql('us-east1', 'SELECT count(*) FROM a'), 2, '… they were not repeated');
fresh();
$dir = directory('V1.sql' => "CREATE TABLE a (i int);\nINSERT INTO a VALUES (1);\nSELECT 1/0;\n");
$m = create($dir, undef, 'transactional = per_statement');
like(fails($m), qr/22012/, 'a statement fails');
put_files($dir, 'V1.sql' => "CREATE TABLE a (i int);\nINSERT INTO a VALUES (7);\nSELECT 1;\n");
like(fails($m), qr/55000.*V1.sql was changed after it was carried out in us-east1.*-INSERT INTO a VALUES \(1\);\n.*\+INSERT INTO a VALUES \(7\);/s,
	'what has been carried out may not change');
fresh();
$dir = directory('V1.sql' => "CREATE TABLE a (i int);\nVACUUM a;\n");
like(checks(create($dir, undef, 'transactional = per_file')), qr/ERROR cannot_run V1.sql: line 2: it cannot run in a transaction/, 'transactional = per_file refuses what stands alone');

# ---- a file that changes when it is not expected to
fresh();
$dir = directory('V1__a.sql' => "CREATE TABLE a (i int);\n", 'V2__b.sql' => "CREATE TABLE b (i int);\n");
$m = create($dir, 'REGIONS (us-east1, europe-west1) CANARY us-east1');
run($m, 'PREPARE');
put_files($dir, 'V2__b.sql' => "CREATE TABLE b (i bigint);\n");
like(fails($m, 'DATA'), qr/55000.*V2__b.sql was changed after the plan was made.*-CREATE TABLE b \(i int\);\n\s*\+CREATE TABLE b \(i bigint\);/s, 'a file that changes behind the plan is refused');
put_files($dir, 'V2__b.sql' => "CREATE TABLE b (i int);\n");
is(run($m, 'DATA')->{state}, 'data-migrated', '… put back, it runs');
put_files($dir, 'V2__b.sql' => "CREATE TABLE b (i bigint);\n");
like(fails($m, 'FINALIZE'), qr/changed_file V2__b.sql in us-east1/, 'what the canary has may not change for the others');
like(fails($m, 'FINALIZE FORCE (changed_file)'), qr/55000.*V2__b.sql was changed after it was carried out in us-east1/s, '… not even by FORCE');
is($proxy->console("ABORT MIGRATION $m FORCE")->[-1]{state}, 'aborted', 'ABORT FORCE leaves files without undo');
is(sql('us-east1', "SELECT count(*) FROM pg_class WHERE relname IN ('a', 'b')"), 2, '… as they are');

# ---- PAUSE in the middle of a long statement
fresh();
$dir = directory('V1__t.sql' => "CREATE TABLE t (i int);\nINSERT INTO t VALUES (1);\n", 'V2__i.sql' => "CREATE INDEX CONCURRENTLY t_i ON t (i);\n");
run(create(directory('V1__t.sql' => "CREATE TABLE t (i int);\nINSERT INTO t VALUES (1);\n")));
$m = create($dir, undef, "lock_timeout = '" . span(60) . "'");
my $holder = $east->background_psql('app');
$holder->query_safe('BEGIN; INSERT INTO t VALUES (2)');
$proxy->console("RUN MIGRATION $m ALL NOWAIT");
$east->poll_query_until('app', "SELECT count(*) > 0 FROM pg_stat_activity WHERE query ~ '^CREATE INDEX CONCURRENTLY' AND wait_event_type = 'Lock'") or die;
is(sql('us-east1', "SELECT running FROM meridian.history WHERE file = 'V2__i.sql'"), 1, 'a statement that stands alone is marked while it is under way');
$proxy->console("PAUSE MIGRATION $m");
is($proxy->wait_console("SHOW MIGRATION $m", sub { $_[0][0]{state} !~ /running/ })->[0]{state}, 'paused', 'PAUSE ends a statement that waits');
$holder->query_safe('COMMIT');
$holder->quit;
$proxy->console("RESUME MIGRATION $m");
is($proxy->wait_console("SHOW MIGRATION $m", sub { $_[0][0]{state} !~ /running|paused/ })->[0]{state}, 'done', 'RESUME takes it up');
is(sql('us-east1', "SELECT count(*) || ' ' || bool_and(indisvalid) FROM pg_index WHERE indrelid = 't'::regclass"), '1 true', '… the half built index is gone, a whole one is there');

# ---- standbys, and regions that are not there
fresh();
$dir = directory('V1__a.sql' => "CREATE TABLE a (i int);\n");
$m = create($dir, 'ALL REGIONS');
like(checks($m), qr/INFO standby asia-south1/, 'ALL REGIONS: one that follows another gets the files by replication');
is(run($m)->{state}, 'done', '… the others get them from us');
$east->wait_for_catchup($standby, 'replay', $east->lsn('insert'));
is(join(' ', map { sql($_, "SELECT count(*) FROM pg_class WHERE relname = 'a'") } sort keys %at), '1 1 1', '… all have them');
like(checks(create($dir, 'REGIONS (us-east1, asia-south1)')), qr/ERROR standby asia-south1/, 'one that is named has to take writes');
like($proxy->console_error("CREATE MIGRATION OF DATABASE app FROM FILES '$dir' REGIONS (nowhere)"), qr/42704/, 'a region that there is none of');
$west->stop;
$proxy->wait_console('SHOW NODES FULL', sub { 1 == grep { $_->{state} ne 'up' } @{ $_[0] } });
$m = create($dir, 'REGIONS (us-east1, europe-west1)');
like(checks($m), qr/ERROR unreachable europe-west1/, 'a region that cannot be reached is told');
isnt(fails($m), '', '… and nothing runs without it');
$west->start;
$proxy->wait_up(3);
put_files($dir, 'V2__b.sql' => "CREATE TABLE b (i int);\n");
is(run($m)->{state}, 'done', '… when it is back the migration runs, with the file that has come meanwhile');
is(sql('europe-west1', "SELECT count(*) FROM pg_class WHERE relname = 'b'"), 1, '… there too');

# ---- another proxy: refused while the first one is at it, and without the directory
fresh();
$dir = directory('V1__a.sql' => "CREATE TABLE a (i int);\n", 'V2__b.sql' => "ALTER TABLE a ADD COLUMN b int;\n", 'V3__c.sql' => "CREATE TABLE c (i int);\n");
$m = create($dir, 'REGIONS (us-east1, europe-west1)');
my $other = proxy('other');
run($m, 'STEP 4');
$holder = $east->background_psql('app');
$holder->query_safe('BEGIN; LOCK TABLE a');
$proxy->console("RUN MIGRATION $m ALL NOWAIT");
$east->poll_query_until('app', "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 'a'::regclass") or die;
like($other->console_error("RUN MIGRATION $m ALL"), qr/55P03/, 'a second proxy is refused while the first one is at it');
$proxy->kill9;
rename $dir, "$dir.elsewhere" or die;
$holder->query_safe('COMMIT');
$holder->quit;
my ($status, undef, $said) = $other->console_when_free("RUN MIGRATION $m ALL");
is($status && $said, 0, 'when it is killed the second one goes on, though the directory is not on its host');
is($other->console("SHOW MIGRATION $m")->[0]{state}, 'done', '… to the end');
is(sql('europe-west1', "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relname IN ('a', 'c')"), 'a c', '… with the files as they were kept');
like($other->console("PLAN MIGRATION $m")->[-1]{sql}, qr/CREATE TABLE c/, '… which PLAN shows');

$other->stop;
done_testing();
