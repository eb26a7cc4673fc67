#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# ABORT takes back all that was done, wherever the migration stands: the catalogs of the source are
# what they were, and on the target nothing of it is left. So it is behind PREPARE, behind DATA, with
# FINALIZE stopped half way, and by another proxy when the first one died between fence and decision.
use strict;
use warnings;
use Meridian::Test::Move qw(catalog_of difference ledger two_regions);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Test::More;
use Time::HiRes qw(time);

my ($agora, $osc, @config) = two_regions();
my $proxy = Meridian::Test::Proxy->new('main', @config);
$proxy->start;
$proxy->wait_up(2);

$agora->safe_psql('postgres', <<'SQL');
CREATE ROLE app_owner;
CREATE ROLE app_rw LOGIN PASSWORD 'secret' IN ROLE app_owner;
ALTER ROLE app_rw SET search_path = "$user", public;
CREATE DATABASE app OWNER app_owner;
ALTER DATABASE app SET work_mem = '5MB';
ALTER ROLE app_rw IN DATABASE app SET statement_timeout = '1min'; -- time: a setting that is moved
REVOKE ALL ON DATABASE app FROM PUBLIC;
GRANT CONNECT ON DATABASE app TO app_rw;
SQL
$agora->safe_psql('app', <<'SQL');
SET ROLE app_owner;
CREATE SCHEMA "Odd Schema";
CREATE TABLE "Odd Schema"."Odd ""Table"""(id serial PRIMARY KEY, "Weird col" text);
CREATE TABLE ledger(client int, n int, PRIMARY KEY (client, n));
CREATE TABLE bare(a int, b text);
CREATE TABLE uniq(a int NOT NULL, b text);
CREATE UNIQUE INDEX uniq_a ON uniq(a);
CREATE TABLE nothing(a int);
ALTER TABLE nothing REPLICA IDENTITY NOTHING;
CREATE TABLE part(id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE INDEX part_at ON part(at);
CREATE TABLE child(id int REFERENCES "Odd Schema"."Odd ""Table""", who text);
ALTER TABLE child ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON child USING (who = current_user);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER touch BEFORE INSERT ON bare FOR EACH ROW EXECUTE FUNCTION touch();
CREATE MATERIALIZED VIEW mv AS SELECT count(*) FROM bare;
CREATE VIEW v AS SELECT * FROM bare;
CREATE TYPE mood AS ENUM ('good', 'bad');
INSERT INTO bare SELECT i, 'x' FROM generate_series(1, 1000) i;
INSERT INTO "Odd Schema"."Odd ""Table"""("Weird col") SELECT 'x' FROM generate_series(1, 100) i;
SQL

my $before = catalog_of($agora, 'app');
my $there  = $osc->safe_psql('postgres', 'SELECT datname FROM pg_database UNION SELECT rolname FROM pg_roles ORDER BY 1');
my $ledger = ledger([ $agora->connstr('app'), $agora->connstr('app') ], '-c', 2, '-w', 5);
my $n      = 0;

sub run_it
{
	my ($sql, $by) = @_;
	my ($status, $out, $err) = ($by // $proxy)->console_raw($sql);
	is($status, 0, $sql) or diag $err;
	return $err;
}

sub create
{
	my (%with) = (identity => 'auto', max_lag => "'1MB'", retry_wait => "'1s'", @_);
	$n++;
	run_it("CREATE MIGRATION m$n OF DATABASE app FROM agora-fr1 TO osc-fr1 WITH (" . join(', ', map { "$_ = $with{$_}" } sort keys %with) . ')');
	return "m$n";
}

sub is_undone
{
	my ($what) = @_;
	is(difference($before, catalog_of($agora, 'app')), '', "$what: the source is what it was");
	is($osc->safe_psql('postgres', 'SELECT datname FROM pg_database UNION SELECT rolname FROM pg_roles ORDER BY 1'), $there,
		"$what: neither database nor role is left on the target");
	is($osc->safe_psql('postgres', 'SELECT count(*) FROM pg_replication_slots'), '0', "$what: nor a slot");
	return;
}

my $m = create();
run_it("RUN MIGRATION $m PREPARE");
isnt(catalog_of($agora, 'app'), $before, 'PREPARE has changed the source');
my ($status, undef, $error) = $agora->psql('app', 'CREATE TABLE late(i int)');
like($error, qr/schema changes are blocked/, 'nobody changes the schema meanwhile');
is($agora->safe_psql('app', 'CREATE TEMP TABLE t(i int); INSERT INTO t VALUES (1); REFRESH MATERIALIZED VIEW mv; SELECT i FROM t'), '1',
	'... but temporary tables and materialized views');
is($osc->safe_psql('postgres', q(SELECT rolpassword IS NOT NULL, rolconfig FROM pg_authid JOIN pg_roles USING (rolname) WHERE rolname = 'app_rw')
	=~ s/rolpassword/pg_authid.rolpassword/r =~ s/rolconfig/pg_roles.rolconfig/r), q(t|{"search_path=\"$user\", public"}), 'roles come with password and settings');
is($osc->safe_psql('app', 'SHOW work_mem'), '5MB', 'so does the database');
($status, undef, $error) = $osc->psql('app', 'INSERT INTO bare VALUES (1)');
like($error, qr/no longer accepts writes.*It is being moved/s, 'the target takes no writes');
run_it("ABORT MIGRATION $m");
is_undone('behind PREPARE');

$m = create();
run_it("RUN MIGRATION $m PREPARE");
run_it("RUN MIGRATION $m DATA");
cmp_ok($osc->safe_psql('app', 'SELECT count(*) FROM bare'), '==', 1000, 'the rows are there');
run_it("ABORT MIGRATION $m");
is_undone('behind DATA');

# FINALIZE that finds a transaction it may not end
$m = create(stragglers => 'wait', attempts => 1, freeze_deadline => "'300ms'");
run_it("RUN MIGRATION $m PREPARE");
run_it("RUN MIGRATION $m DATA");
my $open = $proxy->background_psql('app', extra_params => [ '-U', 'postgres' ]);
$open->query_safe('BEGIN; SELECT count(*) FROM bare');
like($proxy->console_error("RUN MIGRATION $m FINALIZE"), qr/MR003.*still open/s, 'FINALIZE waits for a transaction, and gives up');
$open->query_safe('INSERT INTO bare VALUES (2); COMMIT');
$open->quit;
is($proxy->safe_psql('app', 'INSERT INTO bare VALUES (3) RETURNING a'), '3', 'writes go on');
run_it("ABORT MIGRATION $m");
is_undone('behind a FINALIZE that failed');

# the proxy dies with the source fenced
$proxy->stop;
my %crash = map { $_ => 1 } qw(fence:after decide:before);
for my $where (sort keys %crash) {
	my $dying = Meridian::Test::Proxy->new('dying', @config, args => ['--crash-points'], env => { MERIDIAN_CRASH_AT => $where });
	$dying->start;
	$dying->wait_up(2);
	$proxy = $dying;
	$m = create();
	run_it("RUN MIGRATION $m PREPARE");
	run_it("RUN MIGRATION $m DATA");
	# The marker does not arrive: nothing is decided.
	my $lock = $osc->background_psql('app');
	$lock->query_safe('BEGIN; LOCK TABLE meridian.marker IN EXCLUSIVE MODE');
	$proxy->console_raw("RUN MIGRATION $m FINALIZE");
	ok($dying->wait_exit, "the proxy dies at $where");
	(undef, undef, $error) = $agora->psql('app', 'INSERT INTO bare VALUES (4)');
	like($error, qr/no longer accepts writes/, '... and leaves the source fenced');
	(undef, undef, $error) = $osc->psql('app', 'INSERT INTO bare VALUES (4)');
	like($error, qr/no longer accepts writes/, '... and the target too');

	my $other = Meridian::Test::Proxy->new('other', @config);
	$other->start;
	$other->wait_up(2);
	my $said = ($other->console_when_free("ABORT MIGRATION $m"))[2];
	unlike($said, qr/ERROR/, "another proxy aborts it") or diag $said;
	is($agora->safe_psql('app', 'INSERT INTO bare VALUES (5) RETURNING a'), '5', 'the source takes writes again');
	is_undone("died at $where");
	$lock->{run}->kill_kill;
	$other->stop;
}
$ledger->stop;
is($ledger->lost($agora, 'app'), 0, "every row that was acknowledged is there ($ledger->{acked}, longest gap $ledger->{gap_ms} ms)");
done_testing();
