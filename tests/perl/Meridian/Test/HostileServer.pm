# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::HostileServer - nodes that do what no server should, each as the database says
# that a session asks for.
#
#   use Meridian::Test::HostileServer;
#
#   my $server = Meridian::Test::HostileServer->new;     # a Meridian::Test::Fake: nodes => $server
#   $server->run('passthrough', rounds => 1);            # every case, through a proxy of its own:
#                                                        # each is a test point
#
# The modes: passthrough; tls, the same with a client on TLS; transaction and session, in a pool;
# secure and secure-pool, where the node has to be on TLS, for what can go wrong in front of that; reset,
# a session pool of one connection, for what can go wrong between two sessions.
#
# Probes and other databases get a good server, but where a case begins before anybody has said who
# it is. A case has
#
#   name     of it and of its database
#   at       accept, ssl, login, query, late (between two queries), reset
#   sees     what the client sees, in the words of Meridian::Test::Chaos::outcome(); undef: not run
#   pooled   the same in a pool
package Meridian::Test::HostileServer;
use strict;
use warnings;

use Meridian::Test::Chaos;
use Meridian::Test::Cluster qw(certificate);
use Meridian::Test::Fake;
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Tls;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Socket;
use Test::More;

use parent -norequire, 'Meridian::Test::Fake';

my $ok      = frame('R', pack 'N', 0);
my $ready   = frame('Z', 'I');
my $row     = frame('T', pack('n', 1) . "n\0" . pack('N n N n N n', 0, 0, 23, 4, 0xffffffff, 0)) . frame('D', pack('n N a', 1, 1, '1'));
my $answer  = $row . frame('C', "SELECT 1\0") . $ready;
my $key     = frame('K', pack 'N N', 7, 8);
my $no_type = frame("\xff", 'garbage');
my $garbage = join '', map { chr(128 + $_ * 37 % 128) } 1 .. 300;

