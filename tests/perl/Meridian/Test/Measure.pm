# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::Measure - what a process costs: system calls, allocations, memory, descriptors.
#
#   use Meridian::Test::Measure qw(:all);
#
#   my %thread = threads($proxy->pid);              # name => thread id: worker/1, worker/2, …
#   my $n = system_calls($thread{'worker/1'}, sub { … });      # { recvfrom => 2, …, total => 6 }
#   plan skip_all => no_strace() if no_strace();    # a container may forbid it
#   my $peak = peak_kb($proxy->pid); peak_reset($proxy->pid);  # VmHWM
#   my $kb = pss_kb($proxy->pid);                   # proportional set size of what is its own
#   is(descriptors($proxy->pid), $before);
#   stand_still($proxy->pid);                       # SIGSTOP, and none of its threads runs any more
#   my %env = allocations_env($file);               # for Meridian::Test::Proxy->new(env => …)
#   my $n = allocations($file, $thread_id);         # so far
#   measured("$what: %.2f kB", $kb);                # a line in the log of the test
#
# A sanitizer replaces the allocator and keeps what was freed: sanitized() says which one there is.
package Meridian::Test::Measure;
use strict;
use warnings;

use Carp;
use Exporter qw(import);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use POSIX ();
use PostgreSQL::Test::Utils ();
use Test::More;

our @EXPORT_OK = qw(threads system_calls no_strace peak_kb peak_reset pss_kb descriptors allocations_env
  allocations measured sanitized distorted cpu_ticks stand_still);
our %EXPORT_TAGS = (all => \@EXPORT_OK);

my $slots = 64;

sub slurp
{
	my ($name) = @_;
	open my $in, '<', $name or croak "$name: $!";
	local $/;
	return scalar <$in>;
}

sub threads
{
	my ($pid) = @_;
	my %thread;
	for my $dir (glob "/proc/$pid/task/*") {
		my $name = eval { slurp("$dir/comm") } // next;
		chomp $name;
		$thread{$name} = $dir =~ s{.*/}{}r;
	}
	return %thread;
}

# Run code while strace counts the system calls of one thread, or of a whole process where the id is
# [ pid ].
sub system_calls
{
	my ($id, $code) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . '/strace';
	my @what = ref $id ? ('-f', '-p', $id->[0]) : ('-p', $id);
	my $pid = open my $said, '-|';
	defined $pid or croak "fork: $!";
	if (!$pid) {
		open STDERR, '>&', \*STDOUT;
		{ exec 'strace', '-c', '-U', 'calls,name', '-o', $file, @what }
		POSIX::_exit(127);
	}
	my $attached = <$said> // '';
	$attached =~ /attached/ or croak "strace: $attached";
	$code->();
	kill 'INT', $pid;
	1 while <$said>;
	close $said;
	my %count = (total => 0);
	for (split /\n/, slurp($file)) {
		next unless /^\s*(\d+)\s+(\w+)$/ && $2 ne 'total';
		$count{$2} = $1;
		$count{total} += $1;
	}
	return \%count;
}

# Why strace may not look at another process here; '' where it may.
my $no_strace;

sub no_strace
{
	return $no_strace if defined $no_strace;
	my $pid = fork // croak "fork: $!";
	if (!$pid) {
		Meridian::Test::Proxy::let_be_traced();
		POSIX::pause();
		POSIX::_exit(0);
	}
	$no_strace = eval { system_calls($pid, sub { }); 1 } ? '' : $@ =~ s{^strace: }{}r =~ s{\n.*}{}sr;
	kill 'KILL', $pid;
	waitpid $pid, 0;
	return $no_strace;
}

sub status_kb
{
	my ($pid, $field) = @_;
	return slurp("/proc/$pid/status") =~ /^$field:\s+(\d+) kB/m ? $1 : croak "no $field";
}

# The most memory it ever held, or since peak_reset().
sub peak_kb { return status_kb($_[0], 'VmHWM') }

sub peak_reset
{
	my ($pid) = @_;
	open my $out, '>', "/proc/$pid/clear_refs" or croak "clear_refs: $!";
	print {$out} "5\n";
	close $out or croak "clear_refs: $!";
	return;
}

# Without the pages of files (programs and libraries): the share of those changes whenever another
# process begins to use the same library.
sub pss_kb
{
	my ($pid) = @_;
	return slurp("/proc/$pid/smaps_rollup") =~ /^Pss_Anon:\s+(\d+) kB/m ? $1 : croak 'no Pss';
}

# User and system time so far, in clock ticks.
sub cpu_ticks
{
	my ($pid) = @_;
	my @field = split ' ', slurp("/proc/$pid/stat") =~ s/.*\) //r;
	return $field[11] + $field[12];
}

# The signal is on its way to each thread when kill() returns: one that is in a system call comes to the
# end of it first. Not while somebody traces it.
sub stand_still
{
	my ($pid) = @_;
	kill 'STOP', $pid or croak "kill: $!";
	wait_until(sub {
		my @states = map { slurp($_) =~ /\) (\w)/ ? $1 : '' } glob "/proc/$pid/task/*/stat";
		return @states && !grep { $_ ne 'T' } @states;
	}, 'its threads to stand') or croak "process $pid does not stand still";
	return;
}

sub descriptors
{
	my ($pid) = @_;
	opendir my $dir, "/proc/$pid/fd" or croak "/proc/$pid/fd: $!";
	return scalar grep { /^\d/ } readdir $dir;
}

# ---------------------------------------------------------------- allocations

sub allocations_env
{
	my ($file) = @_;
	open my $out, '>', $file or croak "$file: $!";
	print {$out} "\0" x (16 * $slots);
	close $out;
	return (MALLOCS => $file, LD_PRELOAD => ($ENV{MERIDIAN_BUILDDIR} || '.') . '/tests/tools/mallocs.so');
}

sub allocations
{
	my ($file, $thread) = @_;
	my $all = slurp($file);
	for my $i (0 .. $slots - 1) {
		my ($id, undef, $count) = unpack 'l L Q', substr $all, 16 * $i, 16;
		return $count if $id == $thread;
	}
	return 0;
}

# ---------------------------------------------------------------- the rest

sub measured
{
	my ($format, @values) = @_;
	note('measured: ' . sprintf $format, @values);
	return;
}

# 'address' or 'thread' where meridian was built with that sanitizer, else ''.
sub sanitized
{
	my $program = $ENV{MERIDIAN} || './meridian';
	for my $kind (qw(address thread)) {
		my $symbol = $kind eq 'address' ? '__asan_init' : '__tsan_init';
		return $kind if system('grep', '-aq', $symbol, $program) == 0;
	}
	return '';
}

# The program counts its lines, or has a sanitizer: what it costs says nothing.
sub distorted
{
	my $program = $ENV{MERIDIAN} || './meridian';
	return sanitized() || system('grep', '-aq', '__gcov_', $program) == 0;
}

1;
