# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::Gate - orders to the gate of a proxy (proxy/move/gate.h), as migrations give them.
#
#   my $gate  = Meridian::Test::Gate->new;
#   my $proxy = Meridian::Test::Proxy->new('main', $gate->proxy_options, regions => [ … ]);
#   $proxy->start;
#   my ($answer, @lines) = $gate->order('freeze', 1, 'app', 'us-east1', 'us-west1', '-', 1000, 10000);
#   is($answer, 'ok sessions=1 open=0 kept=0 closed=0 aborted=0');
#
# The proxy is tests/tools/gated: all of meridian, and a thread that takes these orders.
package Meridian::Test::Gate;
use strict;
use warnings;

use IO::Socket::UNIX;
use Meridian::Test::Proxy;
use PostgreSQL::Test::Utils ();

sub new
{
	my ($class) = @_;
	return bless { path => PostgreSQL::Test::Utils::tempdir_short() . '/gate' }, $class;
}

sub proxy_options
{
	my ($self) = @_;
	return (program => ($ENV{MERIDIAN_BUILDDIR} || '.') . '/tests/tools/gated', env => { MERIDIAN_GATE => $self->{path} });
}

# Give an order without waiting; answer() waits.
sub give
{
	my ($self, @words) = @_;
	my $door = IO::Socket::UNIX->new(Peer => $self->{path}) or die "$self->{path}: $!";
	print {$door} join(' ', @words) . "\n";
	$door->flush;
	return $door;
}

# The last line, and those before it.
sub answer
{
	my ($self, $door) = @_;
	my @lines;
	local $SIG{ALRM} = sub { die 'the gate does not answer' };
	alarm Meridian::Test::Proxy::slow(30);
	while (my $line = <$door>) {
		chomp $line;
		push @lines, $line;
		last if $line =~ /^(?:ok|error)/;
	}
	alarm 0;
	close $door;
	return (pop @lines, @lines);
}

sub order { my ($self, @words) = @_; return $self->answer($self->give(@words)) }

1;
