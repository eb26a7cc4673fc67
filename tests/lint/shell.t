#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Scripts: shellcheck for the shell (where it is installed), a syntax check for Perl and Python.
use strict;
use warnings;
use Meridian::Test::Lint;
use Test::More;

my (%of, %run);
for my $file (source_files(qr{(?:\.(?:sh|pl|pm|t|py)|/[a-z-]+)$})) {
	my ($first) = lines_of($file);
	my $kind = $file =~ /\.p[ml]$|\.t$/ ? 'perl' : $file =~ /\.py$/ ? 'python3' : undef;
	$kind //= ($first // '') =~ m{^#!.*\b(sh|bash|perl|python3)\b} ? $1 : next;
	$kind = 'sh' if $kind eq 'bash';
	push @{ $of{$kind} }, $file;
}

sub check
{
	my ($kind, $command) = @_;
	my @bad;
	for my $file (@{ $of{$kind} || [] }) {
		my $path = srcdir() . "/$file";
		my $said = `$command '$path' 2>&1`;
		push @bad, "$file: $said" if $?;
	}
	return @bad;
}

SKIP: {
	skip 'shellcheck is not installed', 1 unless `shellcheck --version 2>/dev/null`;
	findings('shellcheck has nothing to say', check('sh', 'shellcheck'));
}
findings('Perl compiles', check('perl', "$^X -wc"));
SKIP: {
	skip 'python3 is not installed', 1 unless `python3 --version 2>/dev/null`;
	findings('Python compiles',
		check('python3', q{python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read(), sys.argv[1])'}));
}
done_testing();
