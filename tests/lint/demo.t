#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# The demo copies what it runs to a folder of its own, and on a bare machine has no packages but its own: the
# modules that it copies use none of the project's that it does not copy, and none of other packages' when loaded;
# what it copies of the build, `make demo` builds, and what it runs of PostgreSQL is in its packages. README.md shows
# what it prints.
use strict;
use warnings;
use Meridian::Test::Lint;
use Test::More;

my $demo = join "\n", lines_of('tests/demo/demo');
my ($copied) = $demo =~ m{Meridian/Test/\$_\.pm" \] \} qw\(([\w ]+)\)};
my %copied = map { $_ => 1 } split ' ', $copied // '';
ok($copied{Wire}, 'the demo says which modules it copies');

my (@missing, @foreign);
for my $module (sort keys %copied) {
	for (lines_of("tests/perl/Meridian/Test/$module.pm")) {
		push @missing, "$module uses $1" if /^use Meridian::Test::(\w+)/ && !$copied{$1};
		push @foreign, "$module uses $1" if /^use (IPC::Run|PostgreSQL::)/;
	}
}
findings('the demo copies every module that those use', @missing);
findings('they load without the packages of the tests',  @foreign);

my %built = map { $_ => 1 } map { s/\$\(sbin_PROGRAMS\)/meridian/r } map { split } map { /^demo: (.*)/ ? $1 : () } lines_of('tests/Makefile.inc');
my @needed = $demo =~ m{"\$opt\{builddir\}/([^"]+)"}g;
cmp_ok(@needed, '>=', 3, 'the demo says what it copies of the build');
findings('make demo builds that', grep { !$built{$_} } @needed);

my %package_of = (initdb => 'postgresql', pg_ctl => 'postgresql', psql => 'postgresql-client', pg_basebackup => 'postgresql-client');
my %packages   = map { /^demo\s+(\S+)/ ? map { $_ => 1 } split /\|/, $1 : () } lines_of('tests/packages.txt');
my @runs       = $demo =~ /(?:run_quietly\([^,]+, |my \@psql = \(|exec )'(\w+)'/g;
ok((grep { $_ eq 'pg_basebackup' } @runs), 'the demo says which programs it runs');
findings('they are in its packages', grep { $_ ne 'setpriv' && !$packages{ $package_of{$_} // '' } } @runs);

my ($heads) = $demo =~ /^my \@of_reads = \((.*)\);$/m;
my $heading = join '\s+', map { quotemeta } ($heads // '') =~ /'([^']+)'/g;
ok((grep { /^\s+$heading$/ } lines_of('README.md')), 'README.md shows its table of reads');
done_testing();
