# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::Wire - a raw client of protocol 3, for hostile and for exact tests.
#
#   use Meridian::Test::Wire qw(:build);
#
#   my $w = Meridian::Test::Wire->new($proxy);           # or port => N, path => '/dir/.s.PGSQL.5432';
#                                                        # from => '127.0.0.9': the client's address
#   $w->login(user => 'alice', database => 'postgres', password => 'x', 'meridian.city' => 'paris');
#   $w->send(query('SELECT 1'));
#   my @all = $w->until('Z');                            # messages: [ type, body ], …
#   is(row_values($all[1])->[0], '1');
#   $w->send_split(startup(user => 'a'), 1);             # byte by byte, one write each
#   my $m = $w->message;                                 # one; undef at the end of the stream
#   is(error_fields($m)->{C}, '08P01') if $m->[0] eq 'E';
#   ok($w->closed, 'the other side has closed');         # eof, or reset, within the time limit
#   $w->send(proxy_v2(src => '81.2.69.142', tlv => { 0xe4 => 'paris' }, crc => 1));
#
# Builders (query, parse, bind, startup, …) return bytes and send nothing, so that a test can cut,
# join and bend them. Every wait has a time limit (30 s, stretched under sanitizers).
package Meridian::Test::Wire;
use strict;
use warnings;

use Carp;
use Digest::MD5 qw(md5_hex);
use Digest::SHA qw(hmac_sha256 sha256);
use Errno       qw(EINTR ECONNRESET EPIPE);
use Exporter    qw(import);
use IO::Socket::INET;
use IO::Socket::UNIX;
use MIME::Base64 qw(encode_base64 decode_base64);
use Meridian::Test::Patience;
use Socket       qw(:DEFAULT inet_pton AF_INET6 IPPROTO_TCP TCP_NODELAY);
use Time::HiRes  qw(time);

my @build = qw(startup ssl_request gssenc_request cancel_request frame query parse bind_message
  describe execute sync_message flush_message close_message password terminate copy_data copy_done
  copy_fail function_call proxy_v1 proxy_v2 crc32c error_fields row_values parameter early);
our @EXPORT_OK   = @build;
our %EXPORT_TAGS = (build => \@build);

# ---------------------------------------------------------------- bytes

# A message: its type, its length, its body.
sub frame
{
	my ($type, $body) = @_;
	return pack('a1 N', $type, 4 + length $body) . $body;
}

# A StartupMessage; version => 0x30002 for another protocol. Pairs keep their order.
sub startup
{
	my (@pairs) = @_;
	my ($version, $body) = (0x30000, '');
	while (my ($key, $value) = splice @pairs, 0, 2) {
		if ($key eq 'version') { $version = $value }
		else                   { $body .= "$key\0$value\0" }
	}
	return pack('N N', 9 + length $body, $version) . "$body\0";
}

sub ssl_request    { return pack 'N N', 8, 80877103 }
sub gssenc_request { return pack 'N N', 8, 80877104 }

# The secret: a number, or bytes (protocol 3.2 has longer ones).
sub cancel_request
{
	my ($pid, $secret) = @_;
	$secret = pack 'N', $secret if $secret =~ /^\d+$/;
	return pack('N N N', 12 + length $secret, 80877102, $pid) . $secret;
}

