#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# A database that a migration was aborted for is moved by the next one. Names that look like libpq's
# words are names. Nobody begins a second move while one is under way. A database that somebody else
# has made on the target is neither taken for the migration's nor dropped by ABORT. Each FINALIZE asks
# its guards. With write_mode = read_only, a REVERSE that comes to nothing leaves the side that serves writable.
use strict;
use warnings;
use Meridian::Test::Move qw(two_regions);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Test::More;

my ($agora, $osc, @config) = two_regions();
my $proxy = Meridian::Test::Proxy->new('main', @config);
$proxy->start;
$proxy->wait_up(2);
$agora->safe_psql('postgres', 'CREATE ROLE app_owner; CREATE DATABASE app OWNER app_owner');
$agora->safe_psql('app', 'CREATE TABLE t(id int PRIMARY KEY, n int); CREATE INDEX t_n ON t(n)');

sub run_it
{
	my ($sql) = @_;
	my ($status, undef, $err) = $proxy->console_raw($sql);
	is($status, 0, $sql) or diag $err;
	return $err;
}

sub create
{
	my ($name, $as, %with) = @_;
	%with = (max_lag => "'1MB'", attempts => 1, verify => 'off', %with);
	return run_it("CREATE MIGRATION $name OF DATABASE app FROM agora-fr1 TO osc-fr1$as WITH ("
		  . join(', ', map { "$_ = $with{$_}" } sort keys %with) . ')');
}

# ---------------------------------------------------------------- whose database

create('mine', '');
run_it('RUN MIGRATION mine STEP 4');    # roles, the database is next
$osc->safe_psql('postgres', 'DROP ROLE app_owner');
like($proxy->console_error('RUN MIGRATION mine PREPARE'), qr/app_owner/, 'the database cannot be made');
$osc->safe_psql('postgres', 'CREATE ROLE app_owner; CREATE DATABASE app');
$osc->safe_psql('app', 'CREATE TABLE precious(i int)');
like($proxy->console_error('RETRY MIGRATION mine'), qr/exists already/, 'one that somebody else has made is not taken');
run_it('ABORT MIGRATION mine');
is(($osc->psql('app', 'SELECT count(*) FROM precious'))[1], '0', 'and ABORT does not drop it');
is($osc->safe_psql('postgres', q(SELECT count(*) FROM pg_database WHERE datname ~ 'meridian')), '0', 'nothing else is left');
$osc->safe_psql('postgres', 'DROP DATABASE IF EXISTS app');

# ---------------------------------------------------------------- once more

create('one', '', stragglers => 'wait', freeze_deadline => "'300ms'");
run_it('RUN MIGRATION one PREPARE');
run_it('RUN MIGRATION one DATA');
my $open = $proxy->background_psql('app', extra_params => [ '-U', 'postgres' ]);
$open->query_safe('BEGIN; SELECT count(*) FROM t');
like($proxy->console_error('RUN MIGRATION one FINALIZE'), qr/MR003/, 'a FINALIZE that gives up');
$open->query_safe('COMMIT');
$open->quit;
$osc->safe_psql('app', 'SET meridian.internal = on; DROP INDEX t_n');
like($proxy->console_error('RUN MIGRATION one FINALIZE'), qr/guards of FINALIZE failed.*schema/s,
	'the guards that were content once are asked again by the next try');
$proxy->console('SHOW MIGRATIONS');    # looks everywhere
let_pass(2.5, 'the watcher sees what was decided');
run_it('ABORT MIGRATION one');
let_pass(2, 'the watcher sees it');

my $odd = 'host=nowhere.invalid dbname=app';
create('two', qq( AS "$odd"), write_mode => 'read_only');
run_it('RUN MIGRATION two PREPARE');
my ($status, $out, $err) = $proxy->console_raw('CREATE MIGRATION three OF DATABASE app FROM agora-fr1 TO osc-fr1 AS other');
like($out, qr/preflight-error/, 'no second move begins beside one');
like($proxy->console_error('RUN MIGRATION three PREPARE'), qr/other_migration/, '... which RUN says too');
run_it('ABORT MIGRATION three');
run_it('RUN MIGRATION two DATA');
run_it('RUN MIGRATION two FINALIZE');
let_pass(2, 'the watcher sees it');
is($proxy->safe_psql('app', q(SELECT current_setting('cluster_name') || ' ' || current_database())), "osc-fr1 $odd", 'the next one moves it');
is($proxy->safe_psql('app', 'INSERT INTO t VALUES (1) RETURNING id'), '1', 'it is written there');
($status, $out, $err) = $proxy->console_raw('CREATE MIGRATION three OF DATABASE app FROM agora-fr1 TO osc-fr1 AS other');
like($out, qr/preflight-error/, 'nobody moves what is not served there any more');

# ---------------------------------------------------------------- a REVERSE that fails

run_it(q(SET MIGRATION two (catchup_deadline = '500ms')));    # time: nothing arrives within it
my $lock = $agora->background_psql('app');
$lock->query_safe('BEGIN; LOCK TABLE meridian.marker IN EXCLUSIVE MODE');
like($proxy->console_error('REVERSE MIGRATION two'), qr/ERROR/, 'a REVERSE whose marker does not arrive');
$lock->query_safe('COMMIT');
$lock->quit;
is($proxy->safe_psql('app', 'INSERT INTO t VALUES (2) RETURNING id'), '2', 'the side that serves takes writes all the same');
$proxy->stop;
done_testing();
