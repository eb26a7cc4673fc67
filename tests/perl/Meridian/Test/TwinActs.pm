# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::TwinActs - what an administrator does between what clients of Meridian::Test::Twins say, and they must not notice.
#
#   my $acts = Meridian::Test::TwinActs->new(proxy => $proxy, database => 'transaction', user => sub { "app$_[0]" },
#       regions => [ 'us-east1', 'us-west1' ], moves => 0.2, others => 0.05);
#   print $acts->before(client => …, is_idle => 1, all_idle => 0);   # what was done, if anything
#   print $acts->after;                                              # RESUME, where that was PAUSE; or what does not wait
#   $acts->calm;                                                     # all as it was
#       shares => 1,                                             # where several clients have one connection
#       direct => $wire,                                         # a superuser's, at the server itself
#       west => $delay);                                         # Meridian::Test::Delay in front of the other region
#
# `moves` and `others` say how often: REHOME of the client that is about to speak, and PAUSE, RECONNECT, DRAIN, RELOAD and options.
package Meridian::Test::TwinActs;
use strict;
use warnings;

use Meridian::Test::Patience;
use Meridian::Test::TwinWords qw(one);
use Meridian::Test::Wire qw(:build);

sub new
{
	my ($class, %opt) = @_;
	my $self = bless { %opt, did => {}, waits => $opt{user}->(1) eq $opt{user}->(2) }, $class;
	$self->{$_} = console($opt{proxy}) for qw(console second);
	return $self;
}

sub console
{
	my ($proxy) = @_;
	my $wire = Meridian::Test::Wire->new(path => $proxy->socket_path);
	$wire->login(database => 'meridian', user => scalar getpwuid $<);
	return $wire;
}

