#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Migrations of files through the console: regions in order, the canary first, what is refused, what
# is found, what is taken back, and what other tools have left.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire;
use PostgreSQL::Test::Utils ();
use Test::More;

my @names = qw(us-east1 europe-west1 asia-south1);
my %at;
@at{@names} = regional_clusters(map { $_ => { conf => "wal_level = logical\n" } } @names);
$_->safe_psql('postgres', 'CREATE DATABASE app') for values %at;

my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ map { $_ => $at{$_} } @names ],
	set     => { migration_conninfo => 'user=postgres', migration_lease => span(2) });
$proxy->start;
$proxy->wait_up(3);

# A directory with these files: name => text.
sub directory
{
	my (%files) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	chmod 0755, $dir;
	put($dir, %files);
	return $dir;
}

sub put
{
	my ($dir, %files) = @_;
	while (my ($name, $text) = each %files) {
		open my $out, '>', "$dir/$name" or die "$dir/$name: $!";
		print {$out} $text;
		close $out;
	}
	return;
}

sub sql { my ($region, $sql) = @_; return $at{$region}->safe_psql('app', $sql) }
sub everywhere { my ($sql) = @_; return join ' ', map { sql($_, $sql) } @names }

# As if nothing had ever been there.
sub fresh
{
	sql($_, 'SET client_min_messages = error; DROP SCHEMA IF EXISTS meridian, public, sqitch, atlas_schema_revisions CASCADE; CREATE SCHEMA public') for @names;
	return;
}

