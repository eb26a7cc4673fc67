#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Words and blanks: no reminder without an issue number, no trailing blanks, no CRLF, a newline at
# the end of each file, no path of somebody's machine.
use strict;
use warnings;
use Meridian::Test::Lint;
use Test::More;

my $text = qr{\.(?:[chtly]|pm|pl|py|sh|sql|md|inc|am|ac|conf|txt|in|[1-8]|service|socket|dict|js)$
  |(?:^|/)(?:GNUmakefile|run|demo|bench|packages|bootstrap)$}x;
my $reminder = join '|', map { "$_\\b" } 'TO' . 'DO', 'FIX' . 'ME', 'X' . 'XX';
my $own_path = qr{(?<![\w.\$\}/-])/(?:home|root|work|Users)/\w};

my (@reminders, @blanks, @crlf, @ends, @paths);
for my $file (source_files($text)) {
	open my $in, '<', srcdir() . "/$file" or die "$file: $!";
	my $last = "\n";
	while (my $line = <$in>) {
		push @reminders, "$file:$.: $line" if $line =~ /\b(?:$reminder)/ && $line !~ /#\d+/;
		push @blanks,    "$file:$."        if $line =~ /[ \t]\r?\n?\z/ && $file !~ /\.md$/;
		push @crlf,      "$file:$."        if $line =~ /\r$/;
		push @paths,     "$file:$.: $line" if $line =~ $own_path;
		$last = $line;
	}
	push @ends, $file if $last !~ /\n\z/ && -s $in;
}
findings('no reminder without the number of an issue', @reminders);
findings('no line ends in blanks',                     @blanks);
findings('no file has CRLF line ends',                 @crlf);
findings('every file ends with a newline',             @ends);
findings("no path of somebody's machine",              @paths);

# What a build makes is not committed, and git does not offer to.
SKIP: {
	my $top = srcdir();
	skip 'this is no git work tree', 2 unless -e "$top/.git";
	my $list = "git -c safe.directory='*' -C '$top' ls-files -z";
	my @tracked = split /\0/, `$list 2>/dev/null` // '';
	my @others  = split /\0/, `$list --others --exclude-standard 2>/dev/null` // '';
	skip 'git does not list its files here', 2 unless @tracked;
	findings('no program is committed', grep { is_program("$top/$_") } @tracked);
	findings('.gitignore names each that is built', grep { is_program("$top/$_") } @others);
}

sub is_program
{
	my ($path) = @_;
	open my $in, '<:raw', $path or return 0;
	return 0 unless read $in, my $magic, 4;
	return $magic eq "\x7fELF" || $magic eq "!<ar";
}
done_testing();
