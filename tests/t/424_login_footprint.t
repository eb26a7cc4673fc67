#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
#
# What a new session without a pool touches, counted by valgrind: instructions, and lines of cache, code
# and data, that it needs of a memory that others have used meanwhile. The latter is what a login costs
# where a PostgreSQL forks beside us for each: nothing of ours is in any cache by then, and a line that is
# not there takes as long as hundreds of instructions. So does a page whose place the CPU must look up in
# tables: those of our own code are counted too (HOT, in base/hot.h).
#
# A bound is what was counted when it was set, and 5 % more; gcc 12 -O2 on x86-64, libevent 2.1.12.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Measure qw(measured sanitized);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;

my %bound = (instructions => 1.05 * 34374, lines => 1.05 * 1258, pages => 32);

my $relaystep = "$ENV{MERIDIAN_BUILDDIR}/tests/tools/relaystep";
my $built = `'$relaystep' built`;
plan skip_all => 'a sanitizer has instructions of its own' if sanitized();
plan skip_all => "built by $built" unless $built =~ /^12\..* optimized$/m && `uname -m` =~ /^x86_64$/m;

my $node = regional_clusters('here');
my $out  = PostgreSQL::Test::Utils::tempdir() . '/callgrind';

sub one_session
{
	my ($proxy) = @_;
	my $w = Meridian::Test::Wire->session($proxy);
	$w->{last}[0] eq 'Z' && $w->ask('SELECT 1') eq '1' or die explain $w->{last};
	$w->send(terminate);
	return $w->closed && $w->close;
}

sub control
{
	my ($proxy, @what) = @_;
	my $said = `callgrind_control @what @{[ $proxy->pid ]} 2>&1`;
	return $? == 0 || die "callgrind_control @what: $said";
}

# How many pages of the program's own code its instructions lie on. Positions are relative to the one before, also
# those of calls, whose costs are another's.
sub code_pages
{
	my ($file) = @_;
	my ($at, $ours, $is_call, %name, %page) = (0, 0, 0);
	open my $in, '<', $file or die "$file: $!";
	while (<$in>) {
		if (/^(c?)ob=\((\d+)\)(?: (.*))?/) {
			$name{$2} = $3 if defined $3;
			$ours = $name{$2} =~ m{/meridian$} unless $1;
		} elsif (/^calls=/) {
			$is_call = 1;
		} elsif (/^(?:0x([0-9a-f]+)|([+-]\d+)|\*) /) {
			$at = defined $1 ? hex $1 : $at + ($2 // 0);
			$page{ $at >> 12 } = 1 if $ours && !$is_call;
			$is_call = 0;
		}
	}
	return scalar keys %page;
}

# Of each dump, the thread that did most: its events by name.
sub dumps
{
	my %most;
	for my $file (glob "$out.*") {
		my (@names, @totals, $part);
		open my $in, '<', $file or die "$file: $!";
		while (<$in>) {
			$part   = $1           if /^part: (\d+)/;
			@names  = split ' ', $1 if /^events: (.*)/;
			@totals = split ' ', $1 if /^totals: (.*)/;
		}
		next unless @totals > 1;
		my %count;
		@count{@names} = @totals;
		$count{file} = $file;
		$most{$part} = \%count if !$most{$part} || $count{Ir} > $most{$part}{Ir};
	}
	return values %most;
}

# The kind of CPU must not matter: libc takes other functions for each.
my $proxy = Meridian::Test::Proxy->new('footprint',
	regions => [ here => { nodes => $node, sslmode => 'disable' } ],
	env     => { GLIBC_TUNABLES => 'glibc.cpu.hwcaps=-AVX2,-AVX512F,-ERMS,-FSRM' },
	set     => { workers => 1, probe_interval => NEVER, auth => 'passthrough', gazetteer => 'off',
		log_connections => 'off', log_disconnections => 'off' },
	wrapper => [ qw(valgrind --tool=callgrind --instr-atstart=no --separate-threads=yes --cache-sim=yes --dump-instr=yes),
		"--I1=32768,8,64", "--D1=49152,12,64", "--LL=67108864,16,64", "--callgrind-out-file=$out" ]);
$proxy->start;
one_session($proxy) for 1 .. 70;    # the worker's tables have grown by then

sub seen { return sort { $a->{Ir} <=> $b->{Ir} } grep { $_->{Ir} > 10_000 } dumps() }

sub least_lines { return (sort { $a <=> $b } map { $_->{ILmr} + $_->{DLmr} + $_->{DLmw} } @_)[0] }

# Nothing is in its cache when it begins to look. Where an answer comes in two pieces there is more to do, which is the
# machine's business: the least of five counts, and of more where it is over the bound.
my $turns = 0;
until ($turns == 30 || ($turns >= 5 && least_lines(seen()) <= $bound{lines})) {
	control($proxy, '-i', 'on');
	one_session($proxy);
	control($proxy, '-i', 'off');
	control($proxy, '-d');
	$turns++;
}
$proxy->stop;

my @seen = seen();
is(scalar @seen, $turns, 'each session was seen');
my $instructions = $seen[0]{Ir};
my $lines = least_lines(@seen);
my $pages = code_pages($seen[0]{file});
measured('%d instructions, %d lines, %d pages of code (of all: %s)', $instructions, $lines, $pages,
	join ', ', map { "$_->{Ir} and $_->{ILmr} + " . ($_->{DLmr} + $_->{DLmw}) } @seen);
cmp_ok($instructions, '<=', $bound{instructions}, 'a session costs no more instructions than it did');
cmp_ok($lines, '<=', $bound{lines}, '… nor lines of cache');
cmp_ok($pages, '<=', $bound{pages}, '… nor pages of our code: what it runs through lies side by side');
cmp_ok($lines, '>', 0.5 * $bound{lines}, '… and was counted');
cmp_ok($pages, '>', 0.5 * $bound{pages}, '… page by page');

done_testing();
