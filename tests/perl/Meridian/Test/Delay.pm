# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::Delay - distance, and ways to fail, in front of a server (tests/tools/delay).
#
#   use Meridian::Test::Delay;
#
#   my $far = Meridian::Test::Delay->new($cluster, ms => 40);   # one way; a cluster or a port
#   ... nodes => $far ...                                       # in Meridian::Test::Proxy->new
#   $far->ms(10);       # another distance from now on
#   $far->split(1);     # at most one byte per write, both ways; 0: as they come
#   $far->hang;         # accepts, and never answers
#   $far->refuse;       # connection refused
#   $far->cut;          # resets every connection it carries
#   $far->pass;         # relays again
#   is($far->count, 0, 'no connection is left open');
#
# Round trips are counted, and not timed, where what servers say waits until it is told to go on:
#
#   $far->hold;         # what clients say arrives; what servers say does not, until pass
#   wait_until(sub { $far->held >= 15 });           # so many bytes wait
#   $far->step(15);     # they go on, what is behind them waits
#
# It ends with the test: its standard input is a pipe of ours.
package Meridian::Test::Delay;
use strict;
use warnings;

use Carp;

use parent 'Meridian::Test::Child';

sub new
{
	my ($class, $to, %opt) = @_;
	my $port = ref $to ? $to->port : $to;
	my @listen = $opt{port} ? ('--listen', $opt{port}) : ();
	return $class->start_tool('delay', @listen, '--ms', $opt{ms} // 0, "127.0.0.1:$port");
}

sub tell_it
{
	my ($self, $command) = @_;
	my ($in, $out) = @$self{qw(in out)};
	print {$in} "$command\n";
	$in->flush;
	my $said = <$out> // '';
	$said =~ /^ok ?(\d*)/ or croak "delay: $command: $said";
	return $1;
}

sub ms     { my ($self, $n) = @_; return $self->tell_it("ms $n") }
sub split  { my ($self, $n) = @_; return $self->tell_it("split $n") }
sub hang   { return $_[0]->tell_it('hang') }
sub pass   { return $_[0]->tell_it('pass') }
sub refuse { return $_[0]->tell_it('refuse') }
sub cut    { return $_[0]->tell_it('cut') }
sub hold   { return $_[0]->tell_it('hold') }
sub step   { my ($self, $n) = @_; return $self->tell_it("step $n") }
sub held   { return $_[0]->tell_it('held') }
sub count  { return $_[0]->tell_it('count') }

1;