sub query         { return frame('Q', "$_[0]\0") }
sub sync_message  { return frame('S', '') }
sub flush_message { return frame('H', '') }
sub terminate     { return frame('X', '') }
sub password      { return frame('p', "$_[0]\0") }
sub copy_data     { return frame('d', $_[0]) }
sub copy_done     { return frame('c', '') }
sub copy_fail     { return frame('f', "$_[0]\0") }
sub execute       { return frame('E', ($_[0] // '') . "\0" . pack 'N', $_[1] // 0) }
sub describe      { return frame('D', $_[0] . ($_[1] // '') . "\0") }
sub close_message { return frame('C', $_[0] . ($_[1] // '') . "\0") }

# A login by a password that nobody has asked for yet, and a query behind it; see early_answer.
sub early
{
	my ($user, $password) = @_;
	return startup(user => $user, database => 'postgres') . password($password) . query('SELECT 42');
}

# parse($sql, $name, @oids)
sub parse
{
	my ($sql, $name, @oids) = @_;
	return frame('P', ($name // '') . "\0$sql\0" . pack 'n N*', scalar @oids, @oids);
}

# bind_message(\@values, $statement, $portal, \@formats_of_values, \@formats_of_results): text where there is no list of formats
sub bind_message
{
	my ($values, $statement, $portal, @formats) = @_;
	my ($in, $out) = map { pack 'n n*', scalar @{ $_ || [] }, @{ $_ || [] } } @formats[ 0, 1 ];
	my $body = ($portal // '') . "\0" . ($statement // '') . "\0" . $in . pack 'n', scalar @{ $values || [] };
	$body .= defined $_ ? pack('N', length $_) . $_ : pack('N', 0xffffffff) for @{ $values || [] };
	return frame('B', $body . $out);
}

sub function_call
{
	my ($oid, @values) = @_;
	my $body = pack 'N n n', $oid, 0, scalar @values;
	$body .= defined $_ ? pack('N', length $_) . $_ : pack('N', 0xffffffff) for @values;
	return frame('F', $body . pack 'n', 0);
}

# ---------------------------------------------------------------- PROXY headers

sub proxy_v1
{
	my (%at) = @_;
	my $family = $at{src} =~ /:/ ? 'TCP6' : 'TCP4';
	return join(' ', 'PROXY', $family, $at{src}, $at{dst} // $at{src}, $at{sport} // 1111, $at{dport} // 5432)
	  . "\r\n";
}

# src, dst, sport, dport; local => 1 for LOCAL; tlv => { type => value } or [ type, value, … ];
# crc => 1 adds the checksum.
sub proxy_v2
{
	my (%at) = @_;
	my ($body, $family) = ('', 0);
	if (defined $at{src}) {
		my $af = $at{src} =~ /:/ ? AF_INET6 : AF_INET;
		$family = $af == AF_INET6 ? 0x21 : 0x11;
		$body   = inet_pton($af, $at{src}) . inet_pton($af, $at{dst} // $at{src})
		  . pack('n n', $at{sport} // 1111, $at{dport} // 5432);
	}
	my @tlv = ref $at{tlv} eq 'HASH' ? map { $_ => $at{tlv}{$_} } sort { $a <=> $b } keys %{ $at{tlv} }
	  : @{ $at{tlv} || [] };
	while (my ($type, $value) = splice @tlv, 0, 2) {
		$body .= pack('C n', $type, length $value) . $value;
	}
	my $crc_at = length($body) + 16 + 3;
	$body .= pack 'C n N', 3, 4, 0 if $at{crc};
	my $head = "\r\n\r\n\0\r\nQUIT\n" . pack('C C n', $at{local} ? 0x20 : 0x21, $family, length $body) . $body;
	substr($head, $crc_at, 4) = pack 'N', crc32c($head) if $at{crc};
	return $head;
}

my @crc_table = map {
	my $c = $_;
	$c = $c & 1 ? ($c >> 1) ^ 0x82f63b78 : $c >> 1 for 1 .. 8;
	$c
} 0 .. 255;

sub crc32c
{
	my ($bytes) = @_;
	my $c = 0xffffffff;
	$c = ($c >> 8) ^ $crc_table[ ($c ^ $_) & 255 ] for unpack 'C*', $bytes;
	return $c ^ 0xffffffff;
}

# ---------------------------------------------------------------- reading messages

# { S => severity, C => sqlstate, M => message, D => detail, … } of an ErrorResponse or a notice.
sub error_fields
{
	my ($message) = @_;
	return { map { substr($_, 0, 1) => substr($_, 1) } grep { length } split /\0/, $message->[1] };
}

# The values of a DataRow, as text; undef is NULL.
sub row_values
{
	my ($message) = @_;
	my ($n, $rest) = unpack 'n a*', $message->[1];
	my @values;
	for (1 .. $n) {
		(my $len, $rest) = unpack 'N a*', $rest;
		push @values, $len == 0xffffffff ? undef : substr $rest, 0, $len, '';
	}
	return \@values;
}

# ($name, $value) of a ParameterStatus.
sub parameter { return split /\0/, $_[0][1] }

# ---------------------------------------------------------------- the connection

sub new
{
	my ($class, @where) = @_;
	my %opt = @where % 2 ? (at => @where) : @where;
	my $self = bless { in => '' }, $class;
	$opt{port} //= $opt{at}->port if $opt{at};
	$self->{fd} = $opt{path} ? IO::Socket::UNIX->new(Peer => $opt{path})
	  : IO::Socket::INET->new(PeerAddr => $opt{host} // '127.0.0.1', PeerPort => $opt{port}, Proto => 'tcp',
		$opt{from} ? (LocalAddr => $opt{from}) : ());
	$self->{fd} or croak "connect: $!";
	setsockopt $self->{fd}, IPPROTO_TCP, TCP_NODELAY, 1 unless $opt{path};
	$self->{again} = \%opt;
	return $self;
}

# Until it can be read or written: up to a deadline (or so many seconds of patience from now).
sub wait_for
{
	my ($self, $for, $limit) = @_;
	my $d = ref $limit ? $limit : deadline($limit, "the other side, to $for");
	do {
		return 1 if $self->is_ready($for, $d->left);    # what is there already counts, however late we look
	} until $d->over;
	return 0;
}

# The same at once, or for exactly so long.
sub is_ready
{
	my ($self, $for, $left) = @_;
	my $bits = '';
	vec($bits, fileno $self->{fd}, 1) = 1;
	return $for eq 'read' ? select($bits, undef, undef, $left // 0) > 0 : select(undef, $bits, undef, $left // 0) > 0;
}

# Send bytes; returns false when the other side is gone. Dies when it takes nothing for too long.
sub send
{
	my ($self, @bytes) = @_;
	my $all = join '', @bytes;
	my $d = deadline($self->{seconds}, 'the other side to read');
	while (length $all) {
		$self->wait_for('write', $d) or croak 'the other side reads nothing: ' . $d->text;
		my $n = syswrite $self->{fd}, $all, 65536;
		if (!defined $n) {
			next if $! == EINTR;
			return 0;
		}
		substr($all, 0, $n) = '';
	}
	return 1;
}

# The same in pieces of `size` bytes, each written by itself.
sub send_split
{
	my ($self, $bytes, $size) = @_;
	for (my $at = 0; $at < length $bytes; $at += $size) {
		$self->send(substr $bytes, $at, $size) or return 0;
	}
	return 1;
}

# Read once more; false at the end of the stream (`reset` says which end).
sub fill
{
	my ($self) = @_;
	my $d = deadline($self->{seconds}, 'something to come');
	$self->wait_for('read', $d) or croak 'nothing came: ' . $d->text;
	my $n = sysread $self->{fd}, $self->{in}, 65536, length $self->{in};
	return 1 if $n;
	return 1 if !defined $n && $! == EINTR;
	$self->{reset} = 1 if !defined $n && $! == ECONNRESET;
	return 0;
}

# Exactly n bytes that are no message ('S' after an SSLRequest); fewer at the end of the stream.
sub bytes
{
	my ($self, $n) = @_;
	while (length $self->{in} < $n) { last unless $self->fill }
	return substr $self->{in}, 0, $n, '';
}

# The next message as [ type, body ], if it is there; else undef.
sub whole_message
{
	my ($self) = @_;
	return undef if length $self->{in} < 5;
	my ($type, $len) = unpack 'a1 N', $self->{in};
	return undef if length $self->{in} < 1 + $len;
	my $body = substr $self->{in}, 5, $len - 4;
	substr($self->{in}, 0, 1 + $len) = '';
	return [ $type, $body ];
}

# The same, waited for; undef at the end of the stream.
sub message
{
	my ($self) = @_;
	my $message;
	until ($message = $self->whole_message) { return undef unless $self->fill }
	return $message;
}

# All messages up to and with the first of one of these types, or to the end of the stream.
sub until
{
	my ($self, $types) = @_;
	my @all;
	while (my $m = $self->message) {
		push @all, $m;
		last if index($types, $m->[0]) >= 0;
	}
	return @all;
}

# The SQLSTATE of the first error before ReadyForQuery; '' where there is none.
sub ended_with
{
	my ($self) = @_;
	my ($e) = grep { $_->[0] eq 'E' } $self->until('Z');
	return $e ? error_fields($e)->{C} : '';
}

# Nothing comes for a moment, and the connection stands. silent(0): nothing has come so far. What keeps it waiting
# should be seen elsewhere, too (SHOW POOLS, pg_stat_activity).
sub silent
{
	my ($self, $seconds) = @_;
	return $self->{in} eq '' && !$self->is_ready('read', $seconds // moment());
}

# The other side closes (whatever it says before that is kept in `rest`).
sub closed
{
	my ($self) = @_;
	1 while eval { $self->fill };
	return 0 if $@;
	$self->{rest} = $self->{in};
	return 1;
}

sub close { my ($self) = @_; return CORE::close($self->{fd}) }

# Close with a reset.
sub abort
{
	my ($self) = @_;
	setsockopt $self->{fd}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0);
	return CORE::close($self->{fd});
}

# Half-close: we have said all.
sub shutdown { return CORE::shutdown $_[0]{fd}, 1 }

# ---------------------------------------------------------------- questions

# A session that has logged in: database and user postgres unless the parameters say others. What its
# login ended with is kept in {last}.
sub session
{
	my ($class, $proxy, %param) = @_;
	my $self = $class->new($proxy);
	my @all = $self->login(database => 'postgres', user => 'postgres', %param);
	$self->{last} = $all[-1];
	return $self;
}

# Up to ReadyForQuery: the values of the last row with commas between them, or the error as
# "SQLSTATE message", or ''. The ParameterStatus messages on the way are kept in {told}.
sub answer
{
	my ($self) = @_;
	my ($row, $error);
	$self->{told} = '';
	for ($self->until('Z')) {
		my $type = $_->[0];
		$row   = join ',', map { $_ // 'NULL' } @{ row_values($_) } if $type eq 'D';
		$error //= error_fields($_)->{C} . ' ' . error_fields($_)->{M} if $type eq 'E';
		$self->{told} .= join('=', parameter($_)) . ';' if $type eq 'S';
	}
	return $error // $row // '';
}

# The rows of the answer to a query, as hashes by column.
sub rows
{
	my ($self, $sql) = @_;
	my (@columns, @rows);
	$self->send(query($sql));
	for ($self->until('Z')) {
		my ($type, $body) = @$_;
		croak "$sql: " . error_fields($_)->{M} if $type eq 'E';
		@columns = unpack 'x2 (Z* x18)*', $body if $type eq 'T';
		next if $type ne 'D';
		my %row;
		@row{@columns} = @{ row_values($_) };
		push @rows, \%row;
	}
	return \@rows;
}

# Queries one after another; the answer to the last.
sub ask
{
	my ($self, @sql) = @_;
	my $said;
	for (@sql) {
		$self->send(query($_));
		$said = $self->answer;
	}
	return $said;
}

# ---------------------------------------------------------------- login

# The messages up to the answer of the query behind a login, in short (' R0 row 42 ready'); what was
# wrong, where there was an error.
sub early_answer
{
	my ($self) = @_;
	my ($said, $ready) = ('', 0);
	while (my $m = $self->message) {
		return "$said E " . error_fields($m)->{C} if $m->[0] eq 'E';
		$said .= ' R' . unpack 'N', $m->[1] if $m->[0] eq 'R';
		$said .= ' row ' . row_values($m)->[0] if $m->[0] eq 'D';
		return "$said ready" if $m->[0] eq 'Z' && ++$ready == 2;
	}
	return "$said closed";
}

# StartupMessage with these parameters, then whatever authentication is asked for, to ReadyForQuery
# (or an error). `password` is no parameter. Returns the messages; keeps pid, secret (bytes),
# parameters and `auth`, the kinds of AuthenticationRequest seen.
sub login
{
	my ($self, %param) = @_;
	my $password = delete $param{password} // '';
	$param{user} //= (getpwuid $>)[0];
	my @first = grep { exists $param{$_} } qw(version user database);
	my $user = $param{user};
	$self->send(startup((map { $_ => delete $param{$_} } @first), map { $_ => $param{$_} } sort keys %param));
	return $self->login_continue($user, $password);
}

sub login_continue
{
	my ($self, $user, $password) = @_;
	my @all;
	while (my $m = $self->message) {
		push @all, $m;
		my ($type, $body) = @$m;
		if    ($type eq 'R') { $self->authenticate($body, $password, $user) }
		elsif ($type eq 'S') { my ($k, $v) = parameter($m); $self->{parameters}{$k} = $v }
		elsif ($type eq 'K') { @$self{qw(pid secret)} = unpack 'N a*', $body }
		last if $type eq 'Z' || $type eq 'E';
	}
	return @all;
}

sub authenticate
{
	my ($self, $body, $password, $user) = @_;
	my ($kind, $rest) = unpack 'N a*', $body;
	push @{ $self->{auth} }, $kind;
	if    ($kind == 3)  { $self->send(password($password)) }
	elsif ($kind == 5)  { $self->send(password('md5' . md5_hex(md5_hex($password . $user) . $rest))) }
	elsif ($kind == 10) { $self->scram_first($rest) }
	elsif ($kind == 11) { $self->scram_final($rest, $password) }
	return;
}

sub scram_first
{
	my ($self, $mechanisms) = @_;
	$self->{mechanisms} = [ grep { length } split /\0/, $mechanisms ];
	$self->{bare} = 'n=,r=' . encode_base64(join('', map { chr int rand 256 } 1 .. 18), '');
	my $first = "n,,$self->{bare}";
	return $self->send(frame('p', "SCRAM-SHA-256\0" . pack('N', length $first) . $first));
}

sub scram_final
{
	my ($self, $server_first, $password) = @_;
	my %f = map { /^(\w)=(.*)/s } split /,/, $server_first;
	$self->{challenge} = $server_first;
	my $salted = my $u = hmac_sha256(decode_base64($f{s}) . "\0\0\0\1", $password);
	for (2 .. $f{i}) { $u = hmac_sha256($u, $password); $salted ^= $u }
	my $key   = hmac_sha256('Client Key', $salted);
	my $final = "c=biws,r=$f{r}";
	my $proof = $key ^ hmac_sha256("$self->{bare},$server_first,$final", sha256($key));
	return $self->send(frame('p', "$final,p=" . encode_base64($proof, '')));
}

# A CancelRequest for this session, on a connection of its own; waits until that is closed.
sub cancel
{
	my ($self, %other) = @_;
	my $w = Meridian::Test::Wire->new(%{ $self->{again} });
	$w->send(cancel_request($other{pid} // $self->{pid}, $other{secret} // $self->{secret}));
	return $w->closed;
}

1;
