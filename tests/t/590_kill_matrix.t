#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# A move whose proxy is killed before or after a step, under load, and resumed by another proxy, to the
# end or by ABORT: nothing that was acknowledged is lost, the two sides are never writable at once, and
# ABORT leaves the source as it was. Here at some steps; 945 kills at both sides of every step.
#
# timeout: 1800
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Move qw(app_to_move catalog_of difference ledger watch_both);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Test::More;
use Time::HiRes qw(time);

# step, side, how it goes on
my @some = (
	[qw(schema after abort)],      [qw(subscription before go)], [qw(freeze after abort)], [qw(fence after go)],
	[qw(decide before abort)],     [qw(decide after abort)],     [qw(hand_over before go)], [qw(reverse_fence after go)],
	[qw(reverse_decide after go)], [qw(copy undo abort)],   [qw(fence undo go)]);
my @prepare = qw(control_source identity ddl_block fence_source_disabled roles database database_settings control_target schema
  fence_target);
my @data     = qw(publication slot subscription copy post_data enable reverse_publication);
my @pause    = qw(arm freeze fence copy_rest decide switch);
my @behind   = qw(hand_over stop_forward reverse_subscription reopen_source refresh_views verify);
my @forward  = (@prepare, @data, qw(guards prewarm), @pause, @behind);
my @backward = qw(reverse_guards reverse_prewarm reverse_arm reverse_freeze reverse_fence reverse_decide reverse_switch
  reverse_hand_over stop_backward reopen_target);
my @end = qw(drop_replication drop_leftovers);
# Steps that only these options bring about.
my %with = (read_only => 'write_mode = read_only', stop_writes => 'data = snapshot', copy_rows => 'data = snapshot');
my %phase = ((map { $_ => 'RUN MIGRATION %s ALL' } @forward, sort keys %with), (map { $_ => 'REVERSE MIGRATION %s' } @backward),
	(map { $_ => 'COMPLETE MIGRATION %s' } @end));

# All: both sides of each step, and the way back: undone by ABORT, or by a pause that came to nothing.
sub everywhere
{
	my ($sides, $ways, @steps) = @_;
	return map { my $s = $_; map { my $w = $_; map { [ $s, $w, $_ ] } @$ways } @$sides } @steps;
}
my @points = $ENV{KILL_EVERYWHERE}
  ? (everywhere([qw(before after)], [qw(go abort)], @forward, sort keys %with), everywhere(['undo'], ['abort'], reverse @prepare, @data),
	everywhere(['undo'], [qw(go abort)], reverse @pause), everywhere([qw(before after)], ['go'], @backward, @end))
  : @some;
@points = grep { "@$_" =~ /$ENV{KILL_ONLY}/ } @points if $ENV{KILL_ONLY};
BAIL_OUT('no point is like that') unless @points;

my %cluster;
# A server starts one apply worker each wal_retrieve_retry_interval, 5 s unless told.
my $soon = { conf => "wal_retrieve_retry_interval = 100ms\n" };
@cluster{qw(agora-fr1 osc-fr1)} = regional_clusters('agora-fr1', $soon, 'osc-fr1', $soon);
my @config = (
	regions => [ map { $_ => $cluster{$_} } sort keys %cluster ],
	set     => { auth => 'trust', region => 'agora-fr1', migration_conninfo => 'user=postgres', migration_lease => span(1) },
	conf    => "[database app]\npool = transaction\n");
my $other = Meridian::Test::Proxy->new('other', @config);
$other->start;

my ($from, $to) = ('agora-fr1', 'osc-fr1');
app_to_move($cluster{$from}, <<'SQL');
CREATE TABLE line(shelf int REFERENCES shelf, n int);
INSERT INTO line SELECT i, i FROM generate_series(1, 1000) i;
SQL
my $watch = watch_both(@cluster{qw(agora-fr1 osc-fr1)}, 'app');

