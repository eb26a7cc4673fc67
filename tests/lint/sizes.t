#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# A function has at most 100 lines, a .c file 1000, a header 250. What is longer stands in
# tests/lint/exceptions.txt with its present length, which may only shrink:
#
#   file lines            file:function lines
use strict;
use warnings;
use Meridian::Test::Lint;
use Test::More;

my %limit = (c => 1000, h => 250);
my $function_limit = 100;

my %allowed;
for (lines_of('tests/lint/exceptions.txt')) {
	next if /^\s*(?:#|$)/;
	my ($what, $lines) = /^(\S+)\s+(\d+)$/ or die "exceptions.txt: cannot read '$_'";
	$allowed{$what} = $lines;
}

my (@files, @functions, %used);
for my $file (source_files(qr/\.[ch]$/)) {
	my @lines = lines_of($file);
	my ($kind) = $file =~ /\.([ch])$/;
	measure(\@files, $file, scalar @lines, $limit{$kind});
	my ($name, $start);
	for my $n (0 .. $#lines) {
		# The return type stands on its own line, so a definition begins in column one.
		if ($lines[$n] =~ /^(\w+)\(/) {
			($name, $start) = ($1, $n);
		} elsif ($lines[$n] =~ /^\}/ && defined $name) {
			measure(\@functions, "$file:$name", $n - $start + 1, $function_limit);
			undef $name;
		} elsif ($lines[$n] =~ /^\S.*;\s*$/) {
			undef $name;    # a declaration
		}
	}
}

sub measure
{
	my ($findings, $what, $lines, $limit) = @_;
	my $allowed = $allowed{$what};
	$used{$what} = 1;
	return if !defined $allowed && $lines <= $limit;
	if (!defined $allowed) {
		push @$findings, "$what has $lines lines, the limit is $limit";
	} elsif ($lines > $allowed) {
		push @$findings, "$what has grown to $lines lines, exceptions.txt allows $allowed";
	} elsif ($lines < $allowed) {
		push @$findings, "$what has shrunk to $lines lines: write that into exceptions.txt"
		  . ($lines <= $limit ? ' (or rather remove it)' : '');
	}
	return;
}

findings('no file is longer than allowed',     @files);
findings('no function is longer than allowed', @functions);
findings('no exception is left over', grep { !$used{$_} } sort keys %allowed);
done_testing();
