# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::Gate - orders to the gate of a proxy (proxy/move/gate.h), as migrations give them.
#
#   my $gate  = Meridian::Test::Gate->new;
#   my $proxy = Meridian::Test::Proxy->new('main', $gate->proxy_options, regions => [ … ]);
#   $proxy->start;
#   my ($answer, @lines) = $gate->order('freeze', 1, 'app', 'us-east1', 'us-west1', '-', 1000, 10000);
#   # the times (ms) of a freeze and a prewarm are of a quiet machine
#   is($answer, 'ok sessions=1 open=0 kept=0 closed=0 aborted=0');
#
# The proxy is tests/tools/gated: all of meridian, and a thread that takes these orders.
package Meridian::Test::Gate;
use strict;
use warnings;

use IO::Select;
use IO::Socket::UNIX;
use Meridian::Test::Patience;
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
	if ($words[0] =~ /^(?:freeze|prewarm)$/) {
		$_ = int patience($_) for @words[ 6 .. $#words ];    # a freeze's deadline and end, a prewarm's end
	}
	print {$door} join(' ', @words) . "\n";
	$door->flush;
	return $door;
}

# The last line, and those before it.
sub answer
{
	my ($self, $door) = @_;
	my $d    = deadline(30, 'an answer of the gate');
	my $text = '';
	until ($text =~ /^(?:ok|error).*\n\z/m) {
		1 until IO::Select->new($door)->can_read($d->left) || ($d->over && die $d->text);
		sysread $door, $text, 4096, length $text or last;
	}
	close $door;
	my @lines = split /\n/, $text;
	return (pop @lines, @lines);
}

sub order { my ($self, @words) = @_; return $self->answer($self->give(@words)) }

1;