sub state_of { my ($m) = @_; my $rows = eval { $other->console("SHOW MIGRATION $m") } // []; return $rows->[0]{state} // '' }

# Say it until it is so: the dead one's lease may last, or somebody goes on by himself. What was said last.
sub until_state
{
	my ($m, $wanted, $command) = @_;
	my ($d, $said) = (deadline(60, "migration $m to be $wanted"), '');
	while (state_of($m) !~ /^(?:$wanted)$/ && $d->goes_on) {
		$said = ($other->console_raw(sprintf $command, $m))[2];
		last if $said =~ /ERROR:  55000.*(?:REVERSE|served by)/s;
	}
	return $said;
}

sub drop_old
{
	my ($where) = @_;
	$cluster{$where}->safe_psql('postgres', 'DROP DATABASE app WITH (FORCE)');
	return;
}

# The way to where the victim is ordered something: the order, and what is to be done when it is dead.
sub lead_there
{
	my ($m, $step, $side) = @_;
	if ($side eq 'undo') {
		$other->console("RUN MIGRATION $m $_") for qw(PREPARE DATA);
		return 'ABORT MIGRATION %s' unless grep { $_ eq $step } @pause;
		return ('RUN MIGRATION %s FINALIZE', fail_in_pause($m));
	}
	until_state($m, 'redirecting', 'RUN MIGRATION %s ALL') if $phase{$step} !~ /^RUN/;
	return $phase{$step};
}

# Behind the fence the target does not come after: a row is locked there. Returns what ends it.
sub fail_in_pause
{
	my ($m) = @_;
	$other->console("SET MIGRATION $m (catchup_deadline = '300ms', attempts = 1, max_lag = '1GB')");    # time: nothing arrives within it
	my $slow = $cluster{$to}->background_psql('app');
	$slow->query_safe('BEGIN; SELECT FROM shelf WHERE id = 1 FOR UPDATE');
	$cluster{$from}->safe_psql('app', 'UPDATE shelf SET what = what WHERE id = 1');
	return sub {
		$slow->quit;
		$other->console("SET MIGRATION $m (catchup_deadline = '" . span(5) . "')");
	};
}

# Another proxy, to the end or by ABORT. Whether it was aborted.
sub go_on
{
	my ($m, $step, $then, $before, $name) = @_;
	my $last = $then eq 'abort' ? until_state($m, 'aborted', 'ABORT MIGRATION %s') : '';
	if (state_of($m) eq 'aborted') {
		is(difference($before, catalog_of($cluster{$from}, 'app')), '', "$name: the source is what it was");
		is($cluster{$to}->safe_psql('postgres', "SELECT (SELECT count(*) FROM pg_database WHERE datname = 'app')"
			. ' + (SELECT count(*) FROM pg_replication_slots)'), 0, "$name: nothing is left on the target");
		return 1;
	}
	like($last, qr/ERROR:  55000/, "$name: it was decided, ABORT is refused") if $then eq 'abort';
	my $wanted = $phase{$step} =~ /^RUN/ ? 'redirecting' : $phase{$step} =~ /^REVERSE/ ? 'reversed' : 'done';
	my $why    = until_state($m, $wanted, $phase{$step});
	is(state_of($m), $wanted, "$name: another proxy goes on to the end") or diag $why;
	return 0;
}

my $n = 0;
for my $point (@points) {
	my ($step, $side, $then) = @$point;
	my $m     = 'm' . ++$n;
	my $name  = "killed $side $step, $then";
	my $begun = time;
	$cluster{$from}->safe_psql('app', 'TRUNCATE ledger');
	my $before = catalog_of($cluster{$from}, 'app');
	my $with   = join ', ', "identity = auto, max_lag = '1MB', retry_wait = '200ms'", $with{$step} // ();
	$other->console("CREATE MIGRATION $m OF DATABASE app FROM $from TO $to WITH ($with)");
	my $victim = Meridian::Test::Proxy->new("v$n", @config, args => ['--crash-points'], env => { MERIDIAN_CRASH_AT => "$step:$side" });
	$victim->start;
	$victim->wait_up(2);
	my ($order, $and_then) = lead_there($m, $step, $side);
	my $ledger = ledger([ map { $_->connstr('app', user => 'postgres') } $victim, $other ], '-c', 4, '-w', 10, '-f', 10 * $n);
	my ($status, undef, $said) = $victim->console_raw(sprintf $order, $m);
	ok($victim->wait_exit(60) && $victim->exit_status == 9 << 8, "$name: it dies there") or diag($said), $victim->kill9;
	$and_then->() if $and_then;

	my $is_aborted = go_on($m, $step, $then, $before, $name);
	let_pass(0.2, 'clients write there');
	my $is_back = $is_aborted || $phase{$step} =~ /^REVERSE/;
	my $at      = $is_back ? $from : $to;
	$ledger->stop;
	is($ledger->lost($cluster{$at}, 'app'), 0, "$name: every row that was acknowledged is there ($ledger->{acked}, longest gap $ledger->{gap_ms} ms)");
	cmp_ok($ledger->{acked}, '>', 0, "$name: it has written");
	is($other->safe_psql('app', q(SELECT current_setting('cluster_name')), user => 'postgres'), $at, "$name: sessions are where it is served");
	note sprintf '%.1f s', passed($begun);
	next if $is_aborted;
	is(until_state($m, 'done', 'COMPLETE MIGRATION %s') =~ /ERROR/ ? 'error' : state_of($m), 'done', "$name: COMPLETE");
	drop_old($is_back ? $to : $from);
	($from, $to) = ($to, $from) unless $is_back;
}
my $saw = $watch->stop;
is($saw->{both}, 0, "the two sides were never writable at once ($saw->{tries} tries, $saw->{one} and $saw->{other} writes)");
cmp_ok($saw->{$_}, '>', 0, "... though side $_ was, at its time") for qw(one other);
$other->stop;
done_testing();
