#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# A move whose servers die under it, with a writer at work: the target in the copy and behind the
# catch-up, the source behind the fence. They come back, it goes on, and nothing that was acknowledged
# is lost. A target that is dead for good is given up by FORCE: the source serves again, as it was.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Measure qw(stand_still);
use Meridian::Test::Move qw(app_to_move catalog_of difference ledger watch_both);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Test::More;
use Time::HiRes qw(time);

my $conf = "synchronous_commit = on\nwal_retrieve_retry_interval = 500ms\n";
my %cluster;
@cluster{qw(agora-fr1 osc-fr1)} = regional_clusters('agora-fr1' => { conf => $conf }, 'osc-fr1' => { conf => $conf });
my @config = (
	regions => [ map { $_ => $cluster{$_} } sort keys %cluster ],
	set     => { auth => 'trust', region => 'agora-fr1', migration_conninfo => 'user=postgres', migration_lease => span(1) },
	conf    => "[database app]\npool = transaction\n");
my @proxy = map { Meridian::Test::Proxy->new($_, @config) } qw(one two);
$_->start for @proxy;
$_->wait_up(2) for @proxy;

my ($from, $to) = ('agora-fr1', 'osc-fr1');
app_to_move($cluster{$from});
my $watch = watch_both(@cluster{qw(agora-fr1 osc-fr1)}, 'app');
my ($n, $first) = (0, 0);

