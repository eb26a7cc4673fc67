# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::Twins - sessions of ours beside connections of their own.
#
#   my $twins = Meridian::Test::Twins->new(seed => 7, clients => 3, own => sub { … }, shared => sub { … });
#   my $parted = $twins->play(400);          # undef, or where and how they parted
#
# Each client says the same, at random (Meridian::Test::TwinTalk), on two connections: one that has a server process to itself,
# and one through Meridian, whose server connection others use between its transactions, or which is moved. It is answered before
# the next one speaks, so both databases go through the same, and each answer must be the same to the byte, but for what
# doc/pools.md says is not. The same seed says the same.
#
#   own, shared   log a client in: they get its number and parameters, and return a Meridian::Test::Wire
#   left          optional: gets the number of a client whose connections are closed; waits until its locks are gone
#   acts          optional: what an administrator does meanwhile (Meridian::Test::TwinActs)
#   may           optional: what clients may say, as TwinTalk has it. With `crowd` all clients speak at once
package Meridian::Test::Twins;
use strict;
use warnings;

use Meridian::Test::TwinReader;
use Meridian::Test::TwinTalk;
use Meridian::Test::TwinWords qw(:all);
use Meridian::Test::Wire qw(:build);

my @ways = qw(own shared);

sub new
{
	my ($class, %opt) = @_;
	my $self = bless { %opt, clients => [], script => [] }, $class;
	srand $opt{seed};
	push @{ $self->{clients} }, { number => $_ } for 1 .. $opt{clients};
	$self->connect($_) for @{ $self->{clients} };
	return $self;
}

# What they say first: a server process knows such a name from the first session that has set it.
my $known = "SET my.var = ''; SET other.var = ''";

