#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# C files are as clang-format 14 writes them (.clang-format): other versions differ in details, so
# with another one, or none, this is skipped.
use strict;
use warnings;
use Meridian::Test::Lint;
use Test::More;

my ($tool) = grep { (`$_ --version 2>/dev/null` // '') =~ /version 14\./ } qw(clang-format-14 clang-format);
plan skip_all => 'clang-format 14 is not installed' unless $tool;

# One call for all: starting the program takes longer than its work on a file.
my @files = source_files(qr/\.[ch]$/);
my $said  = `cd '@{[srcdir()]}' && $tool --dry-run -Werror @files 2>&1`;
my %bad   = map { $_ => 1 } $said =~ /^(\S+?:\d+):\d+: error: /mg;
my @bad   = $? && !%bad ? $said : map { "$_: not formatted" } sort keys %bad;
findings('every C file is formatted (clang-format -i mends it)', @bad);
done_testing();
