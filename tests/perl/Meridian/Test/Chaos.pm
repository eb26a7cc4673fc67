# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::Chaos - what somebody saw of a session, and that nothing is left of it.
#
#   use Meridian::Test::Chaos;
#
#   my $w = Meridian::Test::Wire->new($proxy);
#   is(outcome($w, database => 'postgres'), 'query 1, goes on', 'logs in, asks, and asks again');
#   my $before = Meridian::Test::Chaos->new($proxy, database => 'good');
#                                                             # nobody is there but a witness of this login
#   …
#   $before->sessions_are_back('after that');                 # as many sessions as before
#   $before->all_is_back('in the end', memory => 64);         # descriptors, and the heap to 64 kB
#   $before->witness_is_well('beside it');
package Meridian::Test::Chaos;
use strict;
use warnings;

use Exporter qw(import);
use Meridian::Test::Measure qw(descriptors measured sanitized);
use Meridian::Test::Patience;
use Meridian::Test::Wire qw(:build);
use Test::More;

our @EXPORT = qw(outcome);

my $endless = 4 * 1024 * 1024;
my ($patience, $pause_until);    # nothing for so long is silence; what there is between two queries

# ---------------------------------------------------------------- what was seen

# Logs in and asks `SELECT 1`, twice where that went well. The words: "login 08006, closed" (the
# SQLSTATE of an ErrorResponse, `-` where it has none), "login request 10", "login closed", "login
# silence", "query 1, goes on", "query 57P01, closed", "query endless"; "query 1, 57P01, closed"
# where the second did not go as the first; "query 1, unasked 1, goes on" where an answer came
# between them. Nothing for `patience` seconds (10) is silence; the second query comes a
# little after the first, and after `pause_until` is true.
sub outcome
{
	my ($w, %param) = @_;
	my $last = delete $param{patience} // 10;
	$pause_until = delete $param{pause_until};
	$patience = 10;
	my $login = login_outcome($w, %param);
	$patience = $last;
	my $said = $login ? "login $login" : 'query ' . two_queries($w);
	$w->abort if $said !~ /closed$/;
	return $said;
}

sub two_queries
{
	my ($w) = @_;
	my $first = query_outcome($w);
	return $first unless $first =~ s/, on$//;
	wait_until($pause_until, 'what is said between two queries') if $pause_until;
	let_pass($pause_until ? 0.4 : 0.1, 'what was said without a question could be passed on');
	my $unasked = query_outcome($w, 1);
	return "$first, $unasked" if $unasked =~ /,/ && $unasked !~ s/, on$//;
	my $second = query_outcome($w) =~ s/, on$//r;
	return join ', ', $first, $unasked eq '-' ? () : "unasked $unasked", $second eq $first ? 'goes on' : $second;
}

sub came
{
	my ($w) = @_;
	return $w->{in} ne '' || $w->wait_for('read', $patience);
}

sub code { return error_fields($_[0])->{C} // '-' }

sub closed_or_silent
{
	my ($w) = @_;
	my $d = deadline($patience, 'the end of the connection');
	while ($w->wait_for('read', $d)) {
		$w->{in} = '';
		return 'closed' if !$w->fill;
	}
	return 'silence';
}

# undef: it is in.
sub login_outcome
{
	my ($w, %param) = @_;
	my @first = map { $_ => $param{$_} // 'postgres' } qw(user database);
	$w->send(startup(@first, map { $_ => $param{$_} } grep { !/^(?:user|database)$/ } sort keys %param));
	while (came($w)) {
		my $m = $w->message or return 'closed';
		return undef if $m->[0] eq 'Z';
		return code($m) . ', ' . closed_or_silent($w) if $m->[0] eq 'E';
		my $kind = $m->[0] eq 'R' ? unpack 'N', $m->[1] : 0;
		return "request $kind" if $kind;
	}
	return 'silence';
}

# What a query is answered with; `unasked`: what has come without one.
sub query_outcome
{
	my ($w, $unasked) = @_;
	my ($bytes, $value) = (0, '-');
	$w->send(query('SELECT 1')) unless $unasked;
	while ($bytes < $endless) {
		return $value if $unasked && $w->silent(0);
		return 'silence' if !came($w);
		my $m = $w->message or return 'closed';
		$bytes += 5 + length $m->[1];
		$value = row_values($m)->[0] if $m->[0] eq 'D';
		return code($m) . ', ' . closed_or_silent($w) if $m->[0] eq 'E' && code($m) =~ /^(?:57P|08|53)/;
		return "$value, on" if $m->[0] eq 'Z';
	}
	return 'endless';
}

# ---------------------------------------------------------------- what is left

sub new
{
	my ($class, $proxy, %login) = @_;
	my $self = bless { proxy => $proxy }, $class;
	$self->{witness} = Meridian::Test::Wire->session($proxy, %login) if %login;
	$self->{console} = Meridian::Test::Wire->new(path => $proxy->socket_path);
	$self->{console}->login(database => 'meridian', user => (getpwuid $>)[0]);
	$self->{sessions}    = $self->count('SHOW SESSIONS FULL');
	$self->{descriptors} = $self->least_descriptors;
	return $self;
}

sub rows
{
	my ($self, $sql) = @_;
	$self->{console}->send(query($sql));
	return map { row_values($_) } grep { $_->[0] eq 'D' } $self->{console}->until('Z');
}

sub count { my ($self, $sql) = @_; return scalar($self->rows($sql)) }

# But for those of the pools' server connections, which may stay.
sub own_descriptors
{
	my ($self) = @_;
	return descriptors($self->{proxy}->pid) - $self->count('SHOW SERVERS');
}

# A probe's connection comes and goes.
sub least_descriptors
{
	my ($self) = @_;
	my $least = $self->own_descriptors;
	for (1 .. 20) {
		let_pass(0.02, 'a probe could end');
		my $n = $self->own_descriptors;
		$least = $n if $n < $least;
	}
	return $least;
}

sub heap_kb
{
	my ($self) = @_;
	my ($used) = grep { $_->[0] eq 'heap_used' } $self->rows('SHOW MEMORY');
	return $used->[1] / 1024;
}

sub sessions_are_back
{
	my ($self, $when) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $n;
	return 1 if wait_until(sub { ($n = $self->count('SHOW SESSIONS FULL')) == $self->{sessions} });
	return is($n, $self->{sessions}, "sessions are gone $when");
}

sub witness_is_well
{
	my ($self, $when) = @_;
	return 1 unless $self->{witness};
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is($self->{witness}->ask('SELECT 1'), 1, "a session that was there is well $when");
}

# memory => kB that the heap may have grown by since the last time (none is said the first time).
sub all_is_back
{
	my ($self, $when, %opt) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$self->sessions_are_back($when);
	my $n;
	wait_until(sub { ($n = $self->own_descriptors) <= $self->{descriptors} }, 'descriptors to be back', 70);
	is($n, $self->{descriptors}, "descriptors are back $when");
	my $limit = defined $opt{memory} && defined $self->{heap} && !sanitized() ? $self->{heap} + $opt{memory} : undef;
	my $heap;
	wait_until(sub { ($heap = $self->heap_kb) < ($limit // 1e9) });
	measured('heap %s: %.0f kB', $when, $heap);
	cmp_ok($heap, '<', $limit, "the heap has not grown $when") if defined $limit;
	$self->{heap} = $heap;
	$self->witness_is_well($when);
	return;
}

1;
