#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# What documents name exists: paths, links, sources, functions, structs and invariants. Options and
# commands are compared by options.t and console.t.
use strict;
use warnings;
use Meridian::Test::Lint;
use Test::More;

my $top       = srcdir();
my @documents = grep { $_ ne 'doc/console-session.md' } source_files(qr/\.md$/);
my @folders   = qw(base protocol routing proxy conf doc tests);
my $folder    = join '|', @folders;
my $name      = qr{(?:$folder)/[\w./*-]*};
ok(@documents > 5, 'there are documents');

# A name that stands for several ("cmd_*.c", "fuzz_X.c", "NNN_topic.t") is there when one of them is.
sub is_there
{
	my ($path) = @_;
	(my $glob = $path) =~ s/NNN_topic|_X(?=\.)/*/g;
	return scalar grep { -e } glob "'$top'/$glob" if $glob =~ /[*]/;
	return -e "$top/$path" || -e "$top/$path.c"; # a program that is built from it
}

my (@missing, @files, @functions, @links);
my %source = map { $_ => join "\n", lines_of($_) } source_files(qr/\.[ch]$/);
my $code   = join "\n", values %source;
for my $document (@documents) {
	my $line = 0;
	for my $text (lines_of($document)) {
		$line++;
		my $at = "$document:$line";
		# paths, as code and as links; the map of architecture.md is indented
		while ($text =~ m{(?<![\w./-])($name)}g) {
			(my $path = $1) =~ s/[.\/]+\z//;
			push @missing, "$at: $path" unless is_there($path);
		}
		while ($text =~ m{\]\(([^)#:]+)(?:\#[^)]*)?\)}g) {
			my $from = $document =~ m{^(.*/)} ? $1 : '';
			push @links, "$at: $1" unless -e "$top/$from$1" || -e "$top/$1";
		}
		# bare names of sources: of some folder
		while ($text =~ m{`([\w-]+\.[ch])`}g) {
			my $file = $1;
			push @files, "$at: $file" unless grep { m{/\Q$file\E\z} } keys %source;
		}
		while ($text =~ m{`(\w+)\(\)`}g) {
			push @functions, "$at: $1()" unless $code =~ /\b$1\(/;
		}
		while ($text =~ m{`(?:struct|enum) (\w+)`}g) {
			push @functions, "$at: $1" unless $code =~ /\b(?:struct|enum) $1\b/;
		}
	}
}
findings('every path that a document names exists',     @missing);
findings('every link of a document leads somewhere',    @links);
findings('every source that a document names exists',   @files);
findings('every function and struct it names, as well', @functions);

# INV-7 in a comment is one of doc/invariants.md, and these are numbered without gaps.
my @numbers = map { /^\* INV-(\d+) / ? $1 : () } lines_of('doc/invariants.md');
is_deeply(\@numbers, [ 1 .. @numbers ], 'invariants are numbered in order');
my %known = map { $_ => 1 } @numbers;
my @cited;
for my $file (sort keys %source) {
	push @cited, map { $known{$_} ? () : "$file: INV-$_" } $source{$file} =~ /\bINV-(\d+)/g;
}
findings('every invariant that code cites exists', @cited);

cmp_ok(scalar(lines_of('doc/architecture.md')), '<=', 300, 'architecture.md can be read in one sitting');
done_testing();
