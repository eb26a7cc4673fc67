#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# The checker of histories (Meridian::Test::History) by tables: it finds what violates a guarantee of sessions, says which
# one, and finds nothing in what does not.
use strict;
use warnings;
use Meridian::Test::History;
use Test::More;

# A history in lines, in the order in which they are said and answered:
#
#   A w x 1         session A writes key x, which becomes version 1 (value x1; at home `old`: x1!, at `new`)
#   A w? x 2        the same, and whether it has is not known;  A w- x 2: it has had no effect
#   A w~ x 2        answered behind all the others
#   B r x 1 y 0     session B reads x at version 1 and y at version 0, in one snapshot;  B n x 1: nearby
#   B r! x 1        … having been told that what it has seen was lost;  B r- x: refused, as that was lost
#   A show t        A shows token t;  B take t: B is given it;  B forget
#   +A w x 1        said before the line above was answered
sub history
{
	my ($lines) = @_;
	my (@all, $now);
	for (map { s/^\s+//r } grep { /\S/ } split /\n/, $lines) {
		my $together = s/^\+//;
		my ($session, $what, @words) = split;
		my $flag = $what =~ s/([?!~-])$// ? $1 : '';
		my $op   = { session => $session, outcome => $flag eq '?' ? 'info' : $flag eq '-' ? 'fail' : 'ok' };
		$now += 2;
		@$op{qw(begin end)} = ($together ? $now - 2.5 : $now, $flag eq '~' ? 1000 : $now + 1);
		my @versions;
		while ($what =~ /^[wrn]$/ && @words > 1) {
			my ($key, $version) = splice @words, 0, 2;
			my $home = $version =~ s/!$// ? 'new' : 'old';
			push @versions, { key => $key, version => $version, value => "$key$version$home", home => $home };
		}
		if    ($what eq 'w')      { $op->{write} = $versions[0] }
		elsif ($what =~ /^[rn]$/) { @$op{qw(read told near)} = ({ map { $_->{key} => $_ } @versions }, $flag ne '', $what eq 'n') }
		elsif ($what eq 'show')   { $op->{shows}   = $words[0] }
		elsif ($what eq 'take')   { $op->{adopts}  = $words[0] }
		elsif ($what eq 'forget') { $op->{forgets} = 1 }
		else                      { die "what is $what?" }
		push @all, $op;
	}
	return \@all;
}

# "guarantee session#place key" of each violation.
sub found
{
	my ($lines, %opt) = @_;
	my $h = Meridian::Test::History->new(history($lines), homes => [qw(old new)], %opt);
	return join '; ', map { "$_->{guarantee} $_->{op}{session}#$_->{op}{at} $_->{key}" } $h->violations;
}

sub none { my ($name, $lines, %opt) = @_; return is(found($lines, %opt), '', "nothing: $name") }
sub one { my ($name, $want, $lines, %opt) = @_; return is(found($lines, %opt), $want, $name) }

# ---------------------------------------------------------------- one session

none('it reads what it has written', "A w x 1\nA r x 1\nA w x 2\nA r x 2");
none('another reads less', "A w x 1\nB r x 0");
none('another reads less than what was written before that was said', "A w x 1\nA w x 2\nB r x 1\nB r x 2");
one('its own write is missing', 'read your writes A#1 x', "A w x 1\nA r x 0");
one('... behind one that is there', 'read your writes A#2 x', "A w x 1\nA w x 2\nA r x 1");
one('... in a snapshot of several keys', 'read your writes A#2 y', "A w x 1\nA w y 1\nA r x 1 y 0");
one('it reads less than before', 'monotonic reads B#1 x', "A w x 1\nB r x 1\nB r x 0");
one('... each time anew', 'monotonic reads B#1 x; monotonic reads B#3 x', "A w x 1\nB r x 1\nB r x 0\nB r x 1\nB r x 0");
one('... and not again for the same', 'monotonic reads B#1 x', "A w x 1\nB r x 1\nB r x 0\nB r x 0");
none('keys are by themselves, where nobody has seen both', "A w x 1\nB w y 1\nC r x 1 y 0\nD r x 0 y 1");

# ---------------------------------------------------------------- what a writer has seen

one('of two writes of a session the later is read alone', 'monotonic writes B#0 x', "A w x 1\nA w y 1\nB r x 0 y 1");
one('... in two reads', 'monotonic writes B#1 x', "A w x 1\nA w y 1\nB r y 1\nB r x 0");
none('... the earlier alone', "A w x 1\nA w y 1\nB r x 1 y 0");
one('of a write and what it follows, the write is read alone', 'writes follow reads C#0 x', "A w x 1\nB r x 1\nB w y 1\nC r x 0 y 1");
one('... in two reads', 'writes follow reads C#1 x', "A w x 1\nB r x 1\nB w y 1\nC r y 1\nC r x 0");
one('... over three sessions', 'writes follow reads D#0 x', "A w x 1\nB r x 1\nB w y 1\nC r y 1\nC w z 1\nD r x 0 z 1");
none('what the writer reads behind it does not count', "A w x 1\nB w y 1\nB r x 1\nC r x 0 y 1");
one('a write that is not behind what its session has seen', 'order B#1 x', "A w x 2\nB r x 2\nB w x 1");
one('two writes with one version', 'order B#0 x', "A w x 1\nB w x 1\n");

# ---------------------------------------------------------------- a token

one('handed over: a write', 'read your writes by a token B#1 x', "A w x 1\nA show t\nB take t\nB r x 0");
one('... a read', 'monotonic reads by a token C#1 x', "A w x 1\nB r x 1\nB show t\nC take t\nC r x 0");
one('... over two sessions', 'read your writes by a token C#1 x', "A w x 1\nA show t\nB take t\nB show u\nC take u\nC r x 0");
one('... and what follows that', 'monotonic writes by a token C#0 x', "A w x 1\nA show t\nB take t\nB w y 1\nC r x 0 y 1");
none('... what was written behind it does not count', "A w x 1\nA show t\nA w x 2\nB take t\nB r x 1");
none('... nor what a session has forgotten', "A w x 1\nA r x 1\nA forget\nA r x 0");
none('an older one takes nothing back, and adds nothing', "A w x 1\nA show t\nB r x 1\nB take t\nB r x 1");
one('an older one takes nothing back', 'monotonic reads B#3 x', "A show t\nA w x 1\nB r x 1\nB take t\nB r x 1\nB r x 0");

# ---------------------------------------------------------------- writes that are not known, and dirt

none('a write that is not known is read, or not', "A w? x 1\nB r x 0\nC r x 1");
one('... once it is read, always', 'monotonic reads B#1 x', "A w? x 1\nB r x 1\nB r x 0");
none('... and need not be read by its session', "A w? x 1\nA r x 0");
one('... which has seen what it has seen', 'writes follow reads C#0 x', "A w x 1\nB r x 1\nB w? y 1\nC r y 1 x 0");
one('a write that has had no effect', 'no dirt B#0 x', "A w- x 1\nB r x 1");
one('what was not written', 'no dirt B#0 x', 'B r x 1');
one('what is written later', 'no dirt B#0 x', "B r x 1\nA w x 1");
none('what is written meanwhile', "B r x 1\n+A w x 1");

# ---------------------------------------------------------------- shown nearby before it is at home

my $early = "A w~ x 1\nB n x 1\nB r x 0\nB r x 1";
none('a commit is seen nearby, and not yet at home', $early);
is(scalar(() = Meridian::Test::History->new(history($early))->early), 1, '... which is counted');
one('... nor nearby', 'monotonic reads B#1 x', "A w~ x 1\nB n x 1\nB n x 0");
one('... at home', 'monotonic reads B#1 x', "A w~ x 1\nB r x 1\nB r x 0");
one('... when it was answered', 'monotonic reads B#1 x', "A w x 1\nB n x 1\nB r x 0");
none('... of several writes', "A w~ x 1\nA w~ y 1\nB n y 1\nB r x 0");
one('... which was seen at home', 'monotonic reads B#2 x', "A w~ x 1\nB n x 1\nB r x 1\nB r x 0");
none('... which another session has followed', "A w~ x 1\nB n x 1\nB w y 1\nC r x 0 y 1");

# ---------------------------------------------------------------- a fail-over

my %lost = (ends => { old => { x => 1 } });
none('what is not lost is there', "A w x 1\nB r x 1\nA w x 2!\nB r x 2!", %lost);
one('what is lost is not', 'nothing is lost in silence B#1 x', "A w x 1\nA w x 2\nB r x 2\nB r x 1", %lost);
one('... when it has been written since', 'nothing is lost in silence B#1 x', "A w x 1\nA w x 2\nB r x 2\nC w x 2!\nB r x 2!", %lost);
one('... for who has written it', 'nothing is lost in silence A#2 x', "A w x 1\nA w x 2\nA r x 2!\nB w x 2!\n" =~ s/(A r.*\n)(B w.*\n)/$2$1/r, %lost);
none('... which it was told', "A w x 1\nA w x 2\nB w x 2!\nA r! x 2!\nA r x 2!", %lost);
one('... before it was told', 'nothing is lost in silence A#2 x', "A w x 1\nA w x 2\nB w x 2!\nA r x 2!\nA r! x 2!", %lost);
one('... handed over by a token', 'nothing is lost in silence B#1 x', "A w x 1\nA w x 2\nA show t\nC w x 2!\nB take t\nB r x 2!", %lost);
none('who has not seen it need not be told', "A w x 1\nB r x 1\nA w x 2\nC w x 2!\nB r x 2!", %lost);
one('behind a fail-over the guarantees hold', 'read your writes B#1 x', "A w x 1\nB w x 2!\nB r x 1", %lost);
none('what a writer has lost is not lost for who reads it', "A w x 1\nA w x 2\nA w y 1!\nC r y 1! x 1", ends => { old => { x => 1, y => 0 } });
one('a read that has to be refused', 'refused until it forgets A#3 x', "A w x 1\nA w x 2\nA r- x\nA r x 1", %lost, strict => qr/A/);
none('... and is, until it forgets', "A w x 1\nA w x 2\nA r- x\nA forget\nA r x 1", %lost, strict => qr/A/);

# ---------------------------------------------------------------- a bank

# Transfers 1, 2, 3 at the old home, of as much, whether the last has had an effect is not known; a fail-over has lost it, and
# the new home's third is of 5. Reads: version, balances of a and b, the ledger's last, the home.
sub bank
{
	my (@reads) = @_;
	my $now = 10;
	my @all = map { {
		session => 'A', begin => $_, end => $_ + 0.5, outcome => $_ == 3 ? 'info' : 'ok',
		write => { key => 'bank', version => $_, value => "t$_", home => 'old' }, transfer => { from => 'a', to => 'b', amount => $_ } } } 1 .. 3;
	push @all, { session => 'C', begin => 5, end => 6, outcome => 'ok', write => { key => 'bank', version => 3, value => 't3new', home => 'new' },
		transfer => { from => 'a', to => 'b', amount => 5 } };
	push @all, map {
		my ($n, $from, $to, $ledger, $home) = @$_;
		my $read = { version => $n, value => "t$n" . ($home // ''), home => $home // 'old' };
		{ session => 'B', begin => $now++, end => $now, outcome => 'ok', read => { bank => $read }, ledger => $ledger // $n, state => { a => $from, b => $to } }
	} @reads;
	my $h = Meridian::Test::History->new(\@all, homes => [qw(old new)], ends => { old => { bank => 2 } });
	return join '; ', map { "$_->{guarantee} #$_->{op}{at}" } $h->violations, $h->bank_violations({ a => 10, b => 10 });
}
is(bank([ 0, 10, 10 ], [ 1, 9, 11 ], [ 2, 7, 13 ], [ 3, 4, 16 ]), '', 'nothing: each read is behind a transfer');
is(bank([ 2, 7, 11 ]), 'snapshot #0', 'half a transfer');
is(bank([ 2, 9, 11 ]), 'snapshot #0', 'the sum of another transfer');
is(bank([ 2, 7, 13, 1 ]), 'snapshot #0', 'the ledger of another transfer');
is(bank([ 4, 4, 16 ]), 'no dirt #0; snapshot #0', 'a transfer that there was not');
is(bank([ 2, 7, 13 ], [ 1, 9, 11 ]), 'monotonic reads #1', 'behind one that was read');
is(bank([ 2, 7, 13 ], [ 3, 2, 18, 3, 'new' ]), '', 'nothing: the new home goes on from what is left');
is(bank([ 3, 4, 16, 3, 'new' ]), 'snapshot #0', 'what is lost is still in the balances of the new home');
is(bank([ 3, 4, 16 ], [ 3, 2, 18, 3, 'new' ]), 'nothing is lost in silence #1', 'what is lost was read');

# ---------------------------------------------------------------- in words

my $h = Meridian::Test::History->new(history("A w x 1\n+B w y 1\nA r x 1\nA r x 0"), homes => [qw(old new)]);
my ($wrong) = $h->violations;
like($h->excerpt($wrong), qr/^monotonic reads: A #2, key x\nneeds version 1 \(x1old\) of old of\n.* A +#1 .* reads x version 1.*\nit has said\n(?:.*\n){3}/, 'a violation is shown');
unlike($h->excerpt($wrong, 2), qr/it has said\n.*#0/, '... with the last that it has said');
is($h->overlapping, 2, 'two operations have overlapped another');
is(Meridian::Test::History->new(history("A w x 1\nB w y 1"))->overlapping, 0, '... or none');
done_testing();
