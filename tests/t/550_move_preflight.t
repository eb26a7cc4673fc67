#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# What is in the way of a move is said before anything is done: a source with one of everything, and
# a target that lacks what it needs; options turn errors into warnings.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Move qw(catalog_of difference);
use Meridian::Test::Proxy;
use Test::More;

my ($agora, $osc) = regional_clusters('agora-fr1', { conf => "max_prepared_transactions = 5\n" }, 'osc-fr1');
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'agora-fr1' => $agora, 'osc-fr1' => $osc ],
	set     => { auth => 'trust', region => 'agora-fr1', migration_conninfo => 'user=postgres' });
$proxy->start;
$proxy->wait_up(2);

$_->safe_psql('postgres', 'CREATE DATABASE app') for $agora, $osc;
$agora->safe_psql('postgres', 'CREATE DATABASE quiet; CREATE ROLE plain LOGIN');
$agora->safe_psql('app', <<'SQL');
CREATE TABLE good(id int PRIMARY KEY);
CREATE TABLE bare(a int, b text);
CREATE TABLE uniq(a int NOT NULL, b text);
CREATE UNIQUE INDEX uniq_a ON uniq(a);
CREATE TABLE deferred(a int PRIMARY KEY DEFERRABLE);
CREATE TABLE fulls(a int);
ALTER TABLE fulls REPLICA IDENTITY FULL;
CREATE UNLOGGED TABLE unlogged(a int);
CREATE MATERIALIZED VIEW mv AS SELECT 1;
CREATE TABLE part(a int PRIMARY KEY) PARTITION BY LIST (a);
CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
CREATE TABLE rls(a int PRIMARY KEY);
ALTER TABLE rls ENABLE ROW LEVEL SECURITY;
CREATE TABLE oids(a oid PRIMARY KEY, b regclass);
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER always AFTER INSERT ON good FOR EACH ROW EXECUTE FUNCTION nothing();
ALTER TABLE good ENABLE ALWAYS TRIGGER always;
CREATE FUNCTION event() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER mine ON ddl_command_end EXECUTE FUNCTION event();
CREATE SEQUENCE cached CACHE 50;
CREATE PUBLICATION other FOR TABLE good;
SELECT lo_from_bytea(0, 'x');
SELECT pg_create_logical_replication_slot('cdc', 'pgoutput');
ALTER DATABASE app SET work_mem = '5MB';
SQL
my $prepared = $agora->background_psql('app');
$prepared->query_safe(q(BEGIN; INSERT INTO bare VALUES (1); PREPARE TRANSACTION 'left'));
my $client = $agora->background_psql('app', extra_params => [ '-U', 'postgres' ]);
$client->query_safe(q(SET application_name = 'billing'));

sub checks
{
	my ($m) = @_;
	return map { ("$_->{check} $_->{object}" => $_->{severity}) } @{ $proxy->console("SHOW MIGRATION $m CHECKS") };
}

my $before = catalog_of($agora, 'app');
my ($status, $out, $err) = $proxy->console_raw('CREATE MIGRATION mv OF DATABASE app FROM agora-fr1 TO osc-fr1');
is($status, 0, 'CREATE') or diag $err;
like($out, qr/preflight-error/, 'the state says that something is in the way');
is(difference($before, catalog_of($agora, 'app')), '', 'nothing but the control schema was made');
my %is = checks('mv');
my %want = (
	'no_replica_identity public.bare'     => 'ERROR',
	'no_replica_identity public.uniq'     => 'ERROR',
	'no_replica_identity public.deferred' => 'ERROR',
	'identity_full public.fulls'          => 'WARN',
	'unlogged_table public.unlogged'      => 'WARN',
	'large_objects '                      => 'ERROR',
	'large_object_refs public.oids.a'     => 'WARN',
	'volatile_on_oid public.oids.b'       => 'WARN',
	'matview public.mv'                   => 'INFO',
	'partition_root public.part'          => 'INFO',
	'row_security public.rls'             => 'WARN',
	'replica_trigger public.good.always'  => 'WARN',
	'event_trigger mine'                  => 'WARN',
	'other_slot cdc'                      => 'ERROR',
	'other_publication other'             => 'WARN',
	'prepared_xact left'                  => 'ERROR',
	'direct_clients local billing'        => 'WARN',
	'superuser_clients postgres'          => 'WARN',
	'sequence_cache public.cached'        => 'INFO',
	'db_setting *'                        => 'INFO',
	'encoding app'                        => 'INFO',
	'slot_wal_cap '                       => 'WARN',
	'target_database app'                 => 'ERROR');
is($is{$_}, $want{$_}, "check: $_") for sort keys %want;
my ($fix) = map { $_->{fix} } grep { $_->{object} eq 'public.uniq' } @{ $proxy->console('SHOW MIGRATION mv CHECKS') };
like($fix, qr/REPLICA IDENTITY USING INDEX uniq_a/, 'a unique index that could be the identity is named');
like($proxy->console_error('RUN MIGRATION mv PREPARE'), qr/MR005|55000/, 'PREPARE is refused');
is(difference($before, catalog_of($agora, 'app')), '', '... and has done nothing');

# what stands in the way is taken away, or answered by an option
$prepared->query_safe(q(ROLLBACK PREPARED 'left'));
$prepared->quit;
$client->quit;
$osc->safe_psql('postgres', 'DROP DATABASE app');
($status, $out, $err) = $proxy->console_raw('SET MIGRATION mv (identity = auto, large_objects = freeze_copy, foreign_slots = ignore)');
is($status, 0, 'SET') or diag $err;
($status, $out, $err) = $proxy->console_raw('CHECK MIGRATION mv');
like($out, qr/preflight-success/, 'then nothing is in the way') or diag $err;
%is = checks('mv');
is($is{'no_replica_identity public.bare'}, 'INFO', 'identity = auto: no error any more');
is($is{'large_objects '},                  'WARN', 'large_objects = freeze_copy: neither');
is($is{'other_slot cdc'},                  'WARN', 'foreign_slots = ignore: neither');
($status, $out, $err) = $proxy->console_raw('ABORT MIGRATION mv');
is($status, 0, 'ABORT of what was never begun') or diag $err;
is(difference($before, catalog_of($agora, 'app')), '', 'leaves everything as it was');

# a server that cannot replicate
my ($old) = regional_clusters('old-fr1', { conf => "wal_level = replica\nmax_replication_slots = 3\n" });
$old->safe_psql('postgres', 'CREATE DATABASE app');
$proxy->write_conf(regions => [ 'agora-fr1' => $agora, 'osc-fr1' => $osc, 'old-fr1' => $old ]);
$proxy->reload;
$proxy->wait_up(3);
($status, $out, $err) = $proxy->console_raw('CREATE MIGRATION old OF DATABASE app FROM old-fr1 TO osc-fr1');
%is = checks('old');
is($is{'wal_level '},  'ERROR', 'wal_level = replica');
is($is{'free_slots '}, 'ERROR', 'too few slots');
($status, $out, $err) = $proxy->console_raw('SET MIGRATION old (data = snapshot); CHECK MIGRATION old');
like($out, qr/preflight-success/, 'a snapshot needs neither') or diag $err;
like($proxy->console_error('CREATE MIGRATION x OF DATABASE nowhere FROM agora-fr1 TO osc-fr1'), qr/3D000|does not exist/, 'no such database');

$proxy->stop;
done_testing();
