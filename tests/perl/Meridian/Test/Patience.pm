# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::Patience - owns time in the tests: no other file of them says how many seconds
# something may take, or sleeps (tests/lint/patience.t).
#
#   use Meridian::Test::Patience;
#
#   ok(wait_until(sub { $proxy->counter('x') == 3 }, 'three of them'), 'all three came');
#   my $d = deadline(40, 'RUN to be accepted');        # where there is more to do at each look:
#   while ($d->goes_on) { … last if … }                # false when the time is up; rests between two looks
#   IPC::Run::run(\@command, …, run_limit(60));        # an IPC::Run::timeout
#   in_time($begin, 20, 'at once');                    # a test point: no more than that has passed since time $begin
#   took($ms / 1000, 3, 'the pause is short');         # the same of a duration measured elsewhere
#   cmp_ok(passed($begin), '>', 2 * $other, '…');      # seconds since, to be compared with what the same test measured
#   ok(stays(sub { waiting() == 3 }, 'three wait', sub { $proxy->counter('turns') }, 5), '…');
#   my $n = settles(sub { bytes_sent() }, 'no more to be sent');       # the same at three looks
#   outlast(1, 'query_wait_timeout');                 # what is configured, and the subject, is over then
#   let_pass(0.5, 'a notification could come');        # the only sleep: what it gives time to could happen
#   set => { server_lifetime => span(3), query_timeout => NEVER }
#
# Each limit is a number of seconds on a quiet machine, and is multiplied by the unit: patience(10)
# seconds. The unit is measured by tests/run when a run begins, as what a small piece of real work
# takes (processes, round trips between two of them, CPU) beside what it takes on a quiet machine,
# and is multiplied by what a build with a sanitizer costs. Tests have it from the environment
# (MERIDIAN_PATIENCE). PATIENCE=4 (make check PATIENCE=4, or in the environment) sets what is measured by hand.
# A wait that is about to give up measures again: where the machine has become slower, it goes on,
# up to 10 times the seconds named. A limit is no expectation: it is far from what is usual.
package Meridian::Test::Patience;
use strict;
use warnings;

use Carp;
use Exporter ();
use POSIX     ();
use Socket    qw(AF_UNIX SOCK_STREAM PF_UNSPEC);
use Test::More ();
use Time::HiRes ();

our @EXPORT = qw(NEVER $UNHURRIED build_factor deadline due_in in_time is_due let_pass moment outlast passed patience run_limit settles span stays took wait_until);

# Options of a migration whose freeze and whose catching up are not the subject.
our $UNHURRIED;

use constant NEVER => '1h';    # for an option: longer than any test
use constant CAP   => 10;      # a wait goes on to so many times the seconds it names
use constant USUAL => 60;      # how long what is awaited is awaited, where nothing else is said
use constant LOOKS => 10;      # no wait is given up before it has looked so often

# What a quiet machine takes, in milliseconds: for a process that is begun and ends, for 100 round
# trips between two processes, and for the sum below. Two processors of a small virtual machine.
my %quiet = (process => 2, trips => 2, sum => 8);

# ---------------------------------------------------------------- the unit

my $unit;

# How much dearer this build is (a sanitizer: 4), for amounts of work too: tests/run knows.
sub build_factor { return $ENV{MERIDIAN_TEST_SLOW} || 1 }

sub unit
{
	$unit //= $ENV{MERIDIAN_PATIENCE} || first_unit();
	return $unit;
}

# What tests/run hands to the tests of a run.
sub first_unit { return ($ENV{PATIENCE} || measure()) * build_factor() }

sub import
{
	$UNHURRIED //= join ', ', map { "$_ = '" . span(30) . "'" } qw(pause_budget catchup_deadline);
	goto &Exporter::import;
}

sub patience { my ($seconds) = @_; return $seconds * unit() }

# The time of an option that has to be long enough for what the test does meanwhile, and is not its subject.
sub span { my ($seconds) = @_; return int(1000 * patience($seconds)) . 'ms' }

# Measure again; true where the machine is slower than was thought.
sub slower_now
{
	my $now = measure() * build_factor();
	return 0 if $now <= unit();
	$unit = $now;
	return 1;
}

# How many times as long as on a quiet machine the slowest of three kinds of work takes; 1 is the least.
sub measure
{
	my %took = (process => mean(\&process, 16), trips => trips(12), sum => mean(\&sum, 6));
	my ($most) = sort { $b <=> $a } map { 1000 * $took{$_} / $quiet{$_} } keys %took;
	return $most < 1.5 ? 1 : 0 + sprintf '%.1f', $most;
}

