#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# HTTP from clients that send ahead and read late: the proxy stops reading them, and goes on where it
# stopped, whatever is left in its hands at that moment.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Http;
use Meridian::Test::Measure qw(stand_still);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use Test::More;

use constant { PIECE => 2048, FULL => 114_688 };    # the proxy reads no more behind so much that waits

my ($node) = regional_clusters('us-east1');
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $node ],
	set     => { workers => 1, http => 'on', metrics => 'on', client_login_timeout => NEVER });
$proxy->start;
my $user = (getpwuid $>)[0];

# A request of exactly so many bytes.
sub sized
{
	my ($n) = @_;
	my $bytes = http_request(GET => '/healthz', 'X-Pad' => '');
	$bytes =~ s/(X-Pad: )/$1 . 'x' x ($n - length $bytes)/e;
	return $bytes;
}

sub statement
{
	my ($sql) = @_;
	return http_request(POST => '/sql', 'Neon-Connection-String' => "postgresql://$user\@127.0.0.1/postgres",
		body => qq({"query":"$sql"}));
}

# A connection on the unix socket, whose buffers are small and never grow, with an answer on its way
# that they do not hold; and the rest of a full inbox behind its request, but for one piece.
sub stopped
{
	my $w = Meridian::Test::Wire->new(path => $proxy->socket_path);
	$w->send(statement("SELECT repeat('x', 3000000) AS a"));
	ok($w->wait_for('read', 30), 'an answer that is longer than what the socket takes');
	$w->send(sized(PIECE) x (FULL / PIECE));
	let_pass(0.5, 'the proxy reads them');
	return $w;
}

# The long answer, and `n` short ones behind it.
sub read_all
{
	my ($w, $n) = @_;
	is(length http_answer($w)->{body} > 3e6, 1, 'the long answer comes whole');
	is(scalar(grep { http_answer($w)->{status} == 200 } 1 .. $n), $n, "and the $n behind it");
	return;
}

is(length sized(PIECE), PIECE, 'a request of a known length');

# The last byte that was kept is the last one of a request: nothing is left, but the client goes on.
my $w = stopped();
$w->send(sized(PIECE));
let_pass(0.2, 'it would be read');
read_all($w, FULL / PIECE + 1);
is(http_ask($w, GET => '/healthz')->{status}, 200, 'a client that was not read is read again');

# The same with half a request left, and with more in the socket than was kept.
$w = stopped();
$w->send(substr sized(PIECE), 0, PIECE / 2);
let_pass(0.2, 'it would be read');
$w->send(substr sized(PIECE), PIECE / 2);
read_all($w, FULL / PIECE + 1);
is(http_ask($w, GET => '/healthz')->{status}, 200, 'with half a request left');
$w = stopped();
$w->send(sized(PIECE) x 10);
read_all($w, FULL / PIECE + 10);
is(http_ask($w, GET => '/healthz')->{status}, 200, 'with more behind it');

# Behind a statement that waits for its node, too: its login reads no more than there is room for.
$proxy->console('PAUSE DATABASE postgres');
$w = Meridian::Test::Wire->new($proxy);
$w->send(statement('SELECT 6 * 7 AS a'), map { (sized(PIECE)) x 20, statement("SELECT $_ AS a") } 1 .. 10);
let_pass(0.5, 'they would be read');
$proxy->console('RESUME DATABASE postgres');
like(http_answer($w)->{body}, qr/42/, 'a statement that was held');
for my $i (1 .. 10) {
	is(scalar(grep { http_answer($w)->{status} == 200 } 1 .. 20), 20, 'what came behind it');
	like(http_answer($w)->{body}, qr/"a":"?$i\b/, 'and the next one');
}

# Who goes away while it is not read is seen to be gone, once its answers have nowhere to go.
$w = stopped();
$w->send(sized(PIECE));
$w->close;
$proxy->wait_console('SHOW SESSIONS FULL', sub { @{ $_[0] } == 1 });
pass('who leaves unread answers behind is gone');

# What follows the last request that was kept is another protocol.
for my $come (\&http_connect, \&http_websocket) {
	$w = stopped();
	$w->send(sized(PIECE));
	let_pass(0.2, 'it would be read');
	read_all($w, FULL / PIECE + 1);
	ok($come->($w, $come == \&http_connect ? 'db' : '/')->{status} =~ /^(?:200|101)$/, 'a tunnel behind it all');
	is(($w->login(user => $user, database => 'postgres'))[-1][0], 'Z', 'with a session');
	is($w->ask('SELECT 42'), 42, 'and a query');
}

# Who sends hundreds of requests at once does not keep another from its answer: that says how many have
# been read before it. Both are there before the proxy looks.
my ($many, $other) = map { Meridian::Test::Wire->new($proxy) } 1 .. 2;
is(http_ask($_, GET => '/healthz')->{status}, 200, 'a connection') for $many, $other;
my $read   = sub { $_[0]{body} =~ /^meridian_http_requests_total (\d+)$/m ? $1 : die 'no counter' };
my $before = $read->(http_ask($other, GET => '/metrics'));
stand_still($proxy->pid);
$many->send(http_request(GET => '/healthz') x 300);
$other->send(http_request(GET => '/metrics'));
kill CONT => $proxy->pid;
cmp_ok($read->(http_answer($other)) - $before, '<', 50, 'who comes second does not wait for hundreds in front');
is(scalar(grep { http_answer($many)->{status} == 200 } 1 .. 300), 300, 'and they are answered, too');
is(http_ask($many, GET => '/healthz')->{status}, 200, 'to the last');

$proxy->stop;
done_testing();
