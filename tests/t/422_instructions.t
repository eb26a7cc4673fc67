#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# What a step of the relay costs in instructions, counted by valgrind: tests/tools/relaystep plays
# both sides of a session from a transcript, and the more it plays, the more is counted. The figures
# do not depend on what else the machine does; they do on the compiler, and a little on libevent and
# libc.
#
# A bound is what was counted when it was set, and 3 % more. Who makes a step cheaper sets it anew;
# who makes it dearer says why in the commit. What is read nearby has a bound beside the same step
# at home, too: as many times what that has cost a moment before.
use strict;
use warnings;
use Meridian::Test::Measure qw(measured sanitized);
use Test::More;

my $program = "$ENV{MERIDIAN_BUILDDIR}/tests/tools/relaystep";
my $few     = 50;
my $many    = 250;

# gcc 12 -O2 on x86-64, libevent 2.1.12. The bulk ones are for 64 kB in 640 messages.
my %counted = (
	'simple'          => 2464,
	'prepared'        => 2575,
	'copy-out'        => 11216,
	'copy-in'         => 9964,
	'pooled-simple'   => 5446,
	'pooled-prepared' => 5436,
	'pooled-another'  => 5458,
	'near-simple'     => 8378,
	'near-another'    => 12241,
	'near-prepared'   => 9010,
);
my %beside = (
	'near-simple'   => [ 1.6,  'pooled-simple' ],
	'near-another'  => [ 2.35, 'pooled-another' ],    # no text comes twice
	'near-prepared' => [ 1.7,  'pooled-prepared' ],
);

# The kind of CPU must not matter: libc takes other functions for each.
$ENV{GLIBC_TUNABLES} = 'glibc.cpu.hwcaps=-AVX2,-AVX512F,-ERMS,-FSRM';

sub instructions
{
	my ($what, $n) = @_;
	my $said = `valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect=loop_poll '$program' $what $n 2>&1`;
	$? == 0 or die "$what $n: $said";
	return $said =~ /Collected : (\d+)/ ? $1 : die "nothing was counted: $said";
}

my $built = `'$program' built`;
plan skip_all => 'a sanitizer has instructions of its own' if sanitized();
plan skip_all => "built by $built" unless $built =~ /^12\..* optimized$/m && `uname -m` =~ /^x86_64$/m;

chomp(my @transcripts = `'$program' list`);
is_deeply([ sort @transcripts ], [ sort keys %counted ], 'each transcript has a bound');
my %each;
for my $what (@transcripts) {
	my $each = (instructions($what, $many) - instructions($what, $few)) / ($many - $few);
	$each{$what} = $each;
	measured('%.0f instructions for a step of %s', $each, $what);
	cmp_ok($each, '<=', 1.03 * $counted{$what}, "$what costs no more than it did");
	cmp_ok($each, '>',  0.5 * $counted{$what},  '… and was done');
}
for my $what (sort keys %beside) {
	my ($times, $other) = @{ $beside{$what} };
	measured('%.2f times %s is %s', $each{$what} / $each{$other}, $other, $what);
	cmp_ok($each{$what}, '<=', $times * $each{$other}, "$what costs no more than $times times $other");
}
done_testing();
