# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::Fake - something that speaks like a PostgreSQL server, for what a real one cannot
# be made to do, and for thousands of sessions that a real one would need a process each for.
#
#   use Meridian::Test::Fake;
#
#   my $fake = Meridian::Test::Fake->new;          # any startup packet is welcome; each Query gets
#   ... nodes => $fake ...                         # one row "1"; no TLS
#   my $fake = Meridian::Test::Fake->new(on => {   # what it answers, by message type ('' startup)
#       Q => sub { my ($type, $body, $connection) = @_; … return $bytes } });    # undef: close
#
# More keys: accept, ssl (an SSLRequest). $connection is a hash of the handlers' own, which the
# startup packet's parameters are in: $connection->{param}{database}. A handler may return code
# instead of bytes: it is called with the socket, in a process of its own, and what it leaves undone
# (closing, for one) is done when it returns.
#
# A process of its own; it ends with the test.
package Meridian::Test::Fake;
use strict;
use warnings;

use Carp;
use IO::Select;
use IO::Socket::INET;
use Meridian::Test::Patience;
use Meridian::Test::Wire qw(:build);
use POSIX  ();
use Socket qw(IPPROTO_TCP TCP_NODELAY);

use parent 'Meridian::Test::Child';

my $ready = frame('Z', 'I');
my $one_row =
    frame('T', pack('n', 1) . "n\0" . pack('N n N n N n', 0, 0, 23, 4, 0xffffffff, 0))
  . frame('D', pack('n N a', 1, 1, '1'))
  . frame('C', "SELECT 1\0")
  . $ready;
my $next_pid = 1000;

sub welcome
{
	my %parameter = (
		server_version => '15.0', server_encoding => 'UTF8', client_encoding => 'UTF8', in_hot_standby => 'off',
		default_transaction_read_only => 'off', integer_datetimes => 'on', standard_conforming_strings => 'on');
	return join '', frame('R', pack 'N', 0), (map { frame('S', "$_\0$parameter{$_}\0") } sort keys %parameter),
	  frame('K', pack('N N', $next_pid++, int rand 2**31)), $ready;
}

sub new
{
	my ($class, %opt) = @_;
	my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $opt{port} // 0, Listen => 1024, ReuseAddr => 1)
	  or croak "listen: $!";
	my $self = bless { port => $listen->sockport, owner => $$ }, $class;
	$self->{pid} = fork // croak "fork: $!";
	return $self if $self->{pid};
	local $SIG{CHLD} = 'IGNORE';
	eval { serve($listen, { '' => \&welcome, ssl => sub { 'N' }, Q => sub { $one_row }, %{ $opt{on} || {} } }, getppid); 1 }
	  or print STDERR "fake server: $@";
	POSIX::_exit(0);
}

sub stop
{
	my ($self) = @_;
	return unless $self->{pid} && $self->{owner} == $$;
	kill 'KILL', $self->{pid};
	waitpid $self->{pid}, 0;
	delete $self->{pid};
	return;
}

# ---------------------------------------------------------------- in the process of its own

sub serve
{
	my ($listen, $on, $parent) = @_;
	my $all = IO::Select->new($listen);
	my %in;
	$SIG{PIPE} = 'IGNORE';
	while (getppid == $parent) {
		for my $fd ($all->can_read(1)) {
			if ($fd == $listen) {
				my $new = $listen->accept or next;
				setsockopt $new, IPPROTO_TCP, TCP_NODELAY, 1;
				my $c = { data => '', started => 0 };
				next unless !$on->{accept} || tell_peer($new, $c, $on->{accept}->('accept', '', $c));
				$all->add($new);
				$in{ fileno $new } = $c;
				next;
			}
			next if advance($fd, $in{ fileno $fd }, $on);
			delete $in{ fileno $fd };
			$all->remove($fd);
			close $fd;
		}
	}
	return;
}

# Read, and answer what is complete; false when the connection is over.
sub advance
{
	my ($fd, $c, $on) = @_;
	sysread($fd, $c->{data}, 65536, length $c->{data}) or return 0;
	while (my ($type, $body) = cut($c)) {
		tell_peer($fd, $c, answer($c, $type, $body, $on)) or return 0;
	}
	return 1;
}

# False: the connection is over, or somebody else's.
sub tell_peer
{
	my ($fd, $c, $answer) = @_;
	return 0 if !defined $answer;
	if (ref $answer) {
		my $pid = fork // croak "fork: $!";
		return 0 if $pid;
		alarm patience(300);    # whatever becomes of the test
		$answer->($fd, $c);
		close $fd;
		POSIX::_exit(0);
	}
	syswrite $fd, $answer if length $answer;
	return 1;
}

sub cut
{
	my ($c) = @_;
	my $head = $c->{started} ? 1 : 0;
	return if length $c->{data} < $head + 4;
	my $len = $head + unpack "x$head N", $c->{data};
	return if length $c->{data} < $len;
	my $message = substr $c->{data}, 0, $len, '';
	return (substr($message, 0, $head), substr $message, $head + 4);
}

sub answer
{
	my ($c, $type, $body, $on) = @_;
	if (!$c->{started}) {
		my $code = unpack 'N', $body;
		return $on->{ssl}->('ssl', $body, $c) if $code == 80877103;
		return 'N'   if $code == 80877104;
		return undef if $code == 80877102;
		$c->{started} = 1;
		$c->{param} = { split /\0/, substr($body, 4), -1 };
	}
	return undef if $type eq 'X';
	return $on->{$type} ? $on->{$type}->($type, $body, $c) : '';
}

1;