sub error
{
	my ($state, $severity, $more) = @_;
	$severity //= 'FATAL';
	return frame('E', "S$severity\0V$severity\0C$state\0Mthe node says so" . ($more // '') . "\0\0");
}

sub setting { return frame('S', "$_[0]\0$_[1]\0") }

# ---------------------------------------------------------------- what it does with a socket

sub reset_it
{
	my ($fd) = @_;
	setsockopt $fd, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0);
	return;
}

sub wait_for_end
{
	my ($fd) = @_;
	1 while sysread $fd, my $bytes, 65536;
	return;
}

# What was said has been read.
sub wait_for_reader
{
	my ($fd) = @_;
	my ($own)  = sockaddr_in(getsockname $fd);
	my ($peer) = sockaddr_in(getpeername $fd);
	my $unread = sprintf ':%04X \w+:%04X \w\w \w+:0*[1-9A-F]', $peer, $own;
	my $d = deadline(60, 'the proxy to read');
	1 while PostgreSQL::Test::Utils::slurp_file('/proc/net/tcp') =~ /$unread/ && $d->goes_on;
	return;
}

# Bytes one by one, each once those before it have been read, and then nothing.
sub in_pieces
{
	my (@bytes) = @_;
	return sub {
		my ($fd) = @_;
		for (split //, join '', @bytes) {
			syswrite $fd, $_;
			wait_for_reader($fd);
		}
		wait_for_end($fd);
	};
}

# Bytes, and the end of the connection; with a reset, once they have been read.
sub then_close { my (@bytes) = @_; return sub { syswrite $_[0], join '', @bytes } }

sub then_reset
{
	my (@bytes) = @_;
	return sub {
		my ($fd) = @_;
		syswrite $fd, join '', @bytes;
		wait_for_reader($fd);
		let_pass(0.05, 'what was read is passed on before the reset comes');
		reset_it($fd);
	};
}

sub then_silence
{
	my (@bytes) = @_;
	return sub { my ($fd) = @_; syswrite $fd, join '', @bytes; wait_for_end($fd) };
}

sub then_half_close
{
	my (@bytes) = @_;
	return sub { my ($fd) = @_; syswrite $fd, join '', @bytes; shutdown $fd, 1; wait_for_end($fd) };
}

# First this, and then that, until nobody takes it any more. Where that is code: what it returns.
sub endless
{
	my ($first, $again) = @_;
	return sub {
		my ($fd) = @_;
		my $i = 0;
		syswrite $fd, $first;
		while (1) {
			my $bytes = ref $again ? join '', map { $again->($i++) } 1 .. 500 : $again x 50;
			while (length $bytes) {
				my $n = syswrite $fd, $bytes or return;
				substr($bytes, 0, $n) = '';
			}
		}
	};
}

# ---------------------------------------------------------------- the cases

my $unreachable = 'login 08006, closed';
my $lost        = 'query 57P01, closed';
my $violation   = 'query 08P01, closed';
my $on          = 'query 1, goes on';

my @accept = (
	[ closes_at_once   => sub { undef }, $unreachable ],
	[ resets_at_once   => sub { then_reset() }, $unreachable ],
	[ never_answers    => sub { then_silence() }, $unreachable ],
	[ speaks_first     => sub { then_silence($garbage) }, $unreachable ],
	[ endless_at_once  => sub { endless('', $garbage) }, $unreachable ]);
my @ssl = (
	[ ssl_error        => sub { then_silence('E') }, $unreachable ],
	[ ssl_garbage      => sub { then_silence($garbage) }, $unreachable ],
	[ ssl_closes       => sub { undef }, $unreachable ],
	[ ssl_silence      => sub { then_silence() }, $unreachable ],
	[ ssl_yes_garbage  => sub { then_silence('S', $garbage) }, $unreachable ],
	[ ssl_yes_plain    => sub { then_silence('S', Meridian::Test::Fake::welcome()) }, $unreachable ],
	[ ssl_yes_closes   => sub { then_close('S') }, $unreachable ],
	[ ssl_yes_silence  => sub { then_silence('S') }, $unreachable ]);
my @login = (
	[ login_closes           => sub { undef }, $unreachable ],
	[ login_resets           => sub { then_reset() }, $unreachable ],
	[ login_silence          => sub { then_silence() }, $unreachable ],
	[ login_half_header      => sub { then_close(substr $ok, 0, 3) }, $unreachable ],
	[ login_half_message     => sub { then_close(substr $ok, 0, 7) }, $unreachable ],
	[ login_half_close       => sub { then_half_close(substr $ok, 0, 7) }, $unreachable ],
	[ login_ok_and_closes    => sub { then_close($ok) }, $unreachable ],
	[ login_key_and_closes   => sub { then_close($ok, $key) }, $unreachable ],
	[ login_length_0         => sub { then_silence(pack 'a1 N', 'R', 0) }, $unreachable ],
	[ login_length_3         => sub { then_silence(pack 'a1 N', 'R', 3) }, $unreachable ],
	[ login_length_negative  => sub { then_silence(pack 'a1 N', 'R', 0xffffffff) }, $unreachable ],
	[ login_length_2gb       => sub { then_silence(pack 'a1 N', 'R', 0x7fffffff) }, $unreachable ],
	[ login_garbage          => sub { then_silence($garbage) }, $unreachable ],
	[ login_no_type          => sub { then_silence($no_type) }, $unreachable ],
	[ login_row              => sub { then_silence($row) }, $unreachable ],
	[ login_empty_request    => sub { then_silence(frame('R', '')) }, 'login 08P01, closed', $unreachable ],
	[ login_method_99        => sub { then_silence(frame('R', pack 'N', 99)) }, 'login request 99', 'login 28000, closed' ],
	[ login_sasl_none        => sub { then_silence(frame('R', pack('N', 10) . "\0")) }, 'login request 10', 'login 28000, closed' ],
	[ login_sasl_continued   => sub { then_silence(frame('R', pack('N', 11) . 'r=x,s=y,i=1')) }, 'login request 11', 'login 08P01, closed' ],
	[ login_md5_no_salt      => sub { then_silence(frame('R', pack('N n', 5, 1))) }, 'login 08P01, closed', $unreachable ],
	[ login_says_53300       => sub { then_close(error('53300')) }, $unreachable ],
	[ login_says_57P03       => sub { then_close(error('57P03')) }, $unreachable ],
	[ login_says_28P01       => sub { then_close(error('28P01')) }, 'login 28P01, closed' ],
	[ login_says_3D000_stays => sub { then_silence(error('3D000')) }, 'login 3D000, closed' ],
	[ login_long_error       => sub { then_close(error('28P01', 'FATAL', 'x' x 200000)) }, $unreachable ],
	[ login_error_no_fields  => sub { then_close(frame('E', "\0")) }, 'login -, closed', 'login XX000, closed' ],
	[ login_error_no_end     => sub { then_close(frame('E', 'SFATAL')) }, $unreachable ],
	[ login_endless_errors   => sub { endless('', error('28P01')) }, 'login 28P01, closed' ],
	[ login_endless_refusals => sub { endless('', error('53300')) }, $unreachable ],
	[ login_endless_settings => sub { endless($ok, sub { setting("x.y$_[0]", 'z') }) }, $unreachable ],
	[ login_endless_notices  => sub { endless('', error('00000', 'NOTICE') =~ s/^E/N/r) }, $unreachable ],
	[ login_endless_ok       => sub { endless('', $ok) }, $unreachable ],
	[ login_bad_setting      => sub { then_silence($ok, frame('S', 'server_version')) }, $unreachable ],
	[ login_long_setting     => sub { then_silence($ok, setting('x', 'y' x 100000)) }, $unreachable ],
	[ login_short_key        => sub { then_silence($ok, frame('K', pack 'N n', 7, 8), $ready) }, 'login 08P01, closed', $unreachable ],
	[ login_long_key         => sub { then_silence($ok, frame('K', pack('N', 7) . 'k' x 300), $ready) }, 'login 08P01, closed', $unreachable ],
	[ login_two_keys         => sub { then_silence($ok, $key, $key, $ready) }, 'login 08P01, closed', $unreachable ],
	[ login_bad_version      => sub { then_silence(frame('v', 'x'), $ok, $key, $ready) }, 'query silence' ]);
my @query = (
	[ query_silence          => sub { then_silence() }, 'query silence' ],
	[ query_closes           => sub { undef }, $lost ],
	[ query_resets           => sub { then_reset() }, $lost ],
	[ query_half_close       => sub { then_half_close() }, $lost ],
	[ query_half_header      => sub { then_close(substr $row, 0, 3) }, 'query closed' ],
	[ query_half_message     => sub { then_close(substr $row, 0, -1) }, 'query closed' ],
	[ query_half_reset       => sub { then_reset(substr $row, 0, -1) }, 'query closed' ],
	[ query_row_and_closes   => sub { then_close($row) }, $lost ],
	[ query_done_and_closes  => sub { then_close($answer) }, 'query 1, 57P01, closed', 'query 1, goes on' ],
	[ query_says_57P01       => sub { then_close(error('57P01')) }, $lost ],
	[ query_fatal_and_stays  => sub { then_silence(error('57P01')) }, 'query 57P01, silence' ],
	[ query_length_0         => sub { then_silence(pack 'a1 N', 'D', 0) }, $violation ],
	[ query_length_3         => sub { then_silence(pack 'a1 N', 'T', 3) }, $violation ],
	[ query_length_negative  => sub { then_silence(pack 'a1 N', 'D', 0xffffffff) }, $violation ],
	[ query_row_then_bad     => sub { then_silence($row, pack 'a1 N', 'D', 0) }, $violation ],
	[ query_bad_in_pieces    => sub { in_pieces($row, pack 'a1 N', 'D', 0) }, 'query closed' ],
	[ query_garbage          => sub { then_silence($garbage) }, $violation ],
	[ query_no_type          => sub { $no_type . $answer }, $on ],
	[ query_bad_status       => sub { then_silence($row, frame('C', "SELECT 1\0"), frame('Z', 'x')) }, $violation ],
	[ query_long_ready       => sub { then_silence($row, frame('Z', 'III')) }, $violation ],
	[ query_two_answers      => sub { $answer . $answer }, 'query 1, unasked 1, goes on' ],
	[ query_copy_in          => sub { frame('G', pack 'C n', 0, 0) . $answer }, $on ],
	[ query_copy_both        => sub { frame('W', pack 'C n', 0, 0) . $answer }, $on ],
	[ query_login_again      => sub { frame('R', pack 'N', 3) . $answer }, $on ],
	[ query_key_again        => sub { $key . $answer }, $on ],
	[ query_error_no_fields  => sub { frame('E', '') . frame('E', "\0") . $answer }, $on ],
	[ query_error_no_end     => sub { frame('E', 'CXX') . $answer }, $on ],
	[ query_endless_rows     => sub { endless($row, frame('D', pack('n N a*', 1, 1000, 'x' x 1000))) }, 'query endless' ],
	[ query_endless_settings => sub { endless('', sub { setting("x.y$_[0]", 'z' x 50) }) }, 'query endless' ],
	[ query_endless_notices  => sub { endless('', error('00000', 'NOTICE') =~ s/^E/N/r) }, 'query endless' ],
	[ query_endless_ready    => sub { endless('', $ready) }, 'query -, goes on' ]);
my @late = (
	[ late_answer   => sub { $answer . $answer }, 'query 1, unasked 1, goes on', $on ],
	[ late_settings => sub { join '', map { setting("x.y$_", 'z' x 900) } 1 .. 2000 }, $on ],
	[ late_fatal    => sub { error('57P01') }, 'query 1, 57P01, silence', $on ],
	[ late_garbage  => sub { $garbage }, 'query 1, 08P01, closed', $on ],
	[ late_half     => sub { substr $answer, 0, 7 }, undef, $on ]);

my @reset = (
	[ reset_silence    => sub { then_silence() }, undef, $on ],
	[ reset_half       => sub { then_silence(substr $ready, 0, 3) }, undef, $on ],
	[ reset_closes     => sub { undef }, undef, $on ],
	[ reset_garbage    => sub { then_silence($garbage) }, undef, $on ],
	[ reset_bad_status => sub { then_silence(frame('Z', 'x')) }, undef, $on ],
	[ reset_in_trouble => sub { then_silence(frame('Z', 'E')) }, undef, $on ],
	[ reset_fails      => sub { then_silence(error('58000', 'ERROR'), $ready) }, undef, $on ],
	[ reset_endless    => sub { endless('', frame('D', pack('n N a*', 1, 1000, 'x' x 1000))) }, undef, $on ],
	[ reset_settings   => sub { endless('', sub { setting("x.y$_[0]", 'z') }) }, undef, $on ]);

# What is said between two queries is said a little after the first answer; when it has been read,
# there is a file.
sub late
{
	my ($bytes, $said) = @_;
	return sub {
		my ($fd) = @_;
		syswrite $fd, $answer;
		wait_for_reader($fd);
		let_pass(0.05, 'the answer reaches the client');
		syswrite $fd, $bytes;
		wait_for_reader($fd);
		symlink 'said', $said;
		while (sysread $fd, my $in, 65536) { syswrite $fd, $answer if $in =~ /^Q/ }
	};
}

sub table
{
	my ($at, @rows) = @_;
	return map {
		my ($name, $make, $sees, $pooled) = @$_;
		{ name => $name, at => $at, make => $make, sees => $sees, pooled => $pooled // $sees }
	} @rows;
}

my @cases = (table(accept => @accept), table(ssl => @ssl), table(login => @login), table(query => @query), table(late => @late), table(reset => @reset));
my %case  = map { $_->{name} => $_ } @cases;

# ---------------------------------------------------------------- the server

# Which case there is from the first byte on, if any, is in a file.
sub new
{
	my ($class) = @_;
	my $mood = PostgreSQL::Test::Utils::tempdir() . '/mood';
	my $first = sub {
		my ($at, $else) = @_;
		my $name = readlink($mood) // '';
		return $else unless $case{$name} && $case{$name}{at} eq $at;
		return $case{$name}{make}->();
	};
	my $by_name = sub {
		my ($c, $at) = @_;
		my $case = $case{ $c->{param}{database} // '' };
		return $case && $case->{at} eq $at ? $case : undef;
	};
	my $self = $class->SUPER::new(on => {
		accept => sub { $first->('accept', '') },
		ssl    => sub { $first->('ssl',    'N') },
		'' => sub { my $case = $by_name->($_[2], 'login'); $case ? $case->{make}->() : Meridian::Test::Fake::welcome() },
		Q  => sub {
			my ($type, $body, $c) = @_;
			if ($body =~ /^DISCARD/) {
				my $case = $by_name->($c, 'reset');
				return $case ? $case->{make}->() : frame('C', "DISCARD ALL\0") . $ready;
			}
			my $case = $by_name->($c, 'query') // $by_name->($c, 'late') // return $answer;
			return $case->{at} eq 'late' ? late($case->{make}->(), "$mood.$case->{name}") : $case->{make}->();
		} });
	$self->{mood} = $mood;
	return $self;
}

# What it does to whoever connects, while it is said.
sub begin
{
	my ($self, $case) = @_;
	$self->behave;
	symlink $case->{name}, $self->{mood} if $case->{at} eq 'accept' || $case->{at} eq 'ssl';
	return;
}

sub behave { return unlink $_[0]{mood} }

# ---------------------------------------------------------------- the test

sub proxy
{
	my ($self, $mode) = @_;
	my $pool  = $mode =~ /transaction|pool/ ? 'transaction' : $mode =~ /session|reset/ ? 'session' : '';
	my $cert  = certificate('proxy', alt => 'DNS:localhost');
	my $proxy = Meridian::Test::Proxy->new($mode,
		regions => [ 'us-east1' => { nodes => $self, sslmode => $mode =~ /secure/ ? 'require' : 'disable' } ],
		set     => { workers => 1, auth_throttle_base => 0, auth => $pool ? 'trust' : 'passthrough', server_connect_timeout => span(1),
			query_wait_timeout => span(3), server_login_retry => '20ms', probe_conninfo => undef, probe_interval => '100ms', probe_rise => 1,
			$mode eq 'reset' ? (default_pool_size => 1, server_idle_timeout => span(1), query_wait_timeout => span(20)) : (),
			failback_delay => 0, tls_cert_file => $cert->{cert}, tls_key_file => $cert->{key} },
		conf => $pool ? join '', map { "[database $_->{name}]\npool = $pool\n" } @cases, { name => 'good' } : '');
	$proxy->start;
	return $proxy;
}

sub run
{
	my ($self, $mode, %opt) = @_;
	my $proxy = $self->proxy($mode);
	my $only  = $mode =~ /secure/ ? 'ssl' : $mode eq 'reset' ? 'reset' : 'accept login query late';
	my @mine  = grep { index($only, $_->{at}) >= 0 && defined $_->{ side($mode, $_) } } @cases;
	my $chaos = Meridian::Test::Chaos->new($proxy, $mode =~ /secure/ ? () : (database => 'good'));
	for my $round (1 .. $opt{rounds}) {
		$self->run_case($proxy, $chaos, $_, $_->{ side($mode, $_) }, "$mode: $_->{name}") for @mine;
		$chaos->all_is_back("after round $round of $mode", memory => $round > 2 ? 64 : undef);
	}
	$proxy->stop;
	return;
}

# A session of a session pool keeps its server between two queries, as one of its own.
sub side
{
	my ($mode, $case) = @_;
	return 'sees' if $mode eq 'session' && ($case->{at} eq 'late' || $case->{name} eq 'query_done_and_closes');
	return $mode =~ /transaction|session|pool|reset/ ? 'pooled' : 'sees';
}

# The session behind which the connection is reset.
sub before
{
	my ($self, $proxy, $case) = @_;
	my $w = Meridian::Test::Wire->session($proxy, database => $case->{name});
	$w->ask('SELECT 1');
	$w->send(terminate);
	$w->closed;
	return;
}

sub run_case
{
	my ($self, $proxy, $chaos, $case, $sees, $what) = @_;
	$self->begin($case);
	$self->before($proxy, $case) if $case->{at} eq 'reset';
	my $w = $what =~ /^tls/ ? Meridian::Test::Tls->new($proxy, '-starttls', 'postgres') : Meridian::Test::Wire->new($proxy);
	my $said = "$self->{mood}.$case->{name}";
	unlink $said;
	my %time = (patience => $sees =~ /silence/ ? 0.4 : 10, $case->{at} eq 'late' ? (pause_until => sub { -l $said }) : ());
	is(outcome($w, database => $case->{name}, %time), $sees, $what);
	undef $w;
	$self->behave;
	$proxy->wait_console('SHOW NODES FULL', sub { $_[0][0]{state} eq 'up' }) if $case->{at} =~ /accept|ssl/;
	$chaos->sessions_are_back("after $case->{name}");
	return;
}

1;
