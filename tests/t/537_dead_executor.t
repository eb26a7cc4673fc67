#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# An ABORT that comes while nobody can know yet that the executor is dead: it is done when that is certain, whether
# who said it waits or not. And the numbers of migrations, where a region cannot be asked which are in use there.
use strict;
use warnings;
use IPC::Run ();
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Move qw(catalog_of difference hold_copies);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Test::More;
use Time::HiRes qw(time);

my ($agora, $osc, $far) = regional_clusters('agora-fr1', 'osc-fr1', 'far-us1');
my $lease  = patience(4);
my @config = (
	regions => [ 'agora-fr1' => $agora, 'osc-fr1' => $osc, 'far-us1' => $far ],
	set     => { auth => 'trust', region => 'agora-fr1', migration_conninfo => 'user=postgres', migration_lease => "${lease}s" });

sub proxy
{
	my ($name) = @_;
	my $p = Meridian::Test::Proxy->new($name, @config);
	$p->start;
	$p->wait_up(3);
	return $p;
}

sub run_it
{
	my ($proxy, $sql) = @_;
	my ($status, $out, $err) = $proxy->console_raw($sql);
	is($status, 0, $sql) or diag $err;
	return "$out$err";
}

# ---------------------------------------------------------------- ABORT, its executor just dead

my $second = proxy('second');
$agora->safe_psql('postgres', 'CREATE DATABASE app');
$agora->safe_psql('app', 'CREATE TABLE t(id int PRIMARY KEY); INSERT INTO t VALUES (1)');
run_it($second, 'CREATE MIGRATION zero OF DATABASE app FROM agora-fr1 TO osc-fr1');
run_it($second, 'ABORT MIGRATION zero');
my $before = catalog_of($agora, 'app');

for my $stays (1, 0) {
	my $how   = $stays ? 'who says ABORT waits' : 'who says ABORT goes away';
	my $m     = $stays ? 'stays' : 'leaves';
	my $first = proxy("first$stays");
	run_it($first, "CREATE MIGRATION $m OF DATABASE app FROM agora-fr1 TO osc-fr1");
	run_it($first, "RUN MIGRATION $m PREPARE");
	my $lock = hold_copies($osc, 'app', 't');
	run_it($first, "RUN MIGRATION $m DATA NOWAIT");
	ok($agora->poll_query_until('postgres', q(SELECT count(*) = 1 FROM pg_replication_slots WHERE slot_name ~ '^pg_.*_sync_')),
		"$how: in the middle of the copy");
	kill 'STOP', $first->pid;    # its connections stay, as those of a machine that has vanished
	my $since = time;
	my $said;
	if ($stays) {
		$said = run_it($second, "ABORT MIGRATION $m");
		like($said, qr/\baborted\b/, "$how: it hears that it is aborted");
		cmp_ok(passed($since), '<', 2 * $lease + patience(25), '... soon after the lease is over');
	} else {
		my $c = $second->console_start("ABORT MIGRATION $m");
		ok($agora->poll_query_until('app', "SELECT request LIKE 'abort%' FROM meridian.migration WHERE name = '$m' AND is_home"), "$how: it is asked for");
		$c->{run}->signal('INT');
		$c->{run}->finish;
		like($c->{err}, qr/57014: detached/, "$how: nothing is known yet");
		$second->wait_console("SHOW MIGRATION $m", sub { ($_[0][0]{state} || '') eq 'aborted' });
		is($second->console("SHOW MIGRATION $m")->[0]{state}, 'aborted', "$how: it is aborted all the same");
	}
	$lock->{run}->kill_kill;
	$first->kill9;
	is(difference($before, catalog_of($agora, 'app')), '', "$how: the source is as it was");
}

# ---------------------------------------------------------------- an executor that ends while it is looked for

# Who follows reads the row, and asks for the lease. Between the two the executor writes its last row and lets the
# lease go: the lease is kept from being read until it has. (state that it ends in, or '' where it just dies)
sub ends_between
{
	my ($m, $state) = @_;
	run_it($second, "CREATE MIGRATION $m OF DATABASE app FROM agora-fr1 TO osc-fr1");
	my $mine = "WHERE mig = (SELECT id FROM meridian.migration WHERE name = '$m' AND is_home)";
	my $row  = 'INSERT INTO meridian.lease (uuid, mig, token, owner, proxy, heartbeat) SELECT uuid, id, 1, $$x/1/1$$, $$x$$, now() '
	  . "+ interval '1 hour' FROM meridian.migration WHERE name = '$m' ON CONFLICT (uuid) DO UPDATE SET owner = excluded.owner, heartbeat = excluded.heartbeat";
	$agora->safe_psql('app', "$row; UPDATE meridian.migration SET state = 'running(data)', phase = 'data', rev = rev + 1 WHERE name = '$m'");
	my $holder = $agora->background_psql('app');
	$holder->query_safe('BEGIN; LOCK TABLE meridian.lease IN ACCESS EXCLUSIVE MODE');
	my $follows = $second->console_start("FOLLOW MIGRATION $m");
	ok($agora->poll_query_until('app', q(SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE
		'%heartbeat < clock_timestamp() - interval ''30 seconds''%')), "$m: whoever follows has read the row, and asks for the lease");
	$holder->query_safe("UPDATE meridian.migration SET state = '$state', rev = rev + 1 WHERE name = '$m'") if $state;
	$holder->query_safe("UPDATE meridian.lease SET owner = '' $mine; COMMIT");
	$holder->quit;
	$follows->{run}->finish;
	$agora->safe_psql('app', "UPDATE meridian.migration SET state = 'data-migrated', rev = rev + 1 WHERE name = '$m'");
	run_it($second, "ABORT MIGRATION $m");
	return "$follows->{out}$follows->{err}";
}
my $heard = ends_between('ended', 'data-migrated');
like($heard, qr/migration \d+ is data-migrated; next: /, 'it is told how that ended');
unlike($heard, qr/nobody works/, '... and not that nobody works on it');
like(ends_between('died', ''), qr/57P01: nobody works on migration \d+ any more, its state is running\(data\)\nHINT: +RETRY MIGRATION/,
	'where it has just died, that is told');

# ---------------------------------------------------------------- numbers

# A migration between two regions, of which nothing is known where one of them is down.
sub number
{
	my ($name, $from, $to) = @_;
	my $said = run_it($second, "CREATE MIGRATION $name OF DATABASE app FROM $from TO $to");
	return ($second->console("SHOW MIGRATION $name")->[0]{migration}, $said);
}
$far->safe_psql('postgres', 'CREATE DATABASE app');
my ($theirs) = number('theirs', 'far-us1', 'osc-fr1');
$far->stop('immediate');
$second->wait_up(2);
my ($one, $said) = number('one', 'agora-fr1', 'osc-fr1');
like($said, qr/NOTICE: .*not every region could be asked which numbers are in use: $one is/, 'a region is down: that is said');
cmp_ok($one, '>', 1_000_000, "... and the number is none that may be in use there ($one, not $theirs)");
my ($two) = number('two', 'agora-fr1', 'osc-fr1');
is($two, $one + 1, 'the next one of the same region follows');
$far->start;
$second->wait_up(3);
my $next;
($next, $said) = number('three', 'agora-fr1', 'osc-fr1');
is($next, $theirs + 1, 'with all regions, numbers go on as before');
unlike($said, qr/numbers/, '... without a word');
is_deeply([ map { $_->{name} } grep { $_->{migration} == $theirs } @{ $second->console('SHOW MIGRATIONS') } ], ['theirs'], 'no number twice');
$second->stop;
done_testing();
