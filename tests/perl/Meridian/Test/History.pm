# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::History - whether what sessions have read keeps the guarantees of sessions. Pure.
#
#   my $h = Meridian::Test::History->new(\@operations, homes => ['us-east1', 'europe-west1'],
#       ends => { 'us-east1' => { k1 => 17 } });     # the last version of k1 that a fail-over has left
#   my @wrong = $h->violations;                      # { guarantee, op, key, needs } of each
#   print $h->excerpt($wrong[0]);
#
# An operation is a hash; those of a session stand in the order in which it has said them:
#
#   session       its name
#   begin, end    when it was said, and when its answer had come
#   outcome       ok; fail: it has had no effect; info: whether it has is not known
#   write         { key, value, version, home }: version and home where it is ok. Values are unique. The versions of a
#                 key are 1, 2, …, in the order of its writes, at the home that they were made at
#   read          { key => { value, version, home }, … }, of one snapshot; version 0: as it was in the beginning
#   shows         the name of a token of all that the session has said so far, this included
#   adopts        the name of a token that the session is given
#   told          the session was told that what it has seen was lost; where the outcome is fail, it was refused for that
#   forgets       it has said that it forgets what it has seen
#   near          it is a read that has run at a standby
#   inside        it is a read in a transaction that may write
#   state, ledger { account => balance } and the last transfer in the ledger, where it has read key `bank` (see below)
#   place, how, token, code    where it has run, in which way it was said, …: for the excerpt alone
#
# A session has to see what it has written and read, and all that the writers of that had seen when they wrote it. For
# each session and operation the checker knows the least version of each key that it has to see (its past), exactly:
# a value names its write, and a write its session and what that had seen. The guarantees are named after Terry et al.,
# "Session guarantees for weakly consistent replicated data" (1994):
#
#   read your writes      it has written more           monotonic reads     it has read more
#   monotonic writes      whose write it has read, has written more before that
#   writes follow reads   whose write it has read, had read more before that
#
# "… by a token": it has that from the session whose token it was given. PostgreSQL may show a commit at a standby before it
# does at home, where it has to flush its WAL first, or to wait for synchronous standbys: what was read nearby and was not
# answered to its writer when a read at home began may be missing there. That is counted apart, $h->early. Besides:
#
#   order         two writes of a key have one version, a write does not come behind what its session had seen, or
#                 what is read is not what was written with that version
#   no dirt       what is read was not written by a write that is known, or by one that has had no effect, or was not
#                 written yet
#   nothing is lost in silence      what the session has seen was lost by a fail-over, and it reads what is left without
#                 having been told
#   refused until it forgets        lost_wal = fail: it has read after it was refused (option `strict`: a pattern of names
#                 of sessions)
#   snapshot      balances that are not those behind the transfer that the same SELECT says is the last
package Meridian::Test::History;
use strict;
use warnings;

use List::Util qw(sum);

no warnings 'recursion';

my %handed_on = (
	'read your writes'    => 'monotonic writes',
	'monotonic reads'     => 'writes follow reads',
	'monotonic writes'    => 'writes follow reads',
	'writes follow reads' => 'writes follow reads');

sub new
{
	my ($class, $operations, %opt) = @_;
	my $self = bless { all => $operations, ends => {}, homes => [], %opt, wrong => [], early => [], said => {}, write => {}, shown => {}, at => {} }, $class;
	@{ $self->{rank} }{ @{ $self->{homes} } } = 0 .. $#{ $self->{homes} };
	for my $op (@$operations) {
		my $said = $self->{said}{ $op->{session} } //= [];
		$op->{at} = @$said;
		push @$said, $op;
		$self->{write}{ $op->{write}{value} } = $op if $op->{write};
		$self->{shown}{ $op->{shows} } = $op if defined $op->{shows} && $op->{outcome} eq 'ok';
	}
	return $self;
}

