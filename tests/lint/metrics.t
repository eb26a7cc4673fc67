#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# The table of metrics and doc/metrics.md say the same, and the names keep Prometheus' rules.
use strict;
use warnings;
use Meridian::Test::Lint;
use Test::More;

my $program = $ENV{MERIDIAN} || builddir() . '/meridian';
plan skip_all => "$program is not built" unless -x $program;

my @dumped = `'$program' --dump-metrics 2>&1`;
chomp @dumped;
is($?, 0, '--dump-metrics answers');
my @page = lines_of('doc/metrics.md');
my ($begin) = grep { $page[$_] =~ /^<!-- metrics: begin/ } 0 .. $#page;
my ($end)   = grep { $page[$_] =~ /^<!-- metrics: end/ } 0 .. $#page;
ok(defined $begin && defined $end && $begin < $end, 'doc/metrics.md has its two marks');
is_deeply([ @page[ $begin + 1 .. $end - 1 ] ], \@dumped,
	'what stands between them is the table (make update-config)');

my (%seen, @bad);
for my $line (@dumped[ 2 .. $#dumped ]) {
	my ($name, $type, $labels, $help) = $line =~ /^\| `(\w+)` \| (\w+) \| ([\w, ]*) \| (.+) \|$/;
	if (!defined $name) { push @bad, "not a row: $line"; next }
	push @bad, "$name: twice" if $seen{$name}++;
	push @bad, "$name: does not begin with meridian_ or process_"
	  if $name !~ /^(?:meridian|process)_[a-z0-9_]+$/;
	push @bad, "$name: _total is for counters, and for all of them"
	  if ($name =~ /_total$/) != ($type eq 'counter');
	push @bad, "$name: the suffix belongs to histograms" if $name =~ /_(?:count|sum|bucket|created)$/;
	push @bad, "$name: a histogram without its unit" if $type eq 'histogram' && $name !~ /_seconds$/;
	push @bad, "$name: a full stop, or no words" if $help =~ /\.$/ || $help !~ / /;
	push @bad, "$name: a column ends in the text" if $help =~ /\|/;
}
cmp_ok(keys %seen, '>', 40, 'there are metrics');
findings('names and words of metrics are right', @bad);

# Examples in the document are of metrics that exist.
my @unknown;
for my $n (0 .. $#page) {
	next if $n > $begin && $n < $end;
	while ($page[$n] =~ /\b((?:meridian|process)_[a-z_]+)/g) {
		(my $name = $1) =~ s/_bucket$//;
		push @unknown, 'doc/metrics.md:' . ($n + 1) . ": $name" unless $seen{$name};
	}
}
findings('the document speaks of no other metric', @unknown);
done_testing();