sub state_of { my ($m) = @_; my $rows = eval { $proxy[1]->console("SHOW MIGRATION $m") } // []; return $rows->[0]{state} // '' }

sub wait_for
{
	my ($what, $is_so) = @_;
	return ok(wait_until($is_so, $what), $what);
}

# Say it until it is so, by the other proxy; what was said last.
sub until_state
{
	my ($m, $wanted, $command) = @_;
	my ($d, $said) = (deadline(60, "migration $m to be $wanted"), '');
	while (state_of($m) !~ /^(?:$wanted)$/ && $d->goes_on) {
		$said = ($proxy[1]->console_raw("$command"))[2];
	}
	is(state_of($m), $wanted, "$command: $wanted") or diag $said;
	return $said;
}

sub create
{
	my $m = 'm' . ++$n;
	$proxy[0]->console("CREATE MIGRATION $m OF DATABASE app FROM $from TO $to WITH (identity = auto, max_lag = '1MB',"
		. " retry_wait = '200ms', $UNHURRIED)");
	return $m;
}

sub writer { $first += 10; return ledger([ map { $_->connstr('app', user => 'postgres') } @proxy ], '-c', 4, '-w', 3, '-f', $first) }

sub check_writer
{
	my ($ledger, $where, $what) = @_;
	let_pass(0.2, 'clients write there');
	$ledger->stop;
	is($ledger->lost($cluster{$where}, 'app'), 0, "$what: every row that was acknowledged is there ($ledger->{acked})");
	cmp_ok($ledger->{acked}, '>', 0, "$what: it has written");
	is($_->safe_psql('app', q(SELECT current_setting('cluster_name')), user => 'postgres'), $where, "$what: sessions are where it is served")
	  for @proxy;
	return;
}

# On the target, while the writer's last change is on its way: held up by a lock, with the source fenced.
sub fenced
{
	my ($m) = @_;
	my $lock = $cluster{$to}->background_psql('app');
	$lock->query_safe('BEGIN; LOCK TABLE meridian.marker IN EXCLUSIVE MODE');
	$proxy[0]->console("RUN MIGRATION $m FINALIZE NOWAIT");
	# the fence ends who is connected, also who asks
	wait_for('the source is fenced',
		sub { (eval { $cluster{$from}->safe_psql('app', 'SELECT writable FROM meridian.authority') } // '') eq 'f' });
	return $lock;
}

# A move with a writer at work, up to there; the lock holds it there.
sub begun_and_fenced
{
	my $m      = create();
	my $ledger = writer();
	$proxy[0]->console("RUN MIGRATION $m $_") for qw(PREPARE DATA);
	return ($m, $ledger, fenced($m));
}

# The target, and with it who waits in its lock. Its processes do not die at once: the executor is not to have the
# target's word, by the last of them, that nothing was decided (it would open the source, and be right).
sub target_dies
{
	my ($lock) = @_;
	stand_still($proxy[0]->pid);
	$cluster{$to}->stop('immediate');
	kill 'CONT', $proxy[0]->pid;
	$lock->{run}->kill_kill;
	return;
}

sub is_fenced
{
	my ($where) = @_;
	my ($status, $out, $error) = $cluster{$where}->psql('app', 'INSERT INTO probe VALUES (1)');
	return like($error, qr/no longer accepts writes/, "$where takes no writes");
}

sub done
{
	my ($m) = @_;
	until_state($m, 'done', "COMPLETE MIGRATION $m");
	$cluster{$from}->safe_psql('postgres', 'DROP DATABASE app WITH (FORCE)');
	($from, $to) = ($to, $from);
	return;
}

# the target, in the copy
my $m      = create();
my $ledger = writer();
$proxy[0]->console("RUN MIGRATION $m PREPARE");
my $lock = $cluster{$to}->background_psql('app');
$lock->query_safe('BEGIN; LOCK TABLE shelf IN SHARE MODE');
$proxy[0]->console("RUN MIGRATION $m DATA NOWAIT");
wait_for('the target copies', sub { $cluster{$to}->safe_psql('app', q(SELECT count(*) FROM pg_subscription_rel WHERE srsubstate = 'r')) > 0 });
target_dies($lock);
is($proxy[1]->safe_psql('app', 'INSERT INTO probe VALUES (2) RETURNING i', user => 'postgres'), 2, 'the source goes on');
$cluster{$to}->start;
until_state($m, 'data-migrated', "RUN MIGRATION $m DATA");
until_state($m, 'redirecting',   "RUN MIGRATION $m FINALIZE");
check_writer($ledger, $to, 'the target died in the copy');
is($cluster{$to}->safe_psql('app', 'SELECT count(*) FROM shelf'), 1000, 'the copy is whole');
done($m);

# the target, with the source fenced and nothing decided
($m, $ledger, $lock) = begun_and_fenced();
is_fenced($to);
target_dies($lock);
is_fenced($from);
$cluster{$to}->start;
until_state($m, 'redirecting', "RUN MIGRATION $m FINALIZE");
check_writer($ledger, $to, 'the target died behind the catch-up');
done($m);

# the source, right behind the fence
($m, $ledger, $lock) = begun_and_fenced();
$cluster{$from}->stop('immediate');
is_fenced($to);
$cluster{$from}->start;
is_fenced($from);
$lock->query_safe('COMMIT');
$lock->quit;
until_state($m, 'redirecting', "RUN MIGRATION $m FINALIZE");
check_writer($ledger, $to, 'the source died behind the fence');
done($m);

# a target that is given up by RUN, and comes back
my $before = catalog_of($cluster{$from}, 'app');
($m, $ledger, $lock) = begun_and_fenced();
target_dies($lock);
my $said;
wait_for('RUN … FORCE (target): the source serves again', sub {
	$said = ($proxy[1]->console_raw("RUN MIGRATION $m FINALIZE FORCE (target)"))[2];
	return $cluster{$from}->safe_psql('app', 'SELECT writable FROM meridian.authority') eq 't';
});
is($proxy[1]->safe_psql('app', 'INSERT INTO probe VALUES (3) RETURNING i', user => 'postgres'), 3, '... and takes writes');
$cluster{$to}->start;
is_fenced($to);
until_state($m, 'aborted', "ABORT MIGRATION $m");
is(difference($before, catalog_of($cluster{$from}, 'app')), '', 'ABORT: the source is what it was');
is($cluster{$to}->safe_psql('postgres', q(SELECT count(*) FROM pg_database WHERE datname = 'app')), 0, 'nothing is left on the target that is back');
check_writer($ledger, $from, 'the target was given up by RUN');

# one that is given up by ABORT, and stays away
($m, $ledger, $lock) = begun_and_fenced();
target_dies($lock);
$said = until_state($m, 'aborted', "ABORT MIGRATION $m FORCE");
is(difference($before, catalog_of($cluster{$from}, 'app')), '', 'ABORT FORCE: the source is what it was');
is($cluster{$from}->safe_psql('app', 'SELECT writable, decision, serves FROM meridian.authority'), "t|back|$from", 'it says that it serves');
is($cluster{$from}->safe_psql('app', 'INSERT INTO probe VALUES (4) RETURNING i'), 4, 'it takes writes');
like($cluster{$from}->safe_psql('app', "SELECT string_agg(detail ->> 'text', ' ') FROM meridian.journal WHERE event = 'notice'"), qr/$_/, "the journal says: $_")
  for 'whether it had taken over is not known', 'undo of step \d+ subscription failed and was left out', 'the database that was made stays there',
  'the roles that were made stay there';
check_writer($ledger, $from, 'the target was given up by ABORT');

# it comes back all the same
$cluster{$to}->start;
$proxy[1]->wait_up(2);
is_fenced($to);
let_pass(0.5, 'it is seen that it is back');
is($_->safe_psql('app', q(SELECT current_setting('cluster_name')), user => 'postgres'), $from, 'the target is back: sessions stay where they are')
  for @proxy;

my $saw = $watch->stop;
is($saw->{both}, 0, "the two sides were never writable at once ($saw->{tries} tries, $saw->{one} and $saw->{other} writes)");
cmp_ok($saw->{$_}, '>', 0, "... though side $_ was, at its time") for qw(one other);
$_->stop for @proxy;
done_testing();
