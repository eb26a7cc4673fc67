#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# The tables of console commands and the manual page say the same: the command part of
# doc/meridian-console.7 is compared whole.
use strict;
use warnings;
use Meridian::Test::Lint;
use Test::More;

my $program = $ENV{MERIDIAN} || builddir() . '/meridian';
plan skip_all => "$program is not built" unless -x $program;

my @dumped = `'$program' --dump-commands 2>&1`;
chomp @dumped;
is($?, 0, '--dump-commands answers');
my @page = lines_of('doc/meridian-console.7');
my ($begin) = grep { $page[$_] =~ /^\.\\" commands: begin/ } 0 .. $#page;
my ($end)   = grep { $page[$_] =~ /^\.\\" commands: end/ } 0 .. $#page;
ok(defined $begin && defined $end && $begin < $end, 'the page has its two marks');

my @part = @page[ $begin + 1 .. $end - 1 ];
my @differences;
for my $n (0 .. ($#part > $#dumped ? $#part : $#dumped)) {
	my ($is, $should) = ($part[$n] // '(end)', $dumped[$n] // '(end)');
	next if $is eq $should;
	@differences = 'doc/meridian-console.7, line ' . ($begin + 2 + $n)
	  . ": \"$is\", the tables say \"$should\" (make update-config)";
	last;
}
findings('meridian-console(7) is what the tables say', @differences);

# What the rest of the page speaks of exists.
my %commands = map { /^\\fB([^\\]+)\\fR/ ? ($1 => 1) : () } @dumped;
ok(keys %commands > 25, 'the tables have commands');
my @unknown;
for my $line (@page[ $end + 1 .. $#page ]) {
	next unless $line =~ /^(?:\.BR? "?)?((?:SHOW|EXPLAIN|DRAIN|OVERRIDE) [A-Z ]+[A-Z])\b/;
	push @unknown, $1 unless grep { index($1, $_) == 0 } keys %commands;
}
findings('the page speaks of no other command', @unknown);

my @complaints;
@complaints = `groff -man -Tutf8 -ww -z '@{[srcdir()]}/doc/meridian-console.7' 2>&1`
  unless system('command -v groff >/dev/null 2>&1');
findings('groff reads the page without a warning', @complaints);
done_testing();
