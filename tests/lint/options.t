#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# The option table, the sample file and the manual page say the same. What is derived from the table
# (conf/meridian.conf, the middle of doc/meridian.conf.5) is compared whole; the manual pages must
# also name every option of the command line, and no option that there is not.
use strict;
use warnings;
use Meridian::Test::Lint;
use Test::More;

my $program = $ENV{MERIDIAN} || builddir() . '/meridian';
plan skip_all => "$program is not built" unless -x $program;

sub said
{
	my ($option) = @_;
	my @lines = `'$program' $option 2>&1`;
	chomp @lines;
	return $? == 0 ? @lines : ("$option failed: $?", @lines);
}

# Where two texts part.
sub first_difference
{
	my ($name, $is, $should) = @_;
	for my $n (0 .. ($#$is > $#$should ? $#$is : $#$should)) {
		my ($a, $b) = ($is->[$n] // '(end)', $should->[$n] // '(end)');
		return "$name, line " . ($n + 1) . ": \"$a\", the table says \"$b\" (make update-config)"
		  if $a ne $b;
	}
	return;
}

my @sample = lines_of('conf/meridian.conf');
my @dumped = said('--dump-sample');
findings('conf/meridian.conf is what the option table says',
	first_difference('conf/meridian.conf', \@sample, \@dumped));

my @page = lines_of('doc/meridian.conf.5');
my ($begin) = grep { $page[$_] =~ /^\.\\" options: begin/ } 0 .. $#page;
my ($end)   = grep { $page[$_] =~ /^\.\\" options: end/ } 0 .. $#page;
ok(defined $begin && defined $end && $begin < $end, 'meridian.conf(5) has its two marks');
my @man = said('--dump-man');
findings('meridian.conf(5) is what the option table says',
	first_difference('doc/meridian.conf.5, option part', [ @page[ $begin + 1 .. $end - 1 ] ], \@man));

# The same from outside, name by name: this catches a generator that forgets.
my %table = map { /^  (\w+) =/ ? ($1 => 1) : () } said('--help-config');
ok(keys %table > 50, 'the table has options');
my %in_sample = map { /^;?(\w+) =/  ? ($1 => 1) : () } @sample;
my %in_manual = map { /^\.B (\w+)$/ ? ($1 => 1) : () } @page[ $begin .. $end ];
findings('every option stands in the sample', grep { !$in_sample{$_} } sort keys %table);
findings('every option stands in the manual', grep { !$in_manual{$_} } sort keys %table);
findings('the sample knows no other option',  grep { !$table{$_} } sort keys %in_sample);
findings('the manual knows no other option',  grep { !$table{$_} } sort keys %in_manual);

# The command line and meridian(8).
(my $manual = join "\n", lines_of('doc/meridian.8')) =~ s/\\-/-/g;
my %arguments = map { /^  .{3} --([\w-]+)/ ? ($1 => 1) : () } said('--help');
my %described;
$described{$1} = 1 while $manual =~ /^\.B[RI]? .*?--([\w-]+)/mg;
ok(keys %arguments > 5, 'the command line has options');
findings('every option of the command line stands in meridian(8)',
	grep { !$described{$_} } sort keys %arguments);
findings('meridian(8) knows no other', grep { !$arguments{$_} } sort keys %described);

# man(1) has nothing to complain about.
my @complaints;
for my $page (qw(doc/meridian.8 doc/meridian.conf.5)) {
	last if system('command -v groff >/dev/null 2>&1');
	push @complaints, map { "$page: $_" } `groff -man -Tutf8 -ww -z '@{[srcdir()]}/$page' 2>&1`;
}
findings('groff reads the manual pages without a warning', @complaints);
done_testing();
