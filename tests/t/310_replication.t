#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Replication connections: a base backup, a WAL receiver, a logical one, a streaming standby and a
# subscription, each through the proxy.
use strict;
use warnings;
use IPC::Run qw(run start);
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Measure qw(:all);
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils qw(slurp_file);
use Test::More;

my $node  = regional_clusters('us-east1');
my $proxy = Meridian::Test::Proxy->new('main', regions => [ 'us-east1' => $node ]);
$proxy->start;
my $dir  = PostgreSQL::Test::Utils::tempdir();
my $repl = $proxy->connstr(undef);
my $err  = '';
$node->safe_psql('postgres', 'CREATE TABLE t (i int PRIMARY KEY, s text); INSERT INTO t SELECT i, md5(i::text) FROM generate_series(1, 50000) i');

# ---------------------------------------------------------------- the walsender's own commands

my $w = Meridian::Test::Wire->new($proxy);
my @m = $w->login(replication => 'true', application_name => 'wire');
is($m[-1][0], 'Z', 'a replication connection logs in');
$w->send(query('IDENTIFY_SYSTEM'));
my $system = row_values(($w->until('Z'))[1]);
is($system->[0], $node->safe_psql('postgres', 'SELECT system_identifier FROM pg_control_system()'), 'IDENTIFY_SYSTEM');
$w->send(query("START_REPLICATION PHYSICAL $system->[2] TIMELINE $system->[1]"));
is(($w->until('W'))[-1][0], 'W', 'START_REPLICATION begins copy-both');
$node->safe_psql('postgres', 'INSERT INTO t SELECT i, md5(i::text) FROM generate_series(50001, 51000) i');
my ($data) = $w->until('d');
like($data->[1], qr/^[wk]/, 'WAL comes');
my ($state) = map { $_->{state} } grep { $_->{application_name} eq 'wire' } @{ $proxy->console('SHOW SESSIONS FULL') };
is($state, 'replication', 'SHOW SESSIONS calls it replication');
$w->send(copy_done);
is(join('', map { $_->[0] } grep { $_->[0] ne 'd' } $w->until('Z')), 'cCCZ', 'CopyDone from both sides ends it');
$w->send(query('IDENTIFY_SYSTEM'));
is(row_values(($w->until('Z'))[1])->[0], $system->[0], 'and the session goes on');
$w->send(query('START_REPLICATION PHYSICAL 0/0 TIMELINE 7'));
is(($w->until('Z'))[0][0], 'E', 'a timeline that is not');
$w->send(terminate);

# ---------------------------------------------------------------- the tools

ok(run([ 'pg_basebackup', '-d', $repl, '-D', "$dir/base", '-X', 'stream', '-c', 'fast' ], '2>', \$err), 'pg_basebackup')
  or diag $err;
ok(run([ 'pg_verifybackup', "$dir/base" ], '>', '/dev/null', '2>', \$err), 'the backup is whole') or diag $err;
ok(run([ 'pg_basebackup', '-d', $repl, '-D', "$dir/tar", '-Ft', '-z', '-c', 'fast' ], '2>', \$err), 'pg_basebackup -Ft -z') or diag $err;

mkdir "$dir/wal";
my $receiver = start([ 'pg_receivewal', '-d', "$repl application_name=receiver", '-D', "$dir/wal", '--synchronous', '-n', '-S', 'phys', '--create-slot' ],
	'2>', \$err);
$receiver->finish;    # --create-slot only creates it
$receiver = start([ 'pg_receivewal', '-d', "$repl application_name=receiver", '-D', "$dir/wal", '--synchronous', '-n', '-S', 'phys' ], '2>', \$err);
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_replication WHERE application_name = 'receiver'"),
	'pg_receivewal streams');
$node->safe_psql('postgres', 'INSERT INTO t SELECT i, md5(i::text) FROM generate_series(51001, 60000) i; SELECT pg_switch_wal()');
my $lsn = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
ok($node->poll_query_until('postgres', "SELECT flush_lsn >= '$lsn' FROM pg_stat_replication WHERE application_name = 'receiver'"),
	'its answers reach the server');
$receiver->signal('INT');
$receiver->finish;
my @files = glob "$dir/wal/0*";
cmp_ok(scalar @files, '>=', 1, 'there are files') or diag $err;
my ($whole) = grep { !/partial/ } @files;
my $orig = $node->data_dir . '/pg_wal/' . $whole =~ s{.*/}{}r;
ok(slurp_file($whole) eq slurp_file($orig), 'they are the server\'s');

my @logical = ('pg_recvlogical', '-d', $proxy->connstr('postgres'), '-S', 'logi');
ok(run([ @logical, '--create-slot', '-P', 'test_decoding' ], '2>', \$err), 'pg_recvlogical --create-slot') or diag $err;
$node->safe_psql('postgres', 'INSERT INTO t SELECT i, md5(i::text) FROM generate_series(60001, 65000) i');
my $until = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
ok(run([ @logical, '--start', '-f', "$dir/logical", '--endpos', $until, '-n' ], '2>', \$err), 'pg_recvlogical --start') or diag $err;
is(scalar(grep { /INSERT/ } split /\n/, slurp_file("$dir/logical")), 5000, 'each change came');
ok(run([ @logical, '--drop-slot' ], '2>', \$err), 'pg_recvlogical --drop-slot') or diag $err;

# ---------------------------------------------------------------- a standby and a subscriber

my $standby = PostgreSQL::Test::Cluster->new('standby');
$node->backup('b');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->append_conf('postgresql.conf', "primary_conninfo = '"
	  . $proxy->connstr(undef, application_name => 'standby') =~ s/'/''/gr . "'\nlog_connections = on\n");
$standby->start;
$node->safe_psql('postgres', "INSERT INTO t VALUES (-1, 'streamed')");
ok($standby->poll_query_until('postgres', "SELECT count(*) = 1 FROM t WHERE i = -1"), 'a standby streams through the proxy');
my ($sender) = split /\n/, $node->safe_psql('postgres',
	"SELECT pid FROM pg_stat_replication WHERE application_name = 'standby'");
$node->safe_psql('postgres', "SELECT pg_terminate_backend($sender)");
$node->safe_psql('postgres', "INSERT INTO t VALUES (-2, 'streamed')");
ok($standby->poll_query_until('postgres', "SELECT count(*) = 1 FROM t WHERE i = -2"), 'and comes back when its sender dies');
$standby->stop;

my $other = regional_clusters('subscriber');
$node->safe_psql('postgres', 'CREATE PUBLICATION p FOR TABLE t');
$other->safe_psql('postgres', 'CREATE TABLE t (i int PRIMARY KEY, s text)');
(my $quoted = $proxy->connstr('postgres')) =~ s/'/''/g;
$other->safe_psql('postgres', "CREATE SUBSCRIPTION s CONNECTION '$quoted' PUBLICATION p");
my $count = $node->safe_psql('postgres', 'SELECT count(*) FROM t');
ok($other->poll_query_until('postgres', "SELECT count(*) = $count FROM t"), "a subscription copies $count rows");
$node->safe_psql('postgres', "UPDATE t SET s = 'changed' WHERE i BETWEEN 1 AND 1000");
ok($other->poll_query_until('postgres', "SELECT count(*) = 1000 FROM t WHERE s = 'changed'"),
	'and follows');
$other->safe_psql('postgres', 'DROP SUBSCRIPTION s');

ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM pg_stat_replication'), 'no sender is left');
$proxy->stop;
done_testing();
