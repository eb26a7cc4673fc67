#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# A fleet behind a balancer that sends each connection to another proxy: every cancel request finds
# its session, whoever gets it, and nobody who has no key can do anything with that.
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use IPC::Run ();
use Meridian::Test::Balancer qw(balancer_missing);
use Meridian::Test::Cluster  qw(regional_clusters certificate sleeping);
use Meridian::Test::Measure  qw(:all);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Tls;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils qw(append_to_file);
use List::Util qw(sum0);
use POSIX ();
use Test::More;
use Time::HiRes qw(time);

my $dir  = PostgreSQL::Test::Utils::tempdir();
my $node = regional_clusters('us-east1');
my $cert = certificate('peer', alt => 'IP:127.0.0.1');

sub key_file
{
	my ($name, @keys) = @_;
	unlink "$dir/$name";
	append_to_file("$dir/$name", join "\n", @keys, '');
	chmod 0600, "$dir/$name";
	return "$dir/$name";
}

my ($old, $new, $foreign) = map { $_ x 32 } qw(0a b1 ff);
my %port  = map { $_ => PostgreSQL::Test::Cluster::get_free_port() } 1 .. 3;
my %inner = map { $_ => PostgreSQL::Test::Cluster::get_free_port() } 1 .. 3;

# Proxy 2 listens with TLS; proxies find each other by a name.
sub proxy
{
	my ($id, %set) = @_;
	return Meridian::Test::Proxy->new("p$id", port => $port{$id}, regions => [ 'us-east1' => $node ],
		conf => "[listener inner]\nlisten = 127.0.0.1:$inner{$id}\npeers_only = on\nhttp = on\n",
		set => { workers => 2, probe_interval => NEVER, peer_id => $id, fleet_key_file => key_file("keys$id", $old),
		peers => join(', ', map { "$_=localhost:$port{$_}" } sort keys %port),
		$id == 2 ? (tls_cert_file => $cert->{cert}, tls_key_file => $cert->{key}) : (), %set });
}

my %proxy = map { $_ => proxy($_) } 1, 2;
$_->start for values %proxy;

sub session
{
	my ($at, %param) = @_;
	my $w = Meridian::Test::Wire->new(ref $at ? $at : (port => $at));
	$w->login(database => 'postgres', application_name => 'wire', %param);
	return $w;
}

