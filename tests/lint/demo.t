#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# The demo copies what it runs to a folder of its own, and on a bare machine has no packages but its own: the
# modules that it copies use none of the project's that it does not copy, and none of other packages' when loaded.
use strict;
use warnings;
use Meridian::Test::Lint;
use Test::More;

my ($copied) = join('', lines_of('tests/demo/demo')) =~ m{Meridian/Test/\$_\.pm" \] \} qw\(([\w ]+)\)};
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
done_testing();
