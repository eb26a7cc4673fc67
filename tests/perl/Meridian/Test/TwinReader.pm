# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::TwinReader - one connection of a twin: what was said on it, what is to come for that, and what has come.
#
#   my $reader = Meridian::Test::TwinReader->new($wire);      # that has logged in
#   $reader->say(query('BEGIN'), …);                          # a turn: its messages
#   $reader->read;                                            # until all is there that this turn asks for
#   until ($reader->takes) { … }                              # the same for who has several to read, with wait_for_any()
#   print $reader->heard;                                     # all that has come since it was asked for that, a line each
#   $reader->{told}, $reader->{notified}                      # what it is told of settings; notifications of others
#
# What answers a message is known by what the protocol says of it: of a message of an extended query its own answer, or an error
# behind which all is skipped up to Sync; of Query, FunctionCall and Sync a ReadyForQuery; of the end of a COPY what is due for
# that. A turn that ends in none of these nor in Flush waits for nothing. A warning "sleeps" is answered by a CancelRequest.
package Meridian::Test::TwinReader;
use strict;
use warnings;

use Meridian::Test::Patience;
use Meridian::Test::Wire qw(:build);
use Socket               qw(MSG_DONTWAIT MSG_NOSIGNAL);

# Of an extended query: what ends the answer of each.
my %ends = (P => '1', B => '2', C => '3', D => 'Tn', E => 'CIs');

sub new
{
	my ($class, $wire) = @_;
	my %none = (notified => [], owed => [], heard => [], skips => 0, copies => '', open => 0, out => '', status => 'I');
	return bless { wire => $wire, told => { %{ $wire->{parameters} } }, %none }, $class;
}

sub wire { return $_[0]{wire} }

sub heard
{
	my ($self) = @_;
	my $all = join "\n", @{ $self->{heard} };
	$self->{heard} = [];
	return $all;
}

# It stands between two statements, outside of a transaction.
sub is_idle { my ($self) = @_; return $self->{status} eq 'I' && !$self->{open} && !$self->{skips} }

sub say
{
	my ($self, @said) = @_;
	my $types = join '', map { substr $_, 0, 1 } @said;
	push @{ $self->{owed} }, split //, $types;
	$self->{open} = 0 if $types =~ s/.*[SQF]//;
	$self->{open} = 1 if $types =~ /[PBDEC]/;
	$self->{waits} = $self->{owed}[-1] =~ /[HSQFcf]/;
	my $bytes = join '', @said;
	my $cut = length($bytes) % 8 == 5 ? length($bytes) / 3 : 0; # now and then in two parts
	for my $part ($cut ? substr $bytes, 0, $cut, '' : (), $bytes) {
		$self->{out} .= $part;
		$self->flush;
	}
	return;
}

# As much as the other side takes.
sub flush
{
	my ($self) = @_;
	my $n = send $self->{wire}{fd}, $self->{out}, MSG_DONTWAIT | MSG_NOSIGNAL;
	# who is gone is seen when it is read
	$self->{out} = defined $n ? substr $self->{out}, $n : $!{EAGAIN} || $!{EINTR} ? $self->{out} : '';
	return;
}

# What was said and has no answer, in front of the first that has: undef where there is none.
sub next_owed
{
	my ($self) = @_;
	my $owed = $self->{owed};
	while (@$owed) {
		my $type = $owed->[0];
		my $answered = $self->{copies} ? $type =~ /[cf]/ : $self->{skips} ? $type eq 'S' : $type !~ /[Hdcf]/;
		return $type if $answered;
		shift @$owed;
	}
	return undef;
}

sub is_answered
{
	my ($self, $type, $by) = @_;
	if ($by eq 'G') {
		$self->{copies} = $type;
		return 1;
	}
	if ($by eq 'Z') {
		@$self{qw(skips copies)} = (0, '');
		return $type =~ /[SQFcf]/;
	}
	my $of = $self->{copies} ? $self->{copies} : $type;
	my $ends = $ends{$of} or return 0;
	if ($by eq 'E') {
		@$self{qw(skips copies)} = (1, '');
		return 1;
	}
	return 0 unless index($ends, $by) >= 0;
	$self->{copies} = '';
	return 1;
}

