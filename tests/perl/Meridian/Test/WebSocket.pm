# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::WebSocket - the raw client of Meridian::Test::Wire, whose bytes travel in the
# frames of a WebSocket.
#
#   my $w = Meridian::Test::WebSocket->new($proxy, headers => ['X-City: paris']);   # path => '/v2'
#                                                       # before => a PROXY header, in front of it all
#   like($w->{head}, qr{^HTTP/1.1 101 });               # the whole head of the answer
#   $w->login(database => 'postgres');                  # … and all that Wire can do
#   $w->send_frame(0x89, 'there?');                     # one frame, first byte and payload
#   $w->raw(ws_frame(0x82, $bytes));                    # bytes that need not be frames
#   is($w->told, '<pong there?>');                      # control frames seen so far, then forgotten
#
# Where the handshake is refused, the rest of the answer is in {in}, and nothing more can be said.
# Pings are answered, unless `deaf` is true; a Close is answered.
package Meridian::Test::WebSocket;
use strict;
use warnings;

use Carp;
use Exporter qw(import);
use MIME::Base64 qw(encode_base64);

use parent 'Meridian::Test::Wire';

our @EXPORT_OK = qw(ws_frame);

sub new
{
	my ($class, $to, %opt) = @_;
	my $self = $class->SUPER::new(ref $to eq 'HASH' ? %$to : $to);
	@$self{qw(wire told frames)} = ('', '', 0);
	$self->{key} = encode_base64(join('', map { chr int rand 256 } 1 .. 16), '');
	$self->raw($opt{before} // '', join "\r\n", 'GET ' . ($opt{path} // '/v2') . ' HTTP/1.1', 'Host: database.test', 'Upgrade: websocket',
		'Connection: Upgrade', 'Sec-WebSocket-Version: 13', "Sec-WebSocket-Key: $self->{key}",
		@{ $opt{headers} || [] }, '', $opt{behind} // '');
	$self->read_more until $self->{wire} =~ s/^(.*?\r\n)\r\n//s || $self->{ended};
	$self->{head} = $1 // '';
	$self->{open} = $self->{head} =~ m{^HTTP/1\.1 101 };
	$self->{open} ? $self->unframe : ($self->{in} = $self->{wire});
	return $self;
}

# A masked frame: its first byte, its payload.
sub ws_frame
{
	my ($first, $payload) = @_;
	my $n    = length $payload;
	my $mask = join '', map { chr int rand 256 } 1 .. 4;
	my $head = $n < 126 ? pack 'C C', $first, 0x80 | $n
	  : $n < 65536 ? pack 'C C n', $first, 0xfe, $n
	  : pack 'C C Q>', $first, 0xff, $n;
	return $head . $mask . ($payload ^ substr $mask x (1 + $n / 4), 0, $n);
}

sub raw { my ($self, @bytes) = @_; return $self->SUPER::send(@bytes) }

sub send_frame { my ($self, $first, $payload) = @_; return $self->raw(ws_frame($first, $payload)) }

sub send { my ($self, @bytes) = @_; return $self->send_frame(0x82, join '', @bytes) }

# The raw bytes of what comes next, to {wire}; false at the end.
sub read_more
{
	my ($self) = @_;
	my $before = length $self->{in};
	my $more   = $self->SUPER::fill;
	$self->{wire} .= substr $self->{in}, $before, length $self->{in}, '';
	$self->{ended} = 1 unless $more;
	return $more;
}

sub fill
{
	my ($self) = @_;
	return 0 if $self->{closed};
	$self->read_more or return 0;
	$self->unframe if $self->{open};
	return 1;
}

# Take whole frames: payload to {in}, the rest in words to {told}.
sub unframe
{
	my ($self) = @_;
	while (length $self->{wire} >= 2) {
		my ($first, $n) = unpack 'C C', $self->{wire};
		my $at = $n == 127 ? 10 : $n == 126 ? 4 : 2;
		last if length $self->{wire} < $at;
		$n = unpack $n == 127 ? 'x2 Q>' : 'x2 n', $self->{wire} if $n > 125;
		last if length $self->{wire} < $at + $n;
		my $payload = substr substr($self->{wire}, 0, $at + $n, ''), $at;
		$self->take($first, $payload);
	}
	return;
}

sub take
{
	my ($self, $first, $payload) = @_;
	if ($first == 0x82) { $self->{in} .= $payload; $self->{frames}++ }
	elsif ($first == 0x89) {
		$self->{told} .= "<ping $payload>";
		$self->send_frame(0x8a, $payload) unless $self->{deaf};
	} elsif ($first == 0x8a) { $self->{told} .= "<pong $payload>" }
	elsif ($first == 0x88) {
		$self->{told} .= '<close ' . (length $payload ? unpack 'n', $payload : '') . '>';
		$self->{closed} = 1;
		$self->send_frame(0x88, substr $payload, 0, 2);
	} else { croak sprintf 'a frame that begins with %02x', $first }
	return;
}

# Read until it has told something; what it has told.
sub told
{
	my ($self) = @_;
	1 while !length $self->{told} && eval { $self->fill };
	(my $told, $self->{told}) = ($self->{told}, '');
	return $told;
}

# What it has told so far, and tells in the next few milliseconds.
sub told_now
{
	my ($self) = @_;
	1 while !$self->{closed} && $self->is_ready('read', 0.1) && eval { $self->fill };
	(my $told, $self->{told}) = ($self->{told}, '');
	return $told;
}

1;