# Rows as hashes, or the error.
sub answer
{
	my ($wire) = @_;
	my (@names, @rows);
	for ($wire->until('Z')) {
		return error_fields($_)->{M} if $_->[0] eq 'E';
		@names = map { s/\0.*//sr } unpack '(Z*x18)*', substr $_->[1], 2 if $_->[0] eq 'T';
		next unless $_->[0] eq 'D';
		my %row;
		@row{@names} = row_values($_)->@*;
		push @rows, \%row;
	}
	return \@rows;
}

sub ask
{
	my ($self, $command, $wire) = @_;
	$wire //= $self->{console};
	$wire->send(query($command));
	return eval { answer($wire) } // die "$command: $@";
}

# ---------------------------------------------------------------- each act

# The client's session; where several clients have one user, any one's. One that is in a transaction comes to its end first: what is
# said of it is read then.
sub rehome
{
	my ($self, $client) = @_;
	my $user = $self->{user}->($client->{number});
	my @sessions = grep { $_->{user} eq $user } @{ $self->ask("SHOW SESSIONS FULL DATABASE $self->{database}") };
	my $session = one(@sessions) or return 'no session';
	my ($east, $west) = @{ $self->{regions} };
	my $region = $session->{home} eq $west ? $east : $west;
	$self->{console}->send(query("REHOME SESSION $session->{id} TO REGION $region"));
	$self->{moving} = $client;
	return "REHOME TO $region: " . ($self->{waits} || rand() < 0.5 ? $self->rehomed : 'goes on');
}

sub rehomed
{
	my ($self) = @_;
	delete $self->{moving};
	my $said = answer($self->{console});
	$self->{did}{rehome}++ if ref $said;
	return ref $said ? 'moved' : $said;
}

# Answered or not, it is in force when what the client says next arrives.
sub pause
{
	my ($self) = @_;
	$self->{paused} = 1;
	$self->{console}->send(query(one('PAUSE', "PAUSE DATABASE $self->{database}")));
	my $d = deadline($self->{second}{seconds}, 'PAUSE to be there');
	until (@{ $self->ask('SHOW PAUSES', $self->{second}) }) { die $d->text unless $d->goes_on }
	return 'PAUSE';
}

# What may be done while a client's messages are on their way; what has come of it.
sub after
{
	my ($self) = @_;
	return $self->resume if $self->{paused};
	return () if $self->{moving} || rand() >= $self->{others} / 2;
	return $self->act(one(qw(reconnect drain option reload))); # a server process may be lent in the moment in which it ends
}

sub resume
{
	my ($self) = @_;
	delete $self->{paused};
	$self->ask('RESUME', $self->{second});
	my $said = answer($self->{console});
	$self->{did}{ ref $said ? 'paused' : 'not paused' }++;
	return ();
}

sub drain
{
	my ($self) = @_;
	my $region = delete $self->{drained};
	return $self->ask("UNDRAIN REGION $region") && "UNDRAIN $region" if $region;
	$self->{drained} = $region = one(@{ $self->{regions} });
	$self->ask("DRAIN REGION $region");
	return "DRAIN $region";
}

# Server processes of pools that nobody has end.
sub kill_idle
{
	my ($self) = @_;
	my @idle = map { $_->{server_pid} } grep { $_->{state} eq 'idle' && $_->{pool_mode} ne 'off' } @{ $self->ask('SHOW SERVERS') };
	$self->{direct}->ask("SELECT pg_terminate_backend($_)") for @idle;
	for my $pid (@idle) {
		1 while grep { $_->{server_pid} eq $pid } @{ $self->ask('SHOW SERVERS') };
	}
	return 'ended ' . @idle;
}

my %options = (
	server_lifetime          => [ '1h', '1ms' ],
	server_idle_timeout      => [ '10min', '1ms' ],
	max_prepared_statements  => [ 200, 1, 2, 0 ],
	server_check_delay       => [ '30s', 0 ],
	server_check_query       => [ "''", "'select 1'" ],
	min_pool_size            => [ 0, 2 ],
	log_level                => [ 'info', 'warning' ],
	query_wait_notify        => [ 0 ],
	reserve_pool_size        => [ 0, 2 ],
	server_reset_query_always => [ 'no', 'yes' ],
	server_reset_query       => [ "'DISCARD ALL'", "''", "'UNLISTEN *; DISCARD TEMP; DEALLOCATE ALL; CLOSE ALL; SELECT pg_advisory_unlock_all()'" ],
);

sub option
{
	my ($self) = @_;
	my $name = one(sort keys %options);
	my $value = one(@{ $options{$name} });
	# none of them is kept by us then, and who has prepared one keeps the connection
	$value = 3 if $name eq 'max_prepared_statements' && $self->{shares};
	my $said = $self->ask("SET $name = $value");
	return "SET $name = $value" . (ref $said ? '' : ": $said");
}

sub act
{
	my ($self, $act) = @_;
	$self->{did}{$act}++;
	return $self->pause if $act eq 'pause';
	return $self->drain if $act eq 'drain';
	return $self->option if $act eq 'option';
	return 'distance ' . $self->{west}->ms(one(0, 0, 1, 3)) if $act eq 'distance';
	return $self->kill_idle if $act eq 'kill';
	$self->{proxy}->reload if $act eq 'reload';
	$self->ask("RECONNECT DATABASE $self->{database}") if $act eq 'reconnect';
	return uc $act;
}

sub before
{
	my ($self, %now) = @_;
	if (my $moving = $self->{moving}) {
		return $moving->{own}->is_idle && rand() < 0.7 ? 'REHOME: ' . $self->rehomed : ();
	}
	return $self->rehome($now{client}) if $now{ $self->{waits} ? 'all_idle' : 'is_idle' } && rand() < $self->{moves};
	return () unless rand() < $self->{others};
	return $self->act(one(qw(pause pause reconnect drain option option reload kill distance)));
}

sub calm
{
	my ($self) = @_;
	eval { $self->rehomed } if $self->{moving}; # of a play that has ended in the middle, perhaps
	$self->drain if $self->{drained};
	$self->{west}->ms(0);
	$self->{proxy}->reload;
	return;
}

1;