# The number of a new migration of these files.
sub create
{
	my ($dir, $rest, $more) = @_;
	my $rows = $proxy->console("CREATE MIGRATION OF DATABASE app FROM FILES '$dir' " . ($rest // 'ALL REGIONS')
		  . ($more ? " WITH ($more)" : ''));
	return $rows->[0]{migration};
}

sub run   { my ($m, $what) = @_; return $proxy->console("RUN MIGRATION $m " . ($what // 'ALL'))->[-1] }
sub fails { my ($m, $what) = @_; return $proxy->console_error("RUN MIGRATION $m " . ($what // 'ALL')) }
sub state_of { my ($m) = @_; return $proxy->console("SHOW MIGRATION $m")->[0]{state} }

sub checks
{
	my ($m) = @_;
	return join "\n", map { "$_->{severity} $_->{check} $_->{object}: $_->{detail}" } @{ $proxy->console("SHOW MIGRATION $m CHECKS") };
}

sub matrix
{
	my ($m) = @_;
	my %of;
	$of{ $_->{file} }{ $_->{region} } = $_->{state} for @{ $proxy->console("SHOW MIGRATION $m FILES") };
	return join '; ', map { my $f = $_; "$f: " . join(' ', map { $of{$f}{$_} // '-' } @names) } sort keys %of;
}

my %two = (
	'V1__t.sql'        => "CREATE TABLE t (id int PRIMARY KEY, v text);\n",
	'V1__t.undo.sql'   => "DROP TABLE t;\n",
	'V2__row.sql'      => "INSERT INTO t VALUES (1, 'one');\nINSERT INTO t VALUES (2, 'two;');\n",
	'V2__row.undo.sql' => "DELETE FROM t WHERE id < 3;\n",
	'V10__index.sql'   => "-- meridian: no-transaction\nCREATE INDEX CONCURRENTLY t_v ON t (v);\nVACUUM t;\n",
	'V10__index.undo.sql' => "DROP INDEX CONCURRENTLY IF EXISTS t_v;\n");

# ---- the whole way, the canary first
my $dir = directory(%two);
my $m   = create($dir, 'REGIONS (us-east1, europe-west1, asia-south1) CANARY europe-west1', "canary_check = 'SELECT count(*) = 2 FROM t'");
is(state_of($m), 'preflight-success', 'files that are in order pass the checks');
is_deeply(
	[ map { "$_->{step} $_->{place} $_->{object}" } grep { $_->{step} =~ /apply|window/ } @{ $proxy->console("PLAN MIGRATION $m") } ],
	[
		(map { "apply_canary europe-west1 $_" } qw(V1__t.sql V2__row.sql V10__index.sql)),
		'canary_window europe-west1 europe-west1',
		map { my $r = $_; map { "apply $r $_" } qw(V1__t.sql V2__row.sql V10__index.sql) } qw(us-east1 asia-south1)
	],
	'the plan: the canary with all files, its window, then the regions in order; V2 is in front of V10');
run($m, $_) for qw(PREPARE DATA);
is(everywhere("SELECT count(*) FROM pg_class WHERE relname = 't'"), '0 1 0', 'RUN DATA: only the canary has them');
is(matrix($m), join('; ', map { "$_: pending done pending" } qw(V10__index.sql V1__t.sql V2__row.sql)), '… as the matrix shows');
is(run($m, 'FINALIZE')->{state}, 'done', 'RUN FINALIZE: done');
is(everywhere('SELECT string_agg(v, \',\' ORDER BY id) FROM t'), 'one,two; one,two; one,two;', '… everywhere');
is(everywhere("SELECT indisvalid FROM pg_index WHERE indexrelid = 't_v'::regclass"), 't t t', '… with the index that stands alone');

# ---- a second one finds what is there
put($dir, 'V11__n.sql' => "ALTER TABLE t ADD COLUMN n int;\n", 'V11__n.undo.sql' => "ALTER TABLE t DROP COLUMN n;\n");
$m = create($dir);
is(scalar(grep { $_->{step} eq 'apply' } @{ $proxy->console("PLAN MIGRATION $m") }), 3, 'the next migration has the new file only');
is(run($m)->{state}, 'done', '… and carries it out');
is(matrix($m), join('; ', map { "$_: done done done" } qw(V10__index.sql V11__n.sql V1__t.sql V2__row.sql)), '… all is done');

# ---- a file that was changed
put($dir, 'V2__row.sql' => "INSERT INTO t VALUES (1, 'one');\nINSERT INTO t VALUES (2, 'zwei');\n", 'V12__x.sql' => "SELECT 1;\n");
$m = create($dir);
is(state_of($m), 'preflight-error', 'a file that was changed after it was carried out stands in the way');
like(checks($m), qr/ERROR changed_file V2__row.sql in us-east1: V2__row.sql was changed after it was carried out in us-east1/, '… by name');
like(checks($m), qr/statement 2: [0-9a-f]{12} -> [0-9a-f]{12}\n-INSERT INTO t VALUES \(2, 'two;'\);\n\+INSERT INTO t VALUES \(2, 'zwei'\);/,
	'… with the checksums and the lines that differ');
like(fails($m), qr/MR005.*changed_file V2__row.sql.*\+INSERT INTO t VALUES \(2, 'zwei'\)/s, 'RUN is refused with the same');
put($dir, 'V2__row.sql' => $two{'V2__row.sql'} =~ s/\n/\r\n/gr);
is($proxy->console("CHECK MIGRATION $m")->[-1]{state}, 'preflight-success', 'other line ends are no change');
is(run($m)->{state}, 'done', '… and it runs');

# ---- a file that fails, and is mended
fresh();
$dir = directory(%two, 'V3__bad.sql' => "INSERT INTO t VALUES (3, 'three');\nINSERT INTO nowhere VALUES (1);\n", 'V3__bad.undo.sql' => "DELETE FROM t WHERE id = 3;\n");
$m = create($dir);
like(fails($m), qr/42P01.*V3__bad.sql, line 2.*nowhere/s, 'a statement that fails is told with file and line');
is(state_of($m), 'error', '… the state is error');
is(sql($names[0], 'SELECT count(*) FROM t'), 2, '… nothing of the file is there');
like(matrix($m), qr/V3__bad.sql: error pending pending/, '… the matrix shows where');
put($dir, 'V3__bad.sql' => "INSERT INTO t VALUES (3, 'three');\n");
is($proxy->console("RETRY MIGRATION $m")->[-1]{state}, 'done', 'RETRY takes the file as it was mended');
is(everywhere('SELECT count(*) FROM t'), '3 3 3', '… everywhere');

# ---- ABORT takes back in reverse order
fresh();
$dir = directory(%two, 'V20__bad.sql' => "SELECT 1/0;\n");
$m = create($dir, 'REGIONS (asia-south1, us-east1)');
like(fails($m), qr/22012/, 'the third file fails');
is($proxy->console("ABORT MIGRATION $m")->[-1]{state}, 'aborted', 'ABORT takes the others back');
is(sql('asia-south1', "SELECT count(*) FROM pg_class WHERE relname IN ('t', 't_v')"), 0, '… nothing is left of them');
is(sql('asia-south1', 'SELECT count(*) FROM meridian.history'), 0, '… and no row that says so');

fresh();
$dir = directory(%two, 'V3__w.sql' => "INSERT INTO t VALUES (9, 'nine');\n", 'V20__bad.sql' => "SELECT 1/0;\n");
$m = create($dir, 'REGIONS (asia-south1)');
like(checks($m), qr/WARN no_undo 2 files: .*V3__w.sql, V20__bad.sql/, 'a file without undo is told');
like(fails($m), qr/22012/, 'the last file fails');
like($proxy->console_error("ABORT MIGRATION $m"), qr/55000.*1 file cannot be taken back.*V3__w.sql in asia-south1/s, 'ABORT is refused with the list');
is(sql('asia-south1', 'SELECT count(*) FROM t'), 3, '… before anything was taken back');
put($dir, 'V3__w.sql' => "-- meridian: undo none\nINSERT INTO t VALUES (9, 'nine');\n");
like($proxy->console_error("ABORT MIGRATION $m"), qr/^$/, 'once it says that nothing is to be taken back, ABORT goes on');
is(state_of($m), 'aborted', '… to its end');

# ---- lint
fresh();
$dir = directory('V1__t.sql' => "CREATE TABLE t (id int, v varchar(10));\n-- meridian: lint-ok backfill\nINSERT INTO t SELECT g, 'x' FROM generate_series(1, 60000) g;\n");
run(create($dir));
$at{'us-east1'}->safe_psql('app', 'ALTER TABLE t ADD CONSTRAINT c CHECK (id IS NOT NULL)');
put($dir,
	'V2__lint.sql' => "CREATE INDEX i ON t (id);\nALTER TABLE t ALTER COLUMN v TYPE varchar(20);\nALTER TABLE t ALTER COLUMN v TYPE int USING 1;\n"
	  . "ALTER TABLE t ADD COLUMN u uuid DEFAULT gen_random_uuid();\nCREATE TABLE n (a int);\nCREATE INDEX ON n (a);\n");
$m = create($dir, 'REGIONS (us-east1)');
my $found = checks($m);
like($found, qr/ERROR require-concurrent-index-creation V2__lint.sql, line 1: writes wait .*\(t: \d.\d MB, 0.0 writes\/s\)/, 'lint: an index that blocks, with the size of its table');
like($found, qr/ERROR changing-column-type V2__lint.sql, line 3:/, 'lint: a type that has rows written anew');
unlike($found, qr/line 2:/, '… not one that only grows');
like($found, qr/ERROR adding-field-with-default V2__lint.sql, line 4:/, 'lint: a volatile default');
unlike($found, qr/line [56]:/, 'lint: a table that the file made itself is nobody\'s yet');
like(fails($m), qr/MR005.*require-concurrent-index-creation/s, '… RUN is refused');
$proxy->console("SET MIGRATION $m (lint = warn)");
unlike(join("\n", grep { /^ERROR/ } split /\n/, do { $proxy->console("CHECK MIGRATION $m"); checks($m) }), qr/lint/, 'lint = warn: they are warnings');
put($dir, 'V2__lint.sql' => "-- meridian: no-transaction\nCREATE INDEX CONCURRENTLY i ON t (id);\n");
is(run($m)->{state}, 'done', 'the file that was mended runs');

# ---- what cannot be carried out
fresh();
for my $case (
	[ 'COPY',          "COPY t FROM STDIN;\n1\n\\.\n",                    qr/psql's own commands|COPY from STDIN/ ],
	[ 'a meta command', "\\i other.sql\n",                                qr/line 1: psql's own commands cannot be carried out here/ ],
	[ 'COMMIT inside', "SELECT 1;\nCOMMIT;\nSELECT 2;\n",                 qr/line 2: a transaction begins or ends inside/ ],
	[ 'an open quote', "SELECT 1;\nSELECT 'a;\n",                         qr/line 2: the string that begins here has no end/ ])
{
	my $m = create(directory('V1.sql' => $case->[1]));
	is(state_of($m), 'preflight-error', "$case->[0] is refused");
	like(checks($m), $case->[2], '… with the reason');
}
$m = create(directory('V1.sql' => "BEGIN;\nCREATE TABLE wrapped (i int);\nCOMMIT;\n", 'V01__b.sql' => 'SELECT 1'));
like(checks($m), qr/ERROR same_version V01__b.sql: V1.sql/, 'two files of one version are refused');
$m = create(directory('V1.sql' => "BEGIN;\nCREATE TABLE wrapped (i int);\nCOMMIT;\n"));
is(run($m)->{state}, 'done', 'BEGIN … COMMIT around a whole file is what happens anyway');
like($proxy->console_error("CREATE MIGRATION OF DATABASE app FROM FILES '/nonexistent' ALL REGIONS") . checks($m + 1), qr/No such file/, 'a directory that is not there');

# ---- locks: it steps back and comes again
fresh();
$dir = directory('V1__t.sql' => "CREATE TABLE t (id int);\n");
run(create($dir));
put($dir, 'V2__c.sql' => "ALTER TABLE t ADD COLUMN c int;\n");
$m = create($dir, 'REGIONS (us-east1)', "lock_timeout = '100ms'");    # time: readers wait for lock_timeout at most
my $holder = $at{'us-east1'}->background_psql('app');
$holder->query_safe('BEGIN; SELECT * FROM t');
$proxy->console("RUN MIGRATION $m ALL NOWAIT");
$at{'us-east1'}->poll_query_until('app', "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 't'::regclass");
# by the server's clock, from when it had the query
my $reader = Meridian::Test::Wire->session($at{'us-east1'}, database => 'app');
my $worst  = 0;
for (1 .. 40) {
	my $took = $reader->ask('SELECT extract(epoch FROM clock_timestamp() - statement_timestamp()) FROM (SELECT count(*) FROM t) s');
	$worst = $took if $took > $worst;
	let_pass(0.02, 'it comes again');
}
$reader->close;
# ... and not for the holder, who stays
took($worst, 5, sprintf('readers wait for lock_timeout at most behind an ALTER that waits (%.0f ms)', 1000 * $worst));
$holder->query_safe('COMMIT');
$holder->quit;
is($proxy->wait_console("SHOW MIGRATION $m", sub { $_[0][0]{state} !~ /running/ })->[0]{state}, 'done', '… which gets its turn in the end');

# ---- an index that was left half built, and IF NOT EXISTS
fresh();
$dir = directory('V1__t.sql' => "CREATE TABLE t (id int);\nINSERT INTO t VALUES (1), (1);\n");
run(create($dir));
$at{$_}->psql('app', 'CREATE UNIQUE INDEX CONCURRENTLY i ON t (id)') for @names;
is(everywhere("SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass"), 'f f f', 'an index that could not be built is there, and is not valid');
sql($_, 'DELETE FROM t WHERE ctid = (SELECT min(ctid) FROM t)') for @names;
put($dir, 'V2__i.sql' => "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t (id);\n");
is(run(create($dir))->{state}, 'done', 'the file that builds it');
is(everywhere("SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass"), 't t t', '… has it built anew');

# ---- the canary is not well
fresh();
$dir = directory(%two);
$m = create($dir, 'ALL REGIONS CANARY europe-west1', "canary_check = 'SELECT count(*) = 0 FROM t', canary_window = '1s'");    # time: the canary is watched for so long
like(fails($m), qr/55000.*canary_check is not true in europe-west1/s, 'a canary that is not well stops the way');
is(everywhere("SELECT count(*) FROM pg_class WHERE relname = 't'"), '0 1 0', '… before the others are touched');
is($proxy->console("ABORT MIGRATION $m")->[-1]{state}, 'aborted', '… and is taken back');

# ---- regions that replicate to each other
fresh();
$dir = directory('V1__t.sql' => "CREATE TABLE t (id int PRIMARY KEY, a int);\n");
run(create($dir));
sql('us-east1', 'CREATE PUBLICATION p FOR TABLE t');
$at{'europe-west1'}->safe_psql('app',
	"CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1 port=" . $at{'us-east1'}->port . " dbname=app user=postgres' PUBLICATION p");
put($dir, 'V2__add.sql' => "ALTER TABLE t ADD COLUMN b int;\n", 'V3__drop.sql' => "ALTER TABLE t DROP COLUMN a;\n");
$m = create($dir);
is_deeply(
	[ map { "$_->{object} $_->{place}" } grep { $_->{step} eq 'apply' } @{ $proxy->console("PLAN MIGRATION $m") } ],
	[ 'V2__add.sql europe-west1', 'V2__add.sql us-east1', 'V2__add.sql asia-south1', 'V3__drop.sql us-east1', 'V3__drop.sql europe-west1', 'V3__drop.sql asia-south1' ],
	'what adds goes to the subscriber first, what takes away to the publisher first');
is(run($m)->{state}, 'done', '… and it runs');
sql('us-east1', 'INSERT INTO t (id, b) VALUES (7, 8)');
ok($at{'europe-west1'}->poll_query_until('app', 'SELECT b = 8 FROM t WHERE id = 7', 't'), '… replication goes on');
put($dir, 'V4__both.sql' => "ALTER TABLE t ADD COLUMN c int, DROP COLUMN b;\n");
like(checks(create($dir)), qr/ERROR mixed_direction V4__both.sql/, 'a file that does both is refused there');
sql('europe-west1', 'DROP SUBSCRIPTION s');

# ---- what other tools have applied
my %adopt = (
	flyway => "CREATE TABLE flyway_schema_history (installed_rank int PRIMARY KEY, version varchar(50), description varchar(200) NOT NULL,
		type varchar(20) NOT NULL, script varchar(1000) NOT NULL, checksum int, installed_by varchar(100) NOT NULL,
		installed_on timestamp NOT NULL DEFAULT now(), execution_time int NOT NULL, success bool NOT NULL);
		INSERT INTO flyway_schema_history VALUES (1, '1', 't', 'SQL', 'V1__t.sql', 1, 'x', now(), 1, true),
		(2, '2', 'row', 'SQL', 'db/V2__row.sql', 2, 'x', now(), 1, true), (3, '3', 'u', 'SQL', 'V3__u.sql', 2, 'x', now(), 1, true),
		(4, '3', 'u', 'UNDO_SQL', 'U3__u.sql', 2, 'x', now(), 1, true)",
	liquibase => "CREATE TABLE databasechangelog (id varchar(255) NOT NULL, author varchar(255) NOT NULL, filename varchar(255) NOT NULL,
		dateexecuted timestamp NOT NULL, orderexecuted int NOT NULL, exectype varchar(10) NOT NULL, md5sum varchar(35), description varchar(255),
		comments varchar(255), tag varchar(255), liquibase varchar(20), contexts varchar(255), labels varchar(255), deployment_id varchar(10));
		INSERT INTO databasechangelog (id, author, filename, dateexecuted, orderexecuted, exectype) VALUES
		('1', 'ann', 'db/V1__t.sql', now(), 1, 'EXECUTED'), ('2', 'ann', 'db/V2__row.sql', now(), 2, 'EXECUTED'), ('2b', 'bob', 'db/V2__row.sql', now(), 3, 'MARK_RAN'),
		('3', 'ann', 'db/V3__u.sql', now(), 3, 'EXECUTED')",
	alembic => "CREATE TABLE alembic_version (version_num varchar(32) NOT NULL PRIMARY KEY); INSERT INTO alembic_version VALUES ('2')",
	sqitch  => "CREATE SCHEMA sqitch; CREATE TABLE sqitch.changes (change_id text PRIMARY KEY, script_hash text, change text NOT NULL, project text NOT NULL,
		note text NOT NULL DEFAULT '', committed_at timestamptz NOT NULL DEFAULT now(), committer_name text NOT NULL, committer_email text NOT NULL,
		planned_at timestamptz NOT NULL, planner_name text NOT NULL, planner_email text NOT NULL);
		INSERT INTO sqitch.changes VALUES ('a', 'h', 'V1__t', 'p', '', now(), 'c', 'c', now(), 'p', 'p'), ('b', 'h', 'V2__row', 'p', '', now(), 'c', 'c', now(), 'p', 'p')",
	atlas => "CREATE SCHEMA atlas_schema_revisions; CREATE TABLE atlas_schema_revisions.atlas_schema_revisions (version varchar PRIMARY KEY, description varchar NOT NULL,
		type bigint NOT NULL DEFAULT 2, applied bigint NOT NULL DEFAULT 0, total bigint NOT NULL DEFAULT 0, executed_at timestamptz NOT NULL, execution_time bigint NOT NULL,
		error text, error_stmt text, hash varchar NOT NULL, partial_hashes jsonb, operator_version varchar NOT NULL);
		INSERT INTO atlas_schema_revisions.atlas_schema_revisions VALUES ('1', 't', 2, 1, 1, now(), 1, NULL, NULL, 'h', NULL, 'v'), ('2', 'row', 2, 2, 2, now(), 1, NULL, NULL, 'h', NULL, 'v')");
$dir = directory(
	'V1__t.sql'   => "--liquibase formatted sql\n--changeset ann:1\nCREATE TABLE t (id int PRIMARY KEY, v text);\n",
	'V2__row.sql' => "--changeset ann:2\nINSERT INTO t VALUES (1, 'one');\n--changeset bob:2b endDelimiter:x\nINSERT INTO t VALUES (2, 'two');\n",
	'V3__u.sql'   => "--changeset ann:3\nINSERT INTO t VALUES (3, 'three');\n--changeset ann:4\nSELECT 1;\n");
for my $tool (sort keys %adopt) {
	fresh();
	sql('us-east1', "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'one'), (2, 'two'); $adopt{$tool}");
	my $m = create($dir, 'REGIONS (us-east1)', "adopt = $tool");
	like(checks($m), qr/INFO adopt us-east1: 2 files are applied, says $tool/, "$tool: what it has applied is known");
	is(run($m)->{state}, 'done', '… the rest is carried out');
	is(sql('us-east1', 'SELECT count(*) FROM t'), 3, '… and only the rest');
	is(sql('us-east1', "SELECT string_agg(file, ' ' ORDER BY file) FROM meridian.history WHERE origin = '$tool'"), 'V1__t.sql V2__row.sql', '… as the history says');
}
fresh();
$m = create($dir, 'REGIONS (us-east1)', 'adopt = flyway');
like(checks($m), qr/ERROR adopt us-east1: flyway has no table/, 'a tool that was never there');

$proxy->stop;
done_testing();
