#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Time in the tests is Meridian::Test::Patience's: no other file sleeps, compares clocks or names seconds. Where a
# configured time-out is the subject of a test, the line that names it says so and why, as a comment at
# its end or on the line above:
#
#   $proxy->reload(set => { query_timeout => '1s' });    # time: query_timeout ends the query
#
# A cadence (how often something is done: an interval, a pause between two attempts) is no limit, and
# pg_sleep() of a server is work. PATIENCE_LINT=list prints what is found, marked or not.
use strict;
use warnings;
use Meridian::Test::Lint;
use Test::More;

my $owner  = qr{/Patience\.pm$};
my $number = qr{\d+(?:\.\d+)?};
my $length = qr{$number \s* (?:ms|s|sec|min|h|minutes?|seconds?|hours?)}x;

# What is a cadence is taken out of a line before it is looked at.
my $cadence = qr{\b[\w.]*(?:interval|retry|retry_wait|backoff)\w* \s* (?:=>|=) \s* ['"]? \s* $length ['"]?}x;

my %rule = (
	'sleeps'   => qr{(?<![\w%'.\$@])u?sleep\b (?! \s* (?:=>|,|'|\)) ) | \bselect\b \s* \(? \s* undef \s*, \s* undef \s*, \s* undef\b
		| \b(?:time|asyncio|Thread)\.sleep\b}x,
	'has an alarm'          => qr{\balarm\b \s* (?:\d|\$|\(|[A-Z])}x,
	'compares clocks'       => qr{(?<![\w>:\$'-])time\b \s+ (?:[-+<>]=?) \s* (?:\w|\$|\(|\.) | (?:[-+<>]=?) \s* \btime\b (?! \s* (?:=>|'|\w) )}x,
	'names a limit'         => qr{(?<!deadline\(\$)\b(?:timeout|seconds)\b \s* (?:=>|//|\|\||\() \s* $number | \b(?:IPC::Run::)?(?:timeout|timer) \s* \(
		| \bpassed\(\$\w+\) \s* (?:, \s* '<=?' \s* , | <=?) \s* $number \s* (?:,|\)|;)}x,
	'names a time'          => qr{(?: (?:=>|=) \s* ['"]? | \b(?:DEADLINE|FOR) \s+ ['"] ) \s* $length \b}x,
	'names how long it is silent' => qr{\bsilent\( \s* (?!0\)) (?:$number | \$slow)}x,
	'knows the unit'        => qr{MERIDIAN_TEST_SLOW | \bMERIDIAN_PATIENCE\b | \bProxy::slow\b}x,
);

# A comment, but for one inside a text.
sub code_of
{
	my ($line) = @_;
	return $line =~ /^\s*#/ ? '' : $line =~ s/\s{2,}# .*$|(?<=[;{},)])\s+# .*$//r;
}

my (@bare, @marked);
for my $file (grep { $_ !~ $owner } source_files(qr{^tests/(?:t|perl)/.*\.(?:t|pm)$})) {
	my ($n, $above) = (0, '');
	for my $line (lines_of($file)) {
		$n++;
		my $code = code_of($line) =~ s/$cadence//gr;
		next if $code =~ /^use Time::HiRes/;
		my @why = grep { $code =~ $rule{$_} } sort keys %rule;
		my $marked = "$above\n$line" =~ m{(?:#|//|--|\() ?time: \S+ \S+};
		push @{ $marked ? \@marked : \@bare }, "$file:$n: $why[0]: " . $line =~ s/^\s+//r if @why;
		$above = $line =~ /^\s*#/ ? $line : '';
	}
}
if (($ENV{PATIENCE_LINT} // '') eq 'list') {
	print map { "$_\n" } @bare, '', @marked;
}
findings('time is left to Meridian::Test::Patience', @bare);
note(scalar(@marked) . ' lines name a time that is the subject of their test');
done_testing();
