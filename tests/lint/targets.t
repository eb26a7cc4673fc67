#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# What `make bench` asks for holds on any machine: a target is a count, a size, or a ratio to another row of the same
# round, and it is met where the interval of its rounds touches it. doc/performance.md says nothing else.
use strict;
use warnings;
use Meridian::Test::Lint;
use Test::More;

my $top = srcdir();

# What Python says of the module of targets.
sub python
{
	my ($program) = @_;
	local $ENV{PYTHONDONTWRITEBYTECODE} = 1;
	open my $said, '-|', 'python3', '-c', "import sys; sys.path.insert(0, '$top/tests/bench')\n$program" or die "python3: $!";
	chomp(my @lines = <$said>);
	return @lines;
}

my @targets = python(<<'EOT');
from yardstick.targets import TARGETS
from yardstick.works import MEASURES, WORKS
from yardstick.rows import ROWS
for t in TARGETS:
    known = t.work in WORKS and t.row in WORKS[t.work].rows and (not t.beside or t.beside in WORKS[t.work].rows)
    print("|".join([t.what, t.measure, t.beside, "known" if known and t.row in ROWS else "unknown"]))
EOT
ok(@targets > 30, 'there are targets');
is_deeply([ grep { /\|unknown$/ } @targets ], [], 'each names a workload, and rows that take part in it');

my $of_machine = qr/^(?:us|added|tps|rate|mbs|cpu|cpu_gb|p50|p99|p999|login|quiet|alone|beside)$/;
is_deeply([ grep { my (undef, $measure, $beside) = split /\|/; !$beside && $measure =~ $of_machine } @targets ],
	[], 'none is a time or a rate of this machine');

# least, middle and most of the rounds beside a bound of 1 that is not to be exceeded, or to be reached
for my $case (
	[ 'at_most',  '0.8, 0.9, 0.95',  'yes' ],
	[ 'at_most',  '0.9, 0.95, 1.2',  'yes, within what the rounds differ by' ],
	[ 'at_most',  '0.99, 1.1, 1.2',  'yes, within what the rounds differ by' ],
	[ 'at_most',  '1, 1.1, 1.2',     'yes, within what the rounds differ by' ],
	[ 'at_most',  '1.01, 1.1, 1.2',  '**no**' ],
	[ 'at_least', '1.01, 1.1, 1.2',  'yes' ],
	[ 'at_least', '0.8, 0.9, 1',     'yes, within what the rounds differ by' ],
	[ 'at_least', '0.8, 0.9, 0.99',  '**no**' ])
{
	my ($function, $rounds, $verdict) = @$case;
	my ($said) = python(<<"EOT");
from yardstick import targets
target = targets.$function(1, "what", "w", "cpu", beside="other")
found = {("meridian", "w"): [{"cpu": x} for x in ($rounds)], ("other", "w"): [{"cpu": 1}] * 3}
print(targets.judge(target, found)[3])
EOT
	is($said, $verdict, "$function 1, rounds of $rounds: $verdict");
}

my @table = grep { /^\| .* (?:≤|≥) / } lines_of('doc/performance.md');
ok(@table > 30, 'doc/performance.md has a table of targets');
is_deeply([ grep { /[≤≥] [\d.,]+ (?:µs|ms|s|MB\/s)\s/ } @table ], [], 'none of which is a time of this machine');

done_testing();