sub violations
{
	my ($self) = @_;
	return @{ $self->{found} } if $self->{found};
	$self->look_at_order($_) for grep { $_->{write} && $_->{outcome} eq 'ok' } @{ $self->{all} };
	$self->past($_, $#{ $self->{said}{$_} }) for sort keys %{ $self->{said} };
	$self->{found} = [ sort { $a->{op}{end} <=> $b->{op}{end} } @{ $self->{wrong} } ];
	return @{ $self->{found} };
}

sub wrong
{
	my ($self, $guarantee, $op, $key, $needs) = @_;
	push @{ $self->{wrong} }, { guarantee => $guarantee, op => $op, key => $key, needs => $needs };
	return;
}

# ---------------------------------------------------------------- versions

sub rank { my ($self, $version) = @_; return $self->{rank}{ $version->{home} // '' } // 0 }

# A fail-over has lost it.
sub is_lost
{
	my ($self, $key, $version) = @_;
	my $end = $self->{ends}{ $version->{home} // '' };
	return defined $end && $version->{version} > ($end->{$key} // 0);
}

sub is_behind
{
	my ($self, $version, $other) = @_;
	return ($self->rank($version) <=> $self->rank($other) || $version->{version} <=> $other->{version}) < 0;
}

# Each version of a key is one write.
sub look_at_order
{
	my ($self, $op) = @_;
	my $w    = $op->{write};
	my $name = join ' ', $w->{key}, $self->rank($w), $w->{version};
	my $has  = $self->{at}{$name} //= $op;
	$self->wrong('order', $op, $w->{key}, { op => $has, version => $has->{write} }) if $has != $op;
	return;
}

# ---------------------------------------------------------------- the past

# A past is { key => { version, guarantee, op, near } }; what was lost stands beside it, by "key lost". `near`: that is known by a
# read nearby, and no read of the key at home has shown it since.
sub add
{
	my ($self, $past, $key, $entry) = @_;
	my $slot = $self->is_lost($key, $entry->{version}) ? "$key lost" : $key;
	$past->{$slot} = $entry if !$past->{$slot} || $self->is_behind($past->{$slot}{version}, $entry->{version});
	return;
}

sub join_past
{
	my ($self, $past, $other, $near, $named) = @_;
	for my $slot (keys %$other) {
		my $entry = $other->{$slot};
		$self->add($past, $slot =~ s/ lost$//r, { %$entry, near => $near || $entry->{near}, guarantee => $named->($entry->{guarantee}) });
	}
	return;
}

# What a session has to see behind its i-th operation. One that is asked for while it is made has been read before it
# was there: it is empty then, and the times say so.
sub past
{
	my ($self, $session, $i) = @_;
	my $pasts = $self->{past}{$session} //= [];
	my $said  = $self->{said}{$session};
	while (@$pasts <= $i) {
		return {} if $self->{making}{$session};
		local $self->{making}{$session} = 1;
		my $past = @$pasts ? { %{ $pasts->[-1] } } : {};
		$self->go_on($past, $said->[@$pasts]);
		push @$pasts, $past;
	}
	return $i < 0 ? {} : $pasts->[$i];
}

sub go_on
{
	my ($self, $past, $op) = @_;
	my $ok = $op->{outcome} eq 'ok';
	%$past = () if $op->{forgets} && $ok;
	$self->adopt($past, $self->{shown}{ $op->{adopts} }) if defined $op->{adopts} && $ok;
	if ($op->{told}) {
		delete @$past{ grep { / lost$/ } keys %$past };
		$past->{' refused'} = { op => $op, version => { version => 0 } } if $op->{outcome} eq 'fail';
	}
	$self->read($past, $op) if $op->{read} && $ok;
	$self->written($past, $op) if $op->{write} && $ok;
	return;
}

sub adopt
{
	my ($self, $past, $shown) = @_;
	die 'a token that no session has shown' if !$shown;
	my $other = { %{ $self->past($shown->{session}, $shown->{at}) } };
	delete $other->{' refused'};
	$self->join_past($past, $other, 0, sub { my ($g) = @_; return $g =~ / by a token$/ ? $g : "$g by a token" });
	return;
}

sub written
{
	my ($self, $past, $op) = @_;
	my $w     = $op->{write};
	my $needs = $past->{ $w->{key} };
	$self->wrong('order', $op, $w->{key}, $needs) if $needs && !$self->is_behind($needs->{version}, $w);
	delete $past->{"$w->{key} lost"};
	$self->add($past, $w->{key}, { version => $w, guarantee => 'read your writes', op => $op });
	return;
}

# What is read has to be what was written, by a write that could be seen. The write, or undef.
sub writer
{
	my ($self, $op, $key) = @_;
	my $got = $op->{read}{$key};
	return undef if $got->{version} == 0;
	my $by = $self->{write}{ $got->{value} };
	if (!$by || $by->{outcome} eq 'fail' || $by->{begin} > $op->{end} || $by->{write}{key} ne $key) {
		$self->wrong('no dirt', $op, $key, $by && { op => $by, version => $by->{write} });
		return undef;
	}
	my $w = $by->{write};
	$self->wrong('order', $op, $key, { op => $by, version => $w })
	  if $by->{outcome} eq 'ok' && ($w->{version} != $got->{version} || $self->rank($w) != $self->rank($got));
	return $by;
}

sub read
{
	my ($self, $past, $op) = @_;
	my $read  = $op->{read};
	my @keys  = sort keys %$read;
	my $needs = {%$past};
	for my $key (@keys) {
		my $by     = $self->writer($op, $key) // next;
		my $before = { %{ $self->past($by->{session}, $by->{at} - 1) } };
		# who reads what was written behind a fail-over has not seen by that what its writer has lost
		delete @$before{ grep { / lost$/ && $self->rank($read->{$key}) > $self->rank($before->{$_}{version}) } keys %$before };
		delete $before->{' refused'};
		$self->join_past($needs, $before, $op->{near}, sub { my ($g) = @_; return $g =~ /^(.*?)( by a token)?$/ ? $handed_on{$1} . ($2 // '') : $g });
	}
	$self->compare($past, $needs, $op, $_) for @keys;
	$self->wrong('refused until it forgets', $op, $keys[0], $past->{' refused'})
	  if $past->{' refused'} && $self->{strict} && $op->{session} =~ $self->{strict} && !$op->{inside};
	for my $slot (keys %$needs) {
		$past->{$slot} = $needs->{$slot} if !exists $read->{ $slot =~ s/ lost$//r };
	}
	for my $key (@keys) {
		# behind a violation goes on what was read, so that each is found once
		delete @$past{ $key, "$key lost" };
		$self->add($past, $key, { version => $read->{$key}, guarantee => 'monotonic reads', op => $op, near => $op->{near} });
	}
	return;
}

# It was shown nearby, and home need not show it yet.
sub is_early
{
	my ($self, $op, $needs) = @_;
	my $by = $self->{write}{ $needs->{version}{value} };
	return $needs->{near} && !$op->{near} && $by && ($by->{outcome} eq 'info' || $by->{end} > $op->{begin});
}

sub early { my ($self) = @_; $self->violations; return @{ $self->{early} } }

sub compare
{
	my ($self, $past, $needs, $op, $key) = @_;
	my $got = $op->{read}{$key};
	for my $n (grep { defined } @$needs{ $key, "$key lost" }) {
		if ($self->is_lost($key, $n->{version}) && !$self->is_lost($key, $got)) {
			$self->wrong('nothing is lost in silence', $op, $key, $n);
		} elsif ($self->is_behind($got, $n->{version})) {
			push @{ $self->{ $self->is_early($op, $n) ? 'early' : 'wrong' } }, { guarantee => $n->{guarantee}, op => $op, key => $key, needs => $n };
		}
	}
	return;
}

# ---------------------------------------------------------------- a bank

# Transfers are writes of the key `bank`, with { from, to, amount } in {transfer}; the version is the place in their order at
# their home. Each read of `bank` that has a {state} has that of all accounts behind the transfer of its version. Returns
# violations.
sub bank_violations
{
	my ($self, $begin) = @_;
	my $states = $self->bank_states($begin);
	my $total  = sum(values %$begin);
	my @wrong;
	for my $op (grep { $_->{state} && $_->{outcome} eq 'ok' } @{ $self->{all} }) {
		my $got   = $op->{read}{bank};
		my $state = $states->[ $self->rank($got) ][ $got->{version} ];
		next if $state && $op->{ledger} == $got->{version} && sum(values %{ $op->{state} }) == $total && !grep { $op->{state}{$_} != $state->{$_} } keys %$begin;
		push @wrong, { guarantee => 'snapshot', op => $op, key => 'bank' };
	}
	return @wrong;
}

# The balances behind each transfer, at each home: a new home goes on from what a fail-over has left.
sub bank_states
{
	my ($self, $begin) = @_;
	my (%at, @all);
	for my $op (grep { $_->{transfer} && $_->{outcome} ne 'fail' && defined $_->{write}{version} } @{ $self->{all} }) {
		$at{ $self->rank($op->{write}) }{ $op->{write}{version} } = $op->{transfer};
	}
	for my $rank (0 .. (@{ $self->{homes} } || 1) - 1) {
		my $left   = $rank ? $self->{ends}{ $self->{homes}[ $rank - 1 ] }{bank} // 0 : 0;
		my @states = $rank ? @{ $all[-1] }[ 0 .. $left ] : ($begin);
		while (my $t = $states[-1] && $at{$rank}{ scalar @states }) {
			my %now = %{ $states[-1] };
			$now{ $t->{from} } -= $t->{amount};
			$now{ $t->{to} }   += $t->{amount};
			push @states, \%now;
		}
		push @all, \@states;
	}
	return \@all;
}

# ---------------------------------------------------------------- in words

sub version_text
{
	my ($v) = @_;
	return 'nothing' unless $v;
	return join ' ', 'version', $v->{version} // '?', defined $v->{value} ? "($v->{value})" : (), defined $v->{home} ? "of $v->{home}" : ();
}

sub op_text
{
	my ($op, $zero) = @_;
	my @what;
	push @what, "writes $op->{write}{key} " . version_text($op->{write}) if $op->{write};
	push @what, map { "reads $_ " . version_text($op->{read}{$_}) } sort keys %{ $op->{read} // {} };
	push @what, "shows token $op->{shows}" if defined $op->{shows};
	push @what, "is given token $op->{adopts}" if defined $op->{adopts};
	push @what, 'forgets what it has seen' if $op->{forgets};
	push @what, 'is told of a loss' if $op->{told};
	push @what, join ' ', map { "$_=$op->{state}{$_}" } sort keys %{ $op->{state} } if $op->{state};
	push @what, map { "$_ $op->{$_}" } grep { defined $op->{$_} } qw(token place how code);
	return sprintf '%9.4f - %9.4f %-12s #%-4s %-4s %s', $op->{begin} - $zero, $op->{end} - $zero, $op->{session}, $op->{at}, $op->{outcome},
	  join ', ', @what;
}

# A violation, what it contradicts, and the last operations of the session up to it.
sub excerpt
{
	my ($self, $v, $most) = @_;
	my $op   = $v->{op};
	my $zero = $self->{all}[0]{begin};
	my @said = @{ $self->{said}{ $op->{session} } }[ 0 .. $op->{at} ];
	splice @said, 0, @said - ($most // 12) if @said > ($most // 12);
	my $needs = $v->{needs};
	return join "\n", "$v->{guarantee}: $op->{session} #$op->{at}, key $v->{key}",
	  $needs ? ('needs ' . version_text($needs->{version}) . ' of', '  ' . op_text($needs->{op}, $zero)) : (),
	  'it has said', (map { '  ' . op_text($_, $zero) } @said), '';
}

# How many operations have overlapped one of another session.
sub overlapping
{
	my ($self) = @_;
	my ($n, %open) = (0);
	my @edges = sort { $a->[0] <=> $b->[0] || $a->[1] <=> $b->[1] } map { ([ $_->{begin}, 1, $_ ], [ $_->{end}, 0, $_ ]) } @{ $self->{all} };
	my %met;
	for my $edge (@edges) {
		my (undef, $begins, $op) = @$edge;
		if (!$begins) { delete $open{$op}; next }
		$_->{session} eq $op->{session} or @met{ $_, $op } = () for values %open;
		$open{$op} = $op;
	}
	return scalar keys %met;
}

1;
