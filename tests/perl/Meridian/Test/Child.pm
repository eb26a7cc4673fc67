# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::Child - a process of a test's own that stands on a port: the parent of
# Meridian::Test::Delay, Bridge, Fake, Balancer and Patroni.
#
#   use parent 'Meridian::Test::Child';
#   my $self = $class->start_tool('delay', @words);   # tests/tools/delay: {in}, {out}, {pid}, {port}
#
# A tool says "port N" when it listens, and ends with its standard input, which is a pipe of ours:
# with the test, that is, however that ends. What is started in another way has a stop() of its own.
package Meridian::Test::Child;
use strict;
use warnings;

use Carp;
use IPC::Open2;

sub start_tool
{
	my ($class, $name, @words) = @_;
	my $tool = ($ENV{MERIDIAN_BUILDDIR} || '.') . "/tests/tools/$name";
	my $pid  = open2(my $out, my $in, $tool, @words);
	my $said = <$out> // '';
	$said =~ /^port (\d+)/ or croak "$tool did not start";
	return bless { in => $in, out => $out, pid => $pid, port => $1 }, $class;
}

sub port { return $_[0]{port} }
sub pid  { return $_[0]{pid} }

sub stop
{
	my ($self) = @_;
	return unless $self->{pid};
	close $self->{in};
	waitpid $self->{pid}, 0;
	delete $self->{pid};
	return;
}

sub DESTROY
{
	my ($self) = @_;
	local ($?, $!, $@);
	$self->stop;
	return;
}

1;
