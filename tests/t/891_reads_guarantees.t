#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Session guarantees of reads = nearest: a register that only grows is written and read by several sessions while the standby's replay
# stops and goes on and the standby is restarted at random. None ever reads less than it has written or read before. With
# consistency = eventual the same checker does find that.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters regional_standby);
use Meridian::Test::Patience;
use Meridian::Test::Reads;
use Meridian::Test::Wire qw(:build);
use Test::More;

my $seed = $ENV{READS_SEED} // int rand 1e9;
srand $seed;
note "READS_SEED=$seed";
my $steps = $ENV{READS_STEPS} // 600;

my ($home) = regional_clusters('us-east1', { streaming => 1 });
$home->safe_psql('postgres', 'CREATE TABLE r (v int); INSERT INTO r VALUES (0)');
my $near = regional_standby($home, 'europe-west1');
$near->append_conf('postgresql.conf', 'restart_after_crash = on');
$near->reload;
my $wait  = span(0.005);
my $proxy = near_proxy($home, $near,
	conf => "[database postgres]\npool = transaction\nreads = nearest\nconsistency_wait = $wait\n"
	  . "[database loose]\ndbname = postgres\npool = transaction\nreads = nearest\nconsistency = eventual\n");

sub reads_near { my $n = 0; $n += $_->{transactions} for grep { $_->{reason} eq 'READ' } @{ $proxy->console('SHOW READS') }; return $n }
sub standby { $near->safe_psql('postgres', "SELECT pg_wal_replay_$_[0]()"); return }

# A process of the standby is killed: its postmaster begins anew, and replays from an earlier point on.
sub crash
{
	my $victim = $near->background_psql('postgres');
	kill KILL => $victim->query_safe('SELECT pg_backend_pid()');
	eval { $victim->quit };
	$near->poll_query_until('postgres', 'SELECT pg_is_in_recovery()');
	return;
}

# One read, in one of the ways in which a client may ask for it: the value, or undef where the session has an error.
sub read_once
{
	my ($w) = @_;
	my $how = int rand 4;
	calm($proxy) if rand() < 0.5;
	if ($how == 0) {
		$w->ask('BEGIN READ ONLY');
		my $v = $w->ask('SELECT v FROM r');
		$w->ask('COMMIT');
		return $v;
	}
	return $w->ask('SELECT v FROM r') if $how < 3;
	$w->send(parse('SELECT v FROM r') . bind_message([]) . execute('') . sync_message);
	return $w->answer;
}

# So many steps on sessions of a database: how often one has read less than it had seen.
sub violations
{
	my ($database, $n) = @_;
	my (@w, @seen, $paused);
	my $wrong = 0;
	for my $step (1 .. $n) {
		my $i = int rand 3;
		$w[$i] //= paris($proxy, database => $database);
		my $what = rand;
		if ($what < 0.3) {
			$seen[$i] = $w[$i]->ask('UPDATE r SET v = v + 1 RETURNING v');
		} elsif ($what < ($paused ? 0.5 : 0.33)) {
			standby($paused ? 'resume' : 'pause');
			$paused = !$paused;
		} elsif ($what < 0.335) {
			rand() < 0.5 ? crash() : ($near->stop('immediate'), $near->start);
		} else {
			my $v = read_once($w[$i]);
			if ($v !~ /^\d+$/) { diag "step $step: $v"; $wrong++; last }
			$wrong++ if $v < ($seen[$i] // 0);
			$seen[$i] = $v;
		}
	}
	standby('resume') if $paused;
	return $wrong;
}

# A standby that is stopped half of the time is read as often as it has caught up: as many rounds as it takes.
my ($before, $wrong) = (reads_near(), 0);
wait_until(sub { $wrong += violations('postgres', $steps); $wrong || reads_near() >= $before + 20 }, 'twenty transactions nearby');
is($wrong, 0, "no session reads less than it has seen (READS_SEED=$seed)");
cmp_ok(reads_near(), '>=', $before + 20, '... and they did read nearby');
ok(wait_until(sub { violations('loose', $steps) > 0 }), 'without a floor the checker finds that');
$proxy->stop;
done_testing();
