# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::Http - HTTP by hand, over any connection of Meridian::Test::Wire or ::Tls.
#
#   use Meridian::Test::Http;
#
#   my $w = Meridian::Test::Wire->new($proxy);
#   $w->send(http_request(GET => '/healthz', 'X-City' => 'paris'));
#   my $a = http_answer($w);                        # { status, headers => { lower case }, body }
#   http_connect($w, 'db:5432', 'X-City' => 'paris');        # … and $w is a session's wire
#   http_websocket($w, '/v2', 'X-City' => 'paris');          # … whose bytes travel in frames now
#   $w->login(database => 'postgres');
#   my ($status, $code) = @$w{qw(ws_closed ws_code)};        # after a Close frame
package Meridian::Test::Http;
use strict;
use warnings;

use Carp;
use Digest::SHA  qw(sha1_base64);
use Exporter     qw(import);
use MIME::Base64 qw(encode_base64);

our @EXPORT = qw(http_request http_answer http_ask http_connect http_websocket ws_frame);

# The bytes of a request: headers in the order given; `body => …` brings Content-Length, `version`
# another than 1.1. A Host is added unless one is given (undef: none).
sub http_request
{
	my ($method, $path, @headers) = @_;
	my ($body, $version, @lines, $host) = ('', '1.1');
	while (my ($name, $value) = splice @headers, 0, 2) {
		if    ($name eq 'body')    { $body    = $value; push @lines, 'Content-Length: ' . length $body }
		elsif ($name eq 'version') { $version = $value }
		else {
			$host = 1 if lc $name eq 'host';
			push @lines, "$name: $value" if defined $value;
		}
	}
	unshift @lines, 'Host: ' . ($method eq 'CONNECT' ? $path : 'db.example') unless $host;
	return join("\r\n", "$method $path HTTP/$version", @lines, '', '') . $body;
}

# The next answer; undef where the connection is closed instead. head => 1: it answers a HEAD.
sub http_answer
{
	my ($w, %opt) = @_;
	while ($w->{in} !~ /\r\n\r\n/) { return undef unless $w->fill }
	my ($head, $rest) = split /\r\n\r\n/, $w->{in}, 2;
	my ($first, @lines) = split /\r\n/, $head;
	my ($status) = $first =~ m{^HTTP/1\.1 (\d{3}) \S} or croak "no answer of HTTP: $first";
	my %headers = map { /^([^:]+): *(.*)/ ? (lc $1 => $2) : croak "no header: $_" } @lines;
	my $n = $opt{head} || $status < 200 ? 0 : $headers{'content-length'} // 0;
	$w->{in} = $rest;
	while (length $w->{in} < $n) { $w->fill or croak 'the body is cut' }
	return { status => $status, headers => \%headers, body => substr $w->{in}, 0, $n, '' };
}

# Send a request and take its answer.
sub http_ask
{
	my ($w, $method, @rest) = @_;
	$w->send(http_request($method, @rest));
	return http_answer($w, head => $method eq 'HEAD');
}

sub http_connect
{
	my ($w, $to, @headers) = @_;
	return http_ask($w, CONNECT => $to, @headers);
}

# The opening handshake; once it is accepted $w sends and receives frames.
sub http_websocket
{
	my ($w, $path, @headers) = @_;
	my $key = encode_base64(join('', map { chr int rand 256 } 1 .. 16), '');
	my $a   = http_ask($w, GET => $path, 'Connection' => 'Upgrade', 'Upgrade' => 'websocket',
		'Sec-WebSocket-Version' => 13, 'Sec-WebSocket-Key' => $key, @headers);
	return $a if !$a || $a->{status} != 101;
	my $want = sha1_base64($key . '258EAFA5-E914-47DA-95CA-C5AB0DC85B11') . '=';
	croak 'wrong Sec-WebSocket-Accept' if ($a->{headers}{'sec-websocket-accept'} // '') ne $want;
	$w->{framed} = $w->{in};
	$w->{in}     = '';
	my $class = 'Meridian::Test::Http::Over::' . ref $w;
	{
		no strict 'refs';    ## no critic (ProhibitNoStrict)
		@{"${class}::ISA"} = ('Meridian::Test::Http::Frames', ref $w);
	}
	$w->{below} = ref $w;
	bless $w, $class;
	return $a;
}

# One masked frame. The last one of a message unless fin => 0.
sub ws_frame
{
	my ($opcode, $payload, %opt) = @_;
	my $n      = length $payload;
	my $mask   = pack 'N', int rand 0xffffffff;
	my $length = $n < 126 ? pack('C', 0x80 | $n) : $n < 65536 ? pack('C n', 0xfe, $n) : pack('C Q>', 0xff, $n);
	return pack('C', ($opt{fin} // 1 ? 0x80 : 0) | $opcode) . $length . $mask
	  . ($payload ^ substr($mask x ($n / 4 + 1), 0, $n));
}

package Meridian::Test::Http::Frames;
use strict;
use warnings;

# Bytes below the frames, as they are.
sub send_raw { my ($w, @bytes) = @_; return $w->{below}->can('send')->($w, @bytes) }

sub send
{
	my ($w, @bytes) = @_;
	return $w->send_raw(Meridian::Test::Http::ws_frame(2, join '', @bytes));
}

sub fill
{
	my ($w) = @_;
	my $in  = $w->{in};
	my $had = length $in;
	while (!$w->{ws_closed}) {
		while ($w->take_frame(\$in)) { }
		last if length $in > $had || $w->{ws_closed};
		$w->{in} = '';
		my $more = $w->{below}->can('fill')->($w);
		$w->{framed} .= $w->{in};
		$w->{in} = $in;
		return 0 unless $more;
	}
	$w->{in} = $in;
	return length $in > $had;
}

# A whole frame of the server's, taken from what was read; pings are answered.
sub take_frame
{
	my ($w, $in) = @_;
	my $f = \$w->{framed};
	return 0 if length $$f < 2;
	my ($first, $n) = unpack 'C C', $$f;
	my $at = 2;
	if    ($n == 126) { return 0 if length $$f < 4;  ($n, $at) = (unpack('x2 n', $$f), 4) }
	elsif ($n == 127) { return 0 if length $$f < 10; ($n, $at) = (unpack('x2 Q>', $$f), 10) }
	return 0 if length $$f < $at + $n;
	my $payload = substr $$f, $at, $n;
	substr($$f, 0, $at + $n) = '';
	my $opcode = $first & 15;
	if    ($opcode <= 2) { $$in .= $payload }
	elsif ($opcode == 8) { ($w->{ws_closed}, $w->{ws_code}) = (1, unpack 'n', $payload) }
	elsif ($opcode == 9) { $w->send_raw(Meridian::Test::Http::ws_frame(10, $payload)) }
	push @{ $w->{pongs} }, $payload if $opcode == 10;
	return 1;
}

1;