# Seconds that a piece of work takes: of so many pieces, or of as many as there is time for.
sub mean
{
	my ($work, $times) = @_;
	my ($begin, $n) = (Time::HiRes::time(), 0);
	while ($n < $times && passed($begin) < 0.25) {
		$work->();
		$n++;
	}
	return passed($begin) / $n;
}

sub process
{
	local ($?, $!);
	my $pid = fork // croak "fork: $!";
	if (!$pid) {
		exec { '/bin/true' } 'true' or POSIX::_exit(0);
	}
	waitpid $pid, 0;
	return;
}

# A child that sends back what it gets, a byte at a time.
sub trips
{
	my ($times) = @_;
	local ($?, $!);
	socketpair my $ours, my $its, AF_UNIX, SOCK_STREAM, PF_UNSPEC or croak "socketpair: $!";
	my $pid = fork // croak "fork: $!";
	if (!$pid) {
		close $ours;
		while (sysread $its, my $byte, 1) { syswrite $its, $byte }
		POSIX::_exit(0);
	}
	close $its;
	my $took = mean(sub { for (1 .. 100) { syswrite $ours, 'x'; sysread $ours, my $byte, 1 } }, $times);
	close $ours;
	waitpid $pid, 0;
	return $took;
}

# Longer than a turn of the scheduler: who shares the processor is felt.
sub sum
{
	my $sum = 0;
	$sum += $_ * $_ % 7 for 1 .. 200_000;
	return $sum;
}

# ---------------------------------------------------------------- limits

sub passed { my ($since) = @_; return Time::HiRes::time() - $since }

# For what is done again and again while a test lasts: a time that is to come, and whether it has. Not a limit.
sub due_in { my ($seconds) = @_; return Time::HiRes::time() + $seconds }
sub is_due { my ($when) = @_; return Time::HiRes::time() >= $when }

# A limit that begins now.
sub deadline
{
	my ($seconds, $what) = @_;
	return Meridian::Test::Patience::Deadline->begin($seconds, $what);
}

