# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::Tls - the raw client of Meridian::Test::Wire over TLS, with openssl s_client
# between.
#
#   my $t = Meridian::Test::Tls->new($proxy, '-starttls', 'postgres');         # SSLRequest
#   my $t = Meridian::Test::Tls->new($proxy, '-alpn', 'postgresql');           # direct TLS
#   my $t = Meridian::Test::Tls->new({ port => 6433, prefix => $header }, …);  # bytes before TLS
#   $t->login(database => 'postgres');                     # … and all that Wire can do
#   like($t->said, qr/TLSv1.3/);                           # what s_client has to say so far
#
# The words are s_client's own. It speaks once the handshake is over; what is sent before that is
# kept. The certificate is not verified unless the words say so.
package Meridian::Test::Tls;
use strict;
use warnings;

use Carp;
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();
use PostgreSQL::Test::Utils ();
use Socket;

use parent 'Meridian::Test::Wire';

my $count = 0;

sub new
{
	my ($class, $to, @words) = @_;
	my $self = bless { in => '', pids => [] }, $class;
	my $port = ref $to eq 'HASH' ? $to->{port} : $to->port;
	my @connect = ('-connect', "127.0.0.1:$port");
	@connect = ('-unix', $self->relay($port, $to->{prefix})) if ref $to eq 'HASH' && defined $to->{prefix};
	$self->{output} = "$PostgreSQL::Test::Utils::tmp_check/s_client." . ++$count;
	socketpair my $ours, my $its, AF_UNIX, SOCK_STREAM, PF_UNSPEC or die "socketpair: $!";
	$self->child(
		sub {
			open STDIN,  '<&', $its;
			open STDOUT, '>&', $its;
			open STDERR, '>',  $self->{output};
			close $ours;
			exec 'openssl', 's_client', '-brief', '-no_ign_eof', '-nocommands', @connect, @words or POSIX::_exit(127);
		});
	$self->{fd} = $ours;
	return $self;
}

sub child
{
	my ($self, $run) = @_;
	my $pid = fork // die "fork: $!";
	if (!$pid) {
		$run->();
		POSIX::_exit(0);
	}
	push @{ $self->{pids} }, $pid;
	return;
}

# A unix socket behind which a process says the prefix to the port and then carries bytes.
sub relay
{
	my ($self, $port, $prefix) = @_;
	my $path = PostgreSQL::Test::Utils::tempdir_short() . '/relay';
	my $listen = IO::Socket::UNIX->new(Local => $path, Listen => 1) or die "$path: $!";
	my $far = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) or croak "connect: $!";
	syswrite $far, $prefix;
	$self->child(
		sub {
			my $near  = $listen->accept;
			my %other = (fileno $near => $far, fileno $far => $near);
			my $set   = IO::Select->new($near, $far);
			while (my @ready = $set->can_read) {
				for my $from (@ready) {
					return unless sysread $from, my $bytes, 65536;
					syswrite $other{ fileno $from }, $bytes;
				}
			}
		});
	return $path;
}

sub said { return -e $_[0]{output} ? PostgreSQL::Test::Utils::slurp_file($_[0]{output}) : '' }

sub close
{
	my ($self) = @_;
	CORE::close(delete $self->{fd}) if $self->{fd};
	waitpid $_, 0 for splice @{ $self->{pids} };
	return;
}

sub DESTROY
{
	my ($self) = @_;
	local ($?, $!, $@);
	kill 'TERM', @{ $self->{pids} };
	$self->close;
	return;
}

1;
