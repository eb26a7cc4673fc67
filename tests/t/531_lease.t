#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# One executor for each migration, whatever happens to the one that had it.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Migrator;
use Meridian::Test::Patience;
use Test::More;
use Time::HiRes qw(time);

my ($east, $west) = regional_clusters('us-east1', 'us-west1');
$_->safe_psql('postgres', 'CREATE DATABASE app') for $east, $west;
my $m     = Meridian::Test::Migrator->new(a => $east, b => $west);
my $lease = int patience(3000);    # ms: whoever lives says so within it
my $id    = 0;

sub prepared
{
	my ($name) = @_;
	$id++;
	$m->run([ 'create', 'app', $name ]);
	$m->run([ 'run', $id, 'prepare' ]);
	return;
}

sub at_work
{
	my ($env) = @_;
	my $run = $m->start([ 'run', $id, 'data' ], id => 'first', lease => $lease, env => $env);
	$run->pump_until(qr/^started 0/m);
	$east->poll_query_until('app', "SELECT state = 'running' FROM meridian.step WHERE mig = $id AND name = 'slow'");
	return $run;
}

# How long it takes until a second proxy has it.
sub taken_after
{
	my $since = time;
	my $d = deadline(120, 'the second one to have it');
	while ($d->goes_on) {
		my ($rc, $out) = $m->run([ 'run', $id, 'data' ], id => 'second', lease => $lease);
		return (passed($since), $out) if $rc == 0;
		like($out, qr/^55P03: /m, 'not yet') if $out !~ /55P03/;
	}
	return (1e9, '');
}

# ---- alive ----
prepared('alive');
my $run = at_work({ MIGRATOR_WAIT_MS => 10000 });
my ($rc, $out) = $m->run([ 'run', $id, 'data' ], id => 'second', lease => $lease);
like($out, qr{^55P03: another executor holds the lease .* first/\d+/1 on first, heartbeat \d+\.\d s ago}m,
	'a second proxy is refused while the first lives, and told who it is');
cmp_ok($out =~ /heartbeat ([\d.]+) s ago/ ? $1 : 1e9, '<=', $lease / 1000, '… and that it lives');
like($m->run(['executors'], lease => $lease), qr/^$id app \S+ first token 2 alive$/m, 'SHOW EXECUTORS');
is($run->finish, 0, 'the first one is not disturbed');
like($run->{out}, qr/ data-migrated\|/, '… and comes to its end');

# ---- stopped (SIGSTOP), taken over, woken ----
prepared('stopped');
$run = at_work({ MIGRATOR_WAIT_MS => 60000 });
kill 'STOP', $run->{pid};
my ($after, $answer) = taken_after();
cmp_ok($after, '<', 3 * $lease / 1000 + patience(10), "one that is stopped is replaced when its lease is over");
like($answer, qr/ data-migrated\|/, '… and the second does the rest');
my $before = $m->did('a', $id) . $m->did('b', $id) . $m->steps('a', $id);
my $seq    = $m->value('a', "SELECT max(seq) FROM meridian.journal WHERE mig = $id");
kill 'CONT', $run->{pid};
$run->finish;
like($run->{out}, qr/another executor has this migration now; this executor ends/, 'the woken one says that it ends');
is($m->did('a', $id) . $m->did('b', $id) . $m->steps('a', $id), $before, '… and has changed nothing');
is($m->value('a', "SELECT max(seq) FROM meridian.journal WHERE mig = $id"), $seq, '… nor written in the journal');
is($m->value('a', "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'meridian-exec-$id'"), 0,
	'… and has no connection left');

# ---- stopped in the middle of a transaction ----
$id++;
$m->run([ 'create', 'app', 'transaction' ]);
$run = $m->start([ 'run', $id, 'prepare' ], id => 'first', lease => $lease, env => { MIGRATOR_SLOW => 60 });
$east->poll_query_until('app', "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'meridian-exec-$id' "
	  . "AND query LIKE 'SELECT pg_sleep%'");
($rc, $out) = $m->run([ 'run', $id, 'prepare' ], id => 'second', lease => $lease);
like($out, qr/^55P03/m, 'a long statement in a transaction does not lose the lease');
outlast(2 * $lease / 1000, 'twice the lease');
($rc, $out) = $m->run([ 'run', $id, 'prepare' ], id => 'second', lease => $lease);
like($out, qr/^55P03/m, '… however long it takes');
kill 'STOP', $run->{pid};
wait_until(sub { ($rc, $out) = $m->run([ 'run', $id, 'prepare' ], id => 'second', lease => $lease); $rc == 0 }, 'the second one to have it', 120);
like($out, qr/ prepared\|/, 'stopped there: the transaction is ended, the second does it');
kill 'CONT', $run->{pid};
$run->finish;
is($m->did('a', $id), 'one:actx two:act', '… once');

# ---- killed ----
# Its lease would last for so long.
$lease *= 10;
prepared('killed');
$run = at_work({ MIGRATOR_WAIT_MS => 60000 });
kill 'KILL', $run->{pid};
$run->finish;
($after, $answer) = taken_after();
cmp_ok($after, '<', $lease / 1000 / 2, 'one that was killed is replaced at once');
like($answer, qr/ data-migrated\|/, '… and the second does the rest');

# ---- its server goes away for a moment ----
prepared('restarted');
$run = at_work({ MIGRATOR_WAIT_MS => 3000 });
$east->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
	  . "'meridian-exec-$id'");
is($run->finish, 0, 'connections that break are made anew');
like($run->{out}, qr/ data-migrated\|/, '… by the same executor, which still has the lease');
is($m->value('a', "SELECT token FROM meridian.lease WHERE mig = $id"), 2, '… with the same token');

done_testing;