# Until something is true (its value), or the time is up (false, and the test says what was awaited).
sub wait_until
{
	my ($good, $what, $seconds) = @_;
	my $d = deadline($seconds, $what // sprintf 'what line %d of %s asks', (caller)[ 2, 1 ]);
	my $value;
	while ($d->goes_on) {
		$value = $good->();
		return $value if $value;
	}
	return $value;
}

# Until a value is the same at three looks, a little apart; it is returned.
sub settles
{
	my ($read, $what) = @_;
	my ($same, $last, $now) = (0);
	wait_until(sub {
		let_pass(0.1, 'it changes') if defined $now;
		($last, $now) = ($now, $read->());
		$same = defined $last && $now eq $last ? $same + 1 : 0;
		return $same >= 3;
	}, $what);
	return $now;
}

sub in_time
{
	my ($since, $seconds, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return took(passed($since), $seconds, $name);
}

# The same of a duration that was measured elsewhere.
sub took
{
	my ($took, $seconds, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $good = $took <= patience($seconds) || (slower_now() && $took <= patience($seconds));
	Test::More::ok($good, $name)
	  or Test::More::diag(sprintf '  it took %.2f s; the limit is %.2f s (%s x %s)', $took, patience($seconds), $seconds, unit());
	return $good;
}

# An IPC::Run::timeout. The demo, which runs no program by IPC::Run, need not have that package.
sub run_limit
{
	my ($seconds, $what) = @_;
	require IPC::Run;
	my $d = deadline($seconds, $what // 'the program to end');
	my $t = Meridian::Test::Patience::Timer->new($d->left);
	$t->exception('IPC::Run: timeout: ' . $d->text);
	$t->{MERIDIAN} = $d;
	return $t;
}

# ---------------------------------------------------------------- what does not happen

# True at each look until a counter (code) has gone up by `times`: so often it could have become false.
# Without a counter, for a moment: that is weaker, and nothing else can be done where nothing is counted.
sub stays
{
	my ($good, $what, $counter, $times) = @_;
	my $d    = deadline($counter ? USUAL : 0.1, "the counter, while $what");
	my $from = $counter ? $counter->() : 0;
	while (1) {
		if (!$good->()) {
			Test::More::diag(sprintf '  not so after %.2f s: %s', $d->spent, $what);
			return 0;
		}
		return 1 if $counter ? $counter->() - $from >= $times : $d->spent >= moment();
		return 0 unless $d->goes_on;
	}
}

# How long nothing is heard where nothing is to come, and nothing says so. A window need not be as long as a limit.
sub moment { return window(0.1) }

sub window
{
	my ($seconds) = @_;
	my $factor = unit();
	return $seconds * ($factor < 3 ? $factor : 3);
}

sub let_pass
{
	my ($seconds, $what) = @_;
	croak 'what is it that could happen meanwhile?' unless defined $what;
	Time::HiRes::sleep(window($seconds));
	return;
}

# Until a time that is configured, and the subject of the test, is over. The number stands beside that of the option.
sub outlast
{
	my ($seconds, $what) = @_;
	croak 'what lasts so long?' unless defined $what;
	Time::HiRes::sleep(1.02 * $seconds + 0.1);
	return;
}

# ---------------------------------------------------------------- files

# Run a program (a test file), and end it and what is left of its process group when the time is up. Returns
# its status as a shell has it; 124 where it had to be ended, and says so on standard error.
sub guard
{
	my ($seconds, @command) = @_;
	my $pid = fork // die "fork: $!";
	if (!$pid) {
		setpgrp;
		exec { $command[0] } @command or print STDERR "$command[0]: $!\n";
		POSIX::_exit(127);
	}
	local $SIG{ALRM} = sub { alarm 1 };
	local @SIG{qw(TERM INT HUP)} = (sub { kill $_[0], -$pid }) x 3;
	my $d = deadline($seconds, "the end of $command[-1]");
	until (ended_within($pid, $d->left)) {
		next unless $d->over;
		print STDERR '# ' . $d->text . "\n";
		kill 'TERM', -$pid;
		kill 'KILL', -$pid unless ended_within($pid, patience(20));
		return 124;
	}
	return $? & 127 ? 128 + ($? & 127) : $? >> 8;
}

sub ended_within
{
	my ($pid, $seconds) = @_;
	alarm 1 + int $seconds;
	my $ended = waitpid($pid, 0) == $pid;
	alarm 0;
	return $ended;
}

package Meridian::Test::Patience::Deadline;
use strict;
use warnings;

sub begin
{
	my ($class, $seconds, $what) = @_;
	$seconds //= Meridian::Test::Patience::USUAL;
	return bless { seconds => $seconds, what => $what, begin => Time::HiRes::time(), rest => 0, looks => 0 }, $class;
}

sub spent { return Meridian::Test::Patience::passed($_[0]{begin}) }

# Seconds; none is left when they would be negative.
sub left
{
	my ($self) = @_;
	my $left = Meridian::Test::Patience::patience($self->{seconds}) - $self->spent;
	return $left > 0 ? $left : 0;
}

# The time is up, and the machine is not slower than was thought.
sub over
{
	my ($self) = @_;
	return 0 if $self->left;
	return 1 if $self->{seconds} < 1;    # a moment is no limit
	my $most = $self->{seconds} * Meridian::Test::Patience::CAP * Meridian::Test::Patience::build_factor();
	return 0 if $self->spent < $most && Meridian::Test::Patience::slower_now() && $self->left;
	return 1;
}

# For a loop: true as long as it is to look (again). Rests before each look but the first, for 2 ms and then longer.
sub goes_on
{
	my ($self) = @_;
	if ($self->{looks}++ >= Meridian::Test::Patience::LOOKS && $self->over) {
		Test::More::diag('  ' . $self->text);
		return 0;
	}
	Time::HiRes::sleep($self->{rest}) if $self->{rest};
	$self->{rest} = $self->{rest} ? $self->{rest} * 1.3 : 0.002;
	$self->{rest} = 0.1 if $self->{rest} > 0.1;
	return 1;
}

sub text
{
	my ($self) = @_;
	return sprintf 'waited %.1f s in vain for %s (patience %s s x unit %s, %d looks; PATIENCE=n: longer)', $self->spent,
	  $self->{what} // 'it', $self->{seconds}, Meridian::Test::Patience::unit(), $self->{looks};
}

package Meridian::Test::Patience::Timer;
use strict;
use warnings;

our @ISA = ('IPC::Run::Timer');

# Called by IPC::Run when it looks: seconds that are left, or it dies.
sub check
{
	my ($self, @now) = @_;
	my $d = $self->{MERIDIAN};
	if ($d && $self->is_running && !$self->is_expired) {
		return $d->left if $d->left;
		return $d->left unless $d->over;
		$self->exception('IPC::Run: timeout: ' . $d->text);
	}
	return $self->SUPER::check(@now);
}

# The time counts from when the program is begun.
sub start
{
	my ($self, @words) = @_;
	$self->{MERIDIAN}{begin} = Time::HiRes::time() if $self->{MERIDIAN};
	return $self->SUPER::start(@words);
}

1;