sub sleeps { $_[0]->send(query('SELECT pg_sleep(100)')); return sleeping($node, $_[1] // 1) }

# Send a session's cancel request to that proxy.
sub cancel_at
{
	my ($proxy, $w, %other) = @_;
	my $c = Meridian::Test::Wire->new($proxy);
	$c->send(cancel_request($other{pid} // $w->{pid}, $other{secret} // $w->{secret}));
	return $c->closed;
}

sub handed_on { return sum0(map { $_->counter('cancels_handed_on') } values %proxy) }

sub peer
{
	my ($proxy, $id) = @_;
	my ($row) = grep { $_->{peer_id} == $id } @{ $proxy->console('SHOW PEERS') };
	return $row;
}

# ---------------------------------------------------------------- two proxies

is_deeply([ map { [ @$_{qw(peer_id host port state forwarded)} ] } @{ $proxy{1}->console('SHOW PEERS') } ],
	[ [ 1, 'localhost', $port{1}, 'self', 0 ], map { [ $_, 'localhost', $port{$_}, 'unknown', 0 ] } 2, 3 ], 'SHOW PEERS');

# Keys of four bytes, and boxes; plain, and to the one that has TLS.
my %bytes = (0x30000 => sub { $_[0] == 4 }, 0x30002 => sub { $_[0] > 32 && $_[0] <= 190 });
for my $version (0x30000, 0x30002) {
	for my $to (1, 2) {
		my $w = session($proxy{$to}, version => $version);
		ok($bytes{$version}->(length $w->{secret}), 'a secret of ' . length($w->{secret}) . ' bytes');
		$w->send(query('SELECT pg_backend_pid()'));
		is(row_values(($w->until('Z'))[1])->[0], $w->{pid}, 'the process id is the server\'s');
		ok(sleeps($w), "a query runs at proxy $to");
		ok(cancel_at($proxy{ 3 - $to }, $w), 'its key is said to the other');
		is($w->ended_with, '57014', 'and ends it');
		ok(sleeps($w), 'a query runs again');
		ok(cancel_at($proxy{$to}, $w), 'its key is said to the right one');
		is($w->ended_with, '57014', 'and ends it');
		$w->send(query('SELECT 1'));
		is(row_values(($w->until('Z'))[1])->[0], '1', 'the session goes on');
	}
}
is($proxy{$_}->counter('cancels_handed_on'), 2, "proxy $_ has handed two on") for 1, 2;
is($proxy{$_}->counter('cancels_of_peers'), 2, "proxy $_ has got two") for 1, 2;
is_deeply([ @{ peer($proxy{1}, 2) }{qw(state forwarded received failed last_error)} ], [ 'up', 2, 2, 0, '' ], 'and SHOW PEERS says so');
ok($proxy{2}->counter('tls_handshakes') >= 2, 'by TLS where there is one');

my %secret = map { session($proxy{1})->{secret} => 1 } 1 .. 20;
is(scalar keys %secret, 20, 'each session has another secret');

# ---------------------------------------------------------------- nobody else

my $w = session($proxy{1});
my $long = session($proxy{1}, version => 0x30002);
ok(sleeps($w), 'a query runs');
ok(sleeps($long, 2), 'and another, of a client with a long key');
cancel_at($proxy{2}, $w, pid => $w->{pid} + 1);
cancel_at($proxy{2}, $w, pid => $long->{pid});
cancel_at($proxy{2}, $long, pid => $w->{pid});
for my $i (0, 1, 5, 16, 40, length($long->{secret}) - 1) {
	my $altered = $long->{secret};
	substr($altered, $i, 1) ^= "\x01";
	cancel_at($proxy{$_}, $long, secret => $altered) for 1, 2;
}
cancel_at($proxy{2}, $long, secret => substr $long->{secret}, 0, 100);
srand 42;
cancel_at($proxy{2}, $w, secret => pack 'N', int rand 2**32) for 1 .. 500;
is($proxy{2}->counter('cancels_handed_on'), 2, 'keys that are wrong go nowhere');
ok(sleeping($node, 2), 'and both queries run on');

# What a stranger can say to the port of a peer. The right letter needs the key.
sub hello
{
	my ($proxy) = @_;
	my $s = Meridian::Test::Wire->new($proxy);
	$s->send(pack 'N n n', 8, 19782, 1);
	my $answer = $s->bytes(17);
	is(substr($answer, 0, 1), 'F', 'a stranger says hello');
	return ($s, substr $answer, 1);
}

sub letter { return pack('N n n', 8 + length $_[0], 19782, 2) . $_[0] }

my ($s, $challenge) = hello($proxy{1});
isnt((hello($proxy{1}))[1], $challenge, 'each is challenged by something else');
$s->send(letter("\1" . "\0" x 60));
is($s->bytes(1), 'R', 'a letter without the key is refused');
ok($s->closed, 'and that is all');
($s) = hello($proxy{1});
$s->send_split(letter('x' x 100), 1);
is($s->bytes(1), 'R', 'byte by byte as well');
for my $rubbish ("\0\0\0\x08\0\0\0\0", "\xff" x 8, startup(user => 'postgres'), 'x' x 2000) {
	($s) = hello($proxy{1});
	$s->send($rubbish);
	is($s->bytes(1), 'R', 'whatever else it says is refused');
	ok($s->closed, 'and that is all');
}
$s = Meridian::Test::Wire->new($proxy{1});
$s->send(pack('N n n', 8, 19782, 1) . 'more');
is(error_fields($s->message)->{C}, '08P01', 'more than hello');
$s = Meridian::Test::Wire->new($proxy{1});
$s->send(letter('x' x 80));
is(error_fields($s->message)->{C}, '0A000', 'a letter without hello');
is($proxy{1}->counter('peers_refused'), 6, 'refusals are counted');
my $alone = Meridian::Test::Proxy->new('alone', regions => [ 'us-east1' => $node ]);
$alone->start;
$s = Meridian::Test::Wire->new($alone);
$s->send(pack 'N n n', 8, 19782, 1);
like(error_fields($s->message)->{M}, qr/unsupported frontend protocol 19782\.1/, 'who has no fleet knows no hello');
my $unsealed = session($alone, version => 0x30002);
is(length $unsealed->{secret}, 32, 'and gives long keys that are random');
ok(sleeps($unsealed, 3), 'a query runs there');
ok($unsealed->cancel, 'its key');
is($unsealed->ended_with, '57014', 'ends it');
$alone->stop;

# A letter that was overheard: a wire between the two, that keeps what is said.
my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 10);
my $tapped = fork // die;
if (!$tapped) {
	my $in = $listen->accept;
	my $out = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port{1});
	my %to = (fileno($in) => $out, fileno($out) => $in);
	my $all = IO::Select->new($in, $out);
	while (my @ready = $all->can_read(10)) {
		for my $fd (@ready) {
			sysread($fd, my $bytes, 4096) or POSIX::_exit(0);
			append_to_file("$dir/overheard", $bytes) if $fd == $in;
			syswrite $to{ fileno $fd }, $bytes;
		}
	}
	POSIX::_exit(0);
}
$proxy{2}->reload(set => { peers => '1=127.0.0.1:' . $listen->sockport });
ok(cancel_at($proxy{2}, $w), 'a request goes over a wire that is tapped');
is($w->ended_with, '57014', 'and arrives');
waitpid $tapped, 0;
my ($overheard) = PostgreSQL::Test::Utils::slurp_file("$dir/overheard") =~ /(....MF\0\x02.*)/s;
ok(defined $overheard, 'a letter was overheard');
unlike($overheard, qr/\Q$w->{secret}\E/, 'in which the secret does not stand');
ok(sleeps($w, 2), 'a query runs again');
($s) = hello($proxy{1});
$s->send($overheard);
is($s->bytes(1), 'R', 'the same letter is refused');
ok(sleeping($node, 2), 'and the query runs on');
$proxy{2}->reload(set => { peers => join ', ', map { "$_=localhost:$port{$_}" } 1 .. 3 });

# ---------------------------------------------------------------- misconfigured

# Peers that are each other's mirror: nothing goes round in circles.
sub letters { return sum0(map { $_->counter('cancels_of_peers') + $_->counter('peers_refused') } values %proxy) }

sub guess
{
	my ($proxy, $n) = @_;
	while ($n > 0) {
		my @c = map { Meridian::Test::Wire->new($proxy) } 1 .. 50;
		$_->send(cancel_request($w->{pid}, pack 'N', int rand 2**32)) for @c;
		$n -= grep { $_->closed } @c;
	}
	return;
}

my $before = letters();
$proxy{1}->reload(set => { peers => join ",\n    ", map { "$_=localhost:$port{2}" } 2 .. 300 });
$proxy{2}->reload(set => { peers => join ",\n    ", map { "$_=localhost:$port{1}" } 1, 3 .. 300 });
guess($proxy{$_}, 100) for 1, 2;
my $letters = letters() - $before;
ok($letters > 10 && $letters < 150, "of 200 guesses, the $letters that name one of 300 peers are handed on, once");
guess($proxy{2}, 1500);
cmp_ok($proxy{2}->counter('cancels_limited'), '>', 50, 'who guesses on is not helped any more');
cmp_ok(letters() - $before, '<', 600, 'nor are the peers troubled');
ok(sleeping($node, 2), 'and the queries run on');
cancel_at($proxy{2}, $long);
is($long->ended_with, '57014', 'a box is opened all the same');
ok(sleeps($long, 2), 'a query runs again');

# Other keys.
$proxy{1}->reload(set => { peers => join ', ', map { "$_=localhost:$port{$_}" } 1 .. 3 });
$proxy{2}->reload(set => { peers => join(', ', map { "$_=localhost:$port{$_}" } 1 .. 3), fleet_key_file => key_file('foreign', $foreign) });
cancel_at($proxy{2}, $_) for $w, $long;
ok(sleeping($node, 2), 'with other keys, the other proxy makes nothing of it');
my $stranger = session($proxy{2}, version => 0x30002);
ok(sleeps($stranger, 3), 'a query runs at that one');
cancel_at($proxy{1}, $stranger);
ok(sleeping($node, 3), 'nor does the first of its keys');
$stranger->cancel;
is($stranger->ended_with, '57014', 'its own proxy does');

# The key is changed while sessions live: the new one is added everywhere, then put first.
$proxy{$_}->reload(set => { fleet_key_file => key_file("both$_", $old, $new) }) for 1, 2;
$proxy{$_}->reload(set => { fleet_key_file => key_file("both$_", $new, $old) }) for 1, 2;
# what was tried with foreign keys may count as a guess for a moment
ok(wait_until(sub { cancel_at($proxy{2}, $w); return !$w->silent }), 'keys of before');
cancel_at($proxy{2}, $long);
is($_->ended_with, '57014', 'still work') for $w, $long;
for my $version (0x30000, 0x30002) {
	my $fresh = session($proxy{1}, version => $version);
	ok(sleeps($fresh), 'a session under the new key');
	cancel_at($proxy{2}, $fresh);
	is($fresh->ended_with, '57014', 'is cancelled through the other');
}
like($proxy{1}->reload(set => { fleet_key_file => key_file('bad', 'x') }), qr/reload failed.*64 hexadecimal digits/, 'a bad file of keys');
like($proxy{1}->reload(set => { fleet_key_file => "$dir/both1" }), qr/configuration reloaded/, 'changes nothing');

# ---------------------------------------------------------------- a proxy that is gone

my $short = session($proxy{1});
$long = session($proxy{1}, version => 0x30002);
my $dead = session($proxy{1}, version => 0x30002);
$dead->send(query('SELECT pg_backend_pid()'));
$dead->until('Z');
ok(sleeps($short), 'two queries run');
ok(sleeps($long, 2), 'at proxy 1');
$proxy{1}->kill9;
my $begin = time;
ok(cancel_at($proxy{2}, $long), 'proxy 1 is killed; a long key is said to proxy 2');
ok(sleeping($node, 1), 'which has the node cancel the query');
in_time($begin, 20, 'soon');
ok(cancel_at($proxy{2}, $short), 'a short key is said to it');
ok(sleeping($node, 1), 'which does not know the node');
is($proxy{2}->counter('cancels_direct'), 1, 'one was told to the node');
is_deeply([ @{ peer($proxy{2}, 1) }{qw(state failed last_error)} ], [ 'down', 2, 'Connection refused' ], 'SHOW PEERS says why');
$proxy{2}->log_like(qr/peer 1 \(localhost:\d+\).*Connection refused/, 'and so does the log');

# Its successor has its number, and knows of nothing.
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(100)'");
ok(sleeping($node, 0), 'the other query is ended by hand');
$proxy{1}->start;
$long = session($proxy{1}, version => 0x30002);
ok(sleeps($long), 'a query runs at proxy 1, which was started again');
$proxy{1}->kill9;
$proxy{1}->start;
cancel_at($proxy{1}, $long);
ok(sleeping($node, 0), 'killed and started again: its successor has the node cancel it');
$long = session($proxy{1}, version => 0x30002);
ok(sleeps($long), 'and once more');
$proxy{1}->kill9;
$proxy{1}->start;
cancel_at($proxy{2}, $long);
ok(sleeping($node, 0), 'through the other proxy');
is(peer($proxy{2}, 1)->{state}, 'up', 'which finds it well');
cancel_at($proxy{2}, $dead);
cancel_at($proxy{2}, $long);
ok(1, 'keys of sessions that are over harm nobody');

# A proxy that drains has closed its door to clients, and the one for peers is open.
$s = Meridian::Test::Wire->new(port => $inner{1});
is(error_fields(($s->login(database => 'postgres'))[0])->{C}, '42501', 'a client gets nowhere at the door for peers');
$s = Meridian::Test::Wire->new(port => $inner{1});
$s->send("GET /healthz HTTP/1.1\r\n\r\n");
unlike(join('', map { $_ // '' } @{ $s->message || [] }), qr/200/, 'nor HTTP');
$short = session($proxy{1});
ok(sleeps($short), 'a query runs at proxy 1');
$proxy{2}->reload(set => { peers => "1=127.0.0.1:$inner{1}" });
kill 'TERM', $proxy{1}->pid;
ok(wait_until(sub { !IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port{1}) }), 'which is told to drain');
cancel_at($proxy{2}, $short);
is($short->ended_with, '57014', 'a cancel by way of the other finds it');
ok($proxy{1}->wait_exit, 'and it ends with its last session');
is($proxy{1}->exit_status, 0, 'in peace');
$proxy{1}->start;
$proxy{2}->reload(set => { peers => join ', ', map { "$_=localhost:$port{$_}" } 1 .. 3 });

# A peer that hangs is waited for once.
my $hang = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 10);
$long = session($proxy{1}, version => 0x30002);
my @more = map { session($proxy{1}, version => 0x30002) } 1 .. 3;
$_->send(query('SELECT pg_sleep(100)')) for @more;
ok(sleeps($long, 4), 'queries run');
$proxy{2}->reload(set => { peers => '1=127.0.0.1:' . $hang->sockport });
$begin = time;
cancel_at($proxy{2}, $long);
is($long->ended_with, '57014', 'the issuer hangs: the node is asked');
ok(passed($begin) >= 2.5, 'after a while');
$begin = time;
cancel_at($proxy{2}, $_) for @more;
is($_->ended_with, '57014', 'and the next') for @more;
in_time($begin, 6, 'at once, where each for itself would wait for 3 s');
$proxy{2}->reload(set => { peers => join ', ', map { "$_=localhost:$port{$_}" } 1 .. 3 });
close $hang;

# ---------------------------------------------------------------- behind a balancer

SKIP: {
	my $missing = balancer_missing('haproxy');
	skip $missing, 1 if $missing;
	$proxy{3} = proxy(3, fleet_key_file => key_file('both3', $new, $old));
	$proxy{3}->start;
	my $front = PostgreSQL::Test::Cluster::get_free_port();
	my $lb = Meridian::Test::Balancer->new('haproxy', ports => [$front], text => <<"EOT" . join '', map { "\tserver p$_ 127.0.0.1:$port{$_}\n" } 1 .. 3);
defaults
	mode tcp
	timeout connect 5s
	timeout client 1h
	timeout server 1h
listen fleet
	bind 127.0.0.1:$front
	balance roundrobin
EOT
	$lb->start;
	my $count = build_factor() > 1 ? 25 : 100;
	my $on = -handed_on();
	my $landed = 0;
	for my $i (1 .. $count) {
		my ($said, $complained) = ('', '');
		my $psql = IPC::Run::start([ 'psql', '-XAtq', '-d', "host=127.0.0.1 port=$front dbname=postgres application_name=ctrlc$i",
				'-c', 'SELECT pg_sleep(20)' ], '<', \'', '>', \$said, '2>', \$complained);
		$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'ctrlc$i' AND state = 'active'");
		$psql->signal('INT');
		$psql->finish;
		$landed++ if $complained =~ /canceling statement due to user request/;
	}
	is($landed, $count, "HAProxy, round robin over three proxies: $count times Ctrl-C in psql, and each lands");
	$on += handed_on();
	measured("%d of %d were handed on", $on, $count);
	ok($on > $count / 3, 'most of them by way of another proxy');
	# many at once
	my @crowd = map { session($front, version => $_ % 2 ? 0x30000 : 0x30002) } 1 .. 60;
	$_->send(query('SELECT pg_sleep(100)')) for @crowd;
	ok(sleeping($node, 60), 'sixty queries run');
	my @asking = map {
		my $c = Meridian::Test::Wire->new(port => $front);
		$c->send(cancel_request($_->{pid}, $_->{secret}));
		$c
	} @crowd;
	is((grep { $_->closed } @asking), 60, 'sixty cancel requests at once');
	is((grep { $_->ended_with eq '57014' } @crowd), 60, 'end them all');
	$lb->stop;
}
undef $_ for $w, $long, $short, $dead;
$_->stop for map { $proxy{$_} } sort keys %proxy;
done_testing();
