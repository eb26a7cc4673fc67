#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Every file of the repository is in the tarball (EXTRA_DIST and the lists of sources), but for those
# that only a clone has a use for. Found here in a second, by `make distcheck` in minutes or never.
use strict;
use warnings;
use Meridian::Test::Lint;
use Test::More;

my %only_in_a_clone = map { $_ => 1 }
  qw(.ci/run .gitignore GNUmakefile tests/packages.txt tests/tools/bootstrap tests/tools/packages);

my ($top, $build) = (srcdir(), builddir());
plan skip_all => 'this is no git work tree' unless -e "$top/.git";
my @tracked = split /\0/, `git -c safe.directory='*' -C '$top' ls-files -z 2>/dev/null` // '';
plan skip_all => 'git does not list its files here' unless @tracked;

# make itself says what it would pack; as a part of another make it would wait for that one's tokens.
delete local @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL MAKEFILES)};
my $said = `make -s -C '$build' -f Makefile --no-print-directory \\
	--eval='tell-dist: ; \@echo dist: \$(srcdir) \$(DISTFILES)' tell-dist 2>&1`;
my ($words) = $said =~ /^dist: (.*)/m;
ok($words, 'make lists the files of the tarball') or diag($said);
my ($prefix, @names) = split ' ', $words // '.';
my %packed = map { s{^\Q$prefix\E/}{}r => 1 } @names;

my @lost = grep { !$packed{$_} && !$only_in_a_clone{$_} && !grep { $packed{$_} } folders_of($_) } @tracked;
findings('every file is in the tarball (EXTRA_DIST in a Makefile.inc)', @lost);
findings('what only a clone needs is not', grep { $packed{$_} } sort keys %only_in_a_clone);
done_testing();

# The folders that a file is in, the whole of which may be listed.
sub folders_of
{
	my ($name) = @_;
	my @found;
	push @found, $name while $name =~ s{/[^/]+$}{};
	return @found;
}