# What of it is there is taken; true: that is all, or the other side has closed.
sub takes
{
	my ($self) = @_;
	while (!$self->{closed}) {
		my $owed = $self->next_owed;
		return 1 unless defined $owed && $self->{waits};
		my $message = $self->{wire}->whole_message or return 0;
		my ($type) = @$message;
		$self->hear($message);
		shift @{ $self->{owed} } if $self->is_answered($owed, $type);
	}
	return 1;
}

sub read
{
	my ($self) = @_;
	until ($self->takes) {
		wait_for_any($self) or die 'nothing comes';
	}
	return;
}

# Until one of these has sent or read more; false: that takes too long.
sub wait_for_any
{
	my (@readers) = @_;
	my ($in, $out) = ('', '');
	for my $reader (@readers) {
		vec($in, fileno $reader->{wire}{fd}, 1) = 1;
		vec($out, fileno $reader->{wire}{fd}, 1) = 1 if length $reader->{out};
	}
	my $d = deadline($readers[0]{wire}{seconds}, 'one of the twins');
	my ($can_read, $can_write);
	until (select($can_read = $in, $can_write = $out, undef, $d->left) > 0) { return 0 if $d->over }
	for my $reader (@readers) {
		$reader->flush if vec $can_write, fileno $reader->{wire}{fd}, 1;
		$reader->fill if vec $can_read, fileno $reader->{wire}{fd}, 1;
	}
	return 1;
}

sub fill
{
	my ($self) = @_;
	return if $self->{wire}->fill;
	$self->{closed} = 1;
	push @{ $self->{heard} }, 'closed';
	return;
}

# ---------------------------------------------------------------- what comes, as text

sub described
{
	my ($message) = @_;
	my ($n, $rest) = unpack 'n a*', $message->[1];
	my @columns;
	for (1 .. $n) {
		(my $name, my $type, my $form, $rest) = $rest =~ /^([^\0]*)\0.{6}(.{4})(.{8})(.*)$/s or return 'odd';
		$type = unpack 'N', $type;
		push @columns, "$name:" . ($type < 16384 ? $type : 'own') . ':' . unpack 'H*', $form;
	}
	return join ',', @columns;
}

# Without what is another process's; ParameterStatus and notifications that others have made are kept apart, for they come when they come.
sub hear
{
	my ($self, $message) = @_;
	my ($type, $body) = @$message;
	my $text = "$type $body";
	if ($type eq 'S') {
		my ($name, $value) = parameter($message);
		$self->{told}{$name} = $value;
		return;
	}
	if ($type eq 'A') {
		$text = 'A ' . substr $body, 4;
		return push @{ $self->{notified} }, readable($text) if $text =~ /^A everybody/;
	}
	$self->{status} = $body if $type eq 'Z';
	$text = 'T ' . described($message) if $type eq 'T';
	$text = "$type " . join ',', map { $_ // 'null' } row_values($message)->@* if $type eq 'D';
	if ($type =~ /[EN]/) {
		my $fields = error_fields($message);
		$text = failed($type, $fields);
		$self->{wire}->cancel if $fields->{M} eq 'sleeps';
	}
	push @{ $self->{heard} }, readable($text);
	return;
}

sub failed
{
	my ($type, $fields) = @_;
	my $short = "$type $fields->{C} $fields->{M}";
	# whether the server process has ever had one
	return "$type it$1" if $short =~ /(?:schema "pg_temp"|table "u")( does not exist, skipping)/;
	return "$type no pg_temp.f" if $short =~ /42883 function pg_temp.f\(\) does not exist|3F000 schema "pg_temp" does not exist/;
	# that is our name of it, and our way to say it
	return $short if $short =~ s/prepared statement "[^"]*"/prepared statement/;
	return "$type " . join ' ', map { "$_=$fields->{$_}" } grep { !/[FLRW]/ } sort keys %$fields; # not where it is in the source, or was when it was cancelled
}

sub readable
{
	my ($text) = @_;
	$text =~ s/pg_temp_\d+/pg_temp/g;
	$text =~ tr/\0/ /;
	return $text;
}

1;
