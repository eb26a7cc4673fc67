#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# The watcher: who serves a database, the freeze of the whole fleet, and executors that died where
# nobody may wait for a human.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Migrator;
use Meridian::Test::Patience;
use PostgreSQL::Test::Utils qw(slurp_file);
use Test::More;

my ($east, $west) = regional_clusters('us-east1', 'us-west1');
$_->safe_psql('postgres', 'CREATE DATABASE app') for $east, $west;
my $m     = Meridian::Test::Migrator->new(a => $east, b => $west);
my $lease = int patience(2000);
my $cache = PostgreSQL::Test::Utils::tempdir() . '/authority';

$m->run([ 'create', 'app', 'first' ]);
$m->run([ 'run', 1, $_ ]) for qw(prepare data);
my $watcher = $m->start([ 'hold', 600 ], id => 'other', watch => 1, lease => $lease, env => { AUTHORITY_FILE => $cache });
ok($east->poll_query_until('app', "SELECT count(*) = 1 FROM meridian.proxy WHERE id = 'other'"), 'a proxy says that it is there');

# ---- the fleet ----
my ($rc, $out) = $m->run([ 'run', 1, 'finalize' ], crash => 'fence:after', lease => $lease);
is($rc, 9, 'the executor dies behind the fence');
is($m->value('a', "SELECT proxy || ' ' || what || ' ' || sessions FROM meridian.freeze_ack"), 'other freeze 2',
	'the other proxy has frozen');
ok($watcher->pump_until(qr/^gate freeze app/m), '… and said so to its gate');
ok($east->poll_query_until('app', "SELECT state = 'error' FROM meridian.migration WHERE id = 1"),
	'it replaces the executor by itself');
ok($watcher->pump_until(qr/gate freeze app\n(?:.*\n)*gate resume app/), '… opens what was frozen');
like($m->did('a', 1), qr/fence:act fence:undo$/, '… and fenced');
like($m->run([ 'show', 1 ]), qr/MR003: the executor died before the decision/, '… and says why');

($rc) = $m->run([ 'run', 1, 'finalize' ], crash => 'decide:after', lease => $lease);
is($rc, 9, 'the executor dies behind the decision');
ok($west->poll_query_until('app', "SELECT count(*) = 1 FROM meridian.migration WHERE id = 1 AND is_home AND state = 'redirecting'"),
	'the other proxy goes on, forward');
is(() = $m->did('b', 1) =~ /decide:act/g, 1, '… from the one decision');

# ---- who serves what ----
$_->safe_psql('app', "INSERT INTO meridian.authority (db, epoch, writable, serves) VALUES ('app', 1, true, 'a')") for $east, $west;
$west->safe_psql('app', "UPDATE meridian.authority SET epoch = 3, decision = 'forward', serves = 'b', newdb = 'app2'");
$east->safe_psql('app', "UPDATE meridian.authority SET epoch = 2, decision = 'away', writable = false, serves = 'b', newdb = 'app2'");
ok($watcher->pump_until(qr/^serve app at b as app2 epoch [23]$/m), 'what was decided is in force');
unlike($watcher->{out}, qr/^serve app at a/m, '… and nothing else before');
wait_until(sub { -e $cache && slurp_file($cache) =~ /"epoch": 3/ }, 'the file to be written');
like(slurp_file($cache), qr/"place": "b".*"epoch": 3/s, '… and is kept in the file');
$watcher->{run}->signal('KILL');
$watcher->finish;

$east->safe_psql('app', "UPDATE meridian.authority SET serves = 'a'");
$west->stop('immediate');
($rc, $out) = $m->run([ 'hold', 1 ], watch => 1, id => 'third', env => { AUTHORITY_FILE => $cache });
like($out, qr/^serve app at b as app2 epoch [23]$/m, 'a proxy that starts while that node is down knows it from the file');
unlike($out, qr/^serve app at a/m, '… and does not believe the node that was fenced');
$west->start;

$_->safe_psql('app', 'DELETE FROM meridian.authority') for $east, $west;
($rc, $out) = $m->run([ 'hold', 1 ], watch => 1, id => 'third');
unlike($out, qr/^serve/m, 'nothing decided: as configured');

done_testing;