sub connect
{
	my ($self, $client) = @_;
	my %param = map { my $value = value_of($_); $value =~ s/^'(.*)'$/$1/; $value =~ s/''/'/g; ($_ => $value) }
	  map { maybe(0.3, $_) } maybe(0.5, qw(TimeZone application_name client_encoding DateStyle));
	# RESET in a transaction goes back to what the server's connection began with, and only behind it to what the client's did:
	# who has said something at the beginning does not say that.
	$client->{resets} = !%param;
	$param{options} = '-c work_mem=3MB' if rand() < 0.2;
	$self->leave($client) if $client->{own};
	for my $way (@ways) {
		$client->{$way} = Meridian::Test::TwinReader->new($self->{$way}->($client->{number}, %param));
		$client->{$way}{wire}->ask($known);
	}
	push @{ $self->{script} }, "$client->{number}: connects " . join ' ', %param;
	return undef;
}

# What others could be kept from by what it has must be given back first, on both.
sub leave
{
	my ($self, $client) = @_;
	my $is_polite = rand() < 0.5 || delete $client->{keeps};
	my @last = maybe(0.5, terminate());
	for my $reader (@$client{@ways}) {
		if ($is_polite && !$reader->{closed}) {
			$reader->say($reader->{open} || $reader->{skips} ? sync_message() : (), query('ROLLBACK'), query('SELECT pg_advisory_unlock_all()'));
			$reader->read;
		}
		$reader->wire->send(@last) unless $reader->{closed};
		$reader->wire->close;
	}
	$self->{left}->($client->{number}) if $self->{left} && (!$is_polite || $client->{own}{closed});
	return;
}

# ---------------------------------------------------------------- where they part

sub short { my ($text) = @_; return join "\n", map { length > 400 ? substr($_, 0, 400) . ' … (' . length($_) . ')' : $_ } split /\n/, $text }

sub parted
{
	my ($self, $client, $own, $shared) = @_;
	my @said = @{ $self->{script} };
	@said = grep { /^(?:$client->{number}|\*):/ } @said unless $ENV{TWINS_ALL};
	splice @said, 0, @said - 40 if @said > 40;
	return short(join "\n", "client $client->{number} of seed $self->{seed}, step " . @{ $self->{script} }, @said, '--- own', $own, '--- shared', $shared);
}

# In what they have read, what they were told of settings, and what others have notified them of; undef: nowhere.
sub compare
{
	my ($self, $client) = @_;
	my ($own, $shared) = map { $client->{$_}->heard } @ways;
	return $self->parted($client, $own, $shared) if $own ne $shared;
	for my $name (sort keys %{ $client->{own}{told} }) {
		($own, $shared) = map { $client->{$_}{told}{$name} // 'nothing' } @ways;
		return $self->parted($client, "told $name $own", $shared) if $own ne $shared;
	}
	return $self->connect($client) if $client->{own}{closed};
	return undef unless $client->{own}->is_idle;
	($own, $shared) = map { join "\n", splice @{ $client->{$_}{notified} } } @ways;
	return $self->parted($client, $own, $shared) if $own ne $shared;
	return undef;
}

# ---------------------------------------------------------------- what they say

sub log_turns
{
	my ($self, $client, @turns) = @_;
	my @texts = map { join ' | ', map { substr($_, 0, 1) . ' ' . substr $_, 5 } @$_ } @turns;
	push @{ $self->{script} }, map { tr/\0/ /r } "$client->{number}: " . join ' || ', @texts;
	$client->{keeps} = 1 if $self->{script}[-1] =~ /\b99\b|public\.locked/;
	return;
}

sub turns_of
{
	my ($self, $client) = @_;
	my @turns = Meridian::Test::TwinTalk::says($client->{number}, %{ $self->{may} || {} }, resets => $client->{resets});
	$self->log_turns($client, @turns);
	return @turns;
}

# One after the other on one connection; `said` is called when each was sent.
sub say_turns
{
	my ($reader, $said, @turns) = @_;
	for my $turn (@turns) {
		last if $reader->{closed};
		$reader->say(@$turn);
		$said->() if $said;
		$reader->read;
	}
	return;
}

# Of one that asks nothing: nothing comes of that, for others neither.
sub cancel_nothing
{
	my ($self, $client) = @_;
	# not where a turn of it is open: it might be run already
	return unless $client->{own}{status} eq 'I';
	$client->{$_}{wire}->cancel for @ways;
	push @{ $self->{script} }, "$client->{number}: cancels nothing";
	return;
}

sub act
{
	my ($self, $client) = @_;
	$self->cancel_nothing(one(@{ $self->{clients} })) if rand() < 0.03;
	my $acts = $self->{acts} or return;
	my $is_idle = !grep { !$_->{own}->is_idle } @{ $self->{clients} };
	my @did = $acts->before(client => $client, is_idle => $client->{own}->is_idle, all_idle => $is_idle);
	push @{ $self->{script} }, map { "*: $_" } @did;
	return;
}

# While what a client has said is under way, or just behind it.
sub act_meanwhile
{
	my ($self) = @_;
	my $acts = $self->{acts} or return;
	push @{ $self->{script} }, map { "*: meanwhile $_" } $acts->after;
	return;
}

sub step
{
	my ($self) = @_;
	my $client = one(@{ $self->{clients} });
	return $self->connect($client) if rand() < 0.01;
	$self->act($client);
	my @turns = $self->turns_of($client);
	say_turns($client->{own}, undef, @turns);
	say_turns($client->{shared}, sub { $self->act_meanwhile }, @turns);
	return $self->compare($client);
}

# ---------------------------------------------------------------- all at once

# Turn by turn, each as soon as it has the answers of its last one.
sub crowd_tells
{
	my ($self, %turns) = @_;
	my @busy = grep { $turns{ $_->{number} } } @{ $self->{clients} };
	$_->{shared}->say(@{ shift @{ $turns{ $_->{number} } } }) for @busy;
	$self->act_meanwhile;
	while (1) {
		@busy = grep { !goes_on($_->{shared}, $turns{ $_->{number} }) } @busy;
		return undef unless @busy;
		Meridian::Test::TwinReader::wait_for_any(map { $_->{shared} } @busy) or return 'these wait in vain: ' . join ', ', map { $_->{number} } @busy;
	}
}

# As far as it can; true: to the end.
sub goes_on
{
	my ($reader, $turns) = @_;
	while ($reader->takes) {
		my $turn = shift @$turns or return 1;
		return 1 if $reader->{closed};
		$reader->say(@$turn);
	}
	return 0;
}

sub crowd_step
{
	my ($self) = @_;
	my @clients = @{ $self->{clients} };
	return $self->connect(one(@clients)) if rand() < 0.03;
	$self->act($clients[0]);
	my %turns;
	for my $client (@clients) {
		my @turns = $self->turns_of($client);
		say_turns($client->{own}, undef, @turns);
		$turns{ $client->{number} } = \@turns;
	}
	my $stuck = $self->crowd_tells(%turns);
	return $self->parted($clients[0], '', $stuck) if defined $stuck;
	for my $client (@clients) {
		my $parted = $self->compare($client);
		return $parted if defined $parted;
	}
	return undef;
}

sub play
{
	my ($self, $steps) = @_;
	my $step = $self->{may}{crowd} ? \&crowd_step : \&step;
	for (1 .. $steps) {
		my $parted = eval { $self->$step };
		$parted = $self->parted($self->{clients}[0], '', $@) if $@;
		return $parted if defined $parted;
	}
	$self->leave($_) for @{ $self->{clients} };
	return undef;
}

1;
