#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Sessions seen from the console: where they are and what they do, one of them in full, ending one,
# draining a region under them, overriding where callers go, and the end of the program.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use Test::More;
use Time::HiRes qw(time);

my ($east, $europe) = regional_clusters('us-east1', 'europe-west1');
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [
		'us-east1'     => { nodes => $east,   cities => 'new york' },
		'europe-west1' => { nodes => $europe, cities => 'paris' }
	],
	set => { workers => 3, region => 'us-east1' });
$proxy->start;
$proxy->wait_up(2);
my $user = $east->safe_psql('postgres', 'SELECT current_user');
my $where = "SELECT current_setting('cluster_name')";

sub caller_of
{
	my ($city, %more) = @_;
	my $w = Meridian::Test::Wire->new($proxy);
	$w->login(user => $user, database => 'postgres', application_name => "from $city",
		'meridian.city' => $city, %more);
	return $w;
}

# What a query answers, as text; or the SQLSTATE of its error.
sub said
{
	my ($w, $sql) = @_;
	$w->send(query($sql));
	for my $m ($w->until('Z')) {
		return row_values($m)->[0] if $m->[0] eq 'D';
		return error_fields($m)->{C} if $m->[0] eq 'E';
	}
	return '';
}

sub sessions
{
	my ($filter) = @_;
	return grep { $_->{state} ne 'console' } @{ $proxy->console('SHOW SESSIONS FULL ' . ($filter // '')) };
}

# ---------------------------------------------------------------- listed

my $paris = caller_of('paris');
my $york  = caller_of('new york');
is(said($paris, $where), 'europe-west1', 'Paris is in Europe');
is(said($york, $where), 'us-east1', 'New York in the east');
my $pid = said($paris, 'SELECT pg_backend_pid()');
said($york, 'BEGIN');
my %by_city = map { $_->{city} => $_ } sessions();
my $p = $by_city{paris};
is("$p->{database} $p->{user} $p->{application_name}", "postgres $user from paris", 'who it is');
is("$p->{locality_source} $p->{home}", 'startup europe-west1', 'where it went');
is($p->{node}, '127.0.0.1:' . $europe->port, 'to which node');
is($p->{server_pid}, $pid, 'and to which process there');
like($p->{client_addr}, qr/^127\.0\.0\.1:\d+$/, 'where it came from');
is($p->{true_addr}, $p->{client_addr}, 'truly');
is($p->{state}, 'idle', 'what it does: nothing');
is($by_city{'new york'}{state}, 'idle in transaction', 'or it is in a transaction');
is($p->{queries}, 2, 'queries are counted');
cmp_ok($p->{rx_bytes}, '>', 0, 'bytes are counted');
cmp_ok($p->{client_rtt_us}, '>', 0, 'the round trip is the kernel\'s');
cmp_ok($p->{server_rtt_us}, '>', 0, 'of the server as well');
is(scalar(sessions('REGION europe-west1')), 1, 'listed by region');
is(scalar(sessions("STATE 'idle in transaction'")), 1, 'by state');
is(scalar(sessions('DATABASE nothing')), 0, 'by database');
my @servers = @{ $proxy->console('SHOW SERVERS') };
is(join(' ', sort map { $_->{region} } @servers), 'europe-west1 us-east1', 'their servers');
my %sessions_of = map { $_->{region} => $_->{sessions} } @{ $proxy->console('SHOW REGIONS') };
is("$sessions_of{'us-east1'} $sessions_of{'europe-west1'}", '1 1', 'counted by region');

# Over all workers, in chunks.
my @many = map { caller_of($_ % 2 ? 'paris' : 'new york') } 1 .. 60;
is(scalar(sessions()), 62, 'all of many are listed');
my %workers = map { $_->{worker} => 1 } sessions();
cmp_ok(scalar keys %workers, '>', 1, 'of several workers');
my %ids = map { $_->{id} => 1 } sessions();
is(scalar keys %ids, 62, 'each once');
undef @many;

# ---------------------------------------------------------------- one in full

my %section;
push @{ $section{ $_->{section} } }, $_ for @{ $proxy->console("SHOW SESSION $p->{id}") };
my %facts = map { $_->{key} => $_->{value} } @{ $section{facts} };
is($facts{node}, $p->{node}, 'SHOW SESSION has facts');
cmp_ok(scalar @{ $section{history} }, '>', 2, 'history');
ok((grep { $_->{key} eq 'startup city' && $_->{value} =~ /paris.*won/ } @{ $section{evidence} }), 'evidence');
like($section{route}[0]{value}, qr/^europe-west1 \S+ chosen: /, 'a route');
ok((grep { $_->{key} eq 'rx_bytes' } @{ $section{bytes} }), 'bytes');
ok($section{move}, 'and whether it can be moved');
is($proxy->console("EXPLAIN ROUTE SESSION $p->{id}")->[0]{region}, 'europe-west1', 'EXPLAIN ROUTE SESSION');
is($proxy->console("EXPLAIN LOCALITY SESSION $p->{id}")->[0]{value}, 'paris', 'EXPLAIN LOCALITY SESSION');

# ---------------------------------------------------------------- ended

is($proxy->console_error("KILL SESSION $by_city{'new york'}{id}"), '', 'KILL SESSION');
my $last = $york->message;
is($last->[0], 'E', 'its client is told');
is(error_fields($last)->{C}, '57P01', 'that an administrator did it');
ok($york->closed, 'and is closed');
is(said($paris, $where), 'europe-west1', 'the other lives');
like($proxy->console_error("KILL SESSION $by_city{'new york'}{id}"), qr/42704/, 'it is gone');

# ---------------------------------------------------------------- DRAIN

is($proxy->console_error('DRAIN REGION europe-west1'), '', 'DRAIN REGION');
is($proxy->console('SHOW REGIONS')->[1]{drained}, 't', 'it is drained');
is(said(caller_of('paris'), $where), 'us-east1', 'new callers of Paris go elsewhere');
is(said($paris, $where), 'europe-west1', 'those that are there stay');
like($proxy->console("EXPLAIN ROUTE CITY 'paris'")->[1]{reason}, qr/drain/, 'the route says why');
is($proxy->console_error("DRAIN REGION europe-west1 DEADLINE '200ms'"), '', 'DRAIN with a deadline');    # time: as the command is given it
$last = $paris->message;
is(error_fields($last)->{C}, '57P01', 'ends those that are left');
is($proxy->console_error('UNDRAIN REGION europe-west1'), '', 'UNDRAIN');
is(said(caller_of('paris'), $where), 'europe-west1', 'and it is used again');
is($proxy->console_error('DRAIN NODE 127.0.0.1:' . $europe->port), '', 'DRAIN NODE');
is($proxy->console('SHOW NODES FULL')->[1]{drained}, 't', 'that node');
is($proxy->console('SHOW REGIONS')->[1]{usable}, 0, 'leaves none in its region');
is($proxy->console_error('UNDRAIN NODE 127.0.0.1:' . $europe->port), '', 'UNDRAIN NODE');

# ---------------------------------------------------------------- OVERRIDE

is($proxy->console_error("OVERRIDE CITY 'Paris' TO REGION us-east1 FOR '1h'"), '', 'OVERRIDE CITY');    # time: as the command is given it
is(said(caller_of('paris'), $where), 'us-east1', 'sends its callers elsewhere');
my ($o) = @{ $proxy->console('SHOW OVERRIDES') };
is("$o->{kind} $o->{value} $o->{region}", 'city paris us-east1', 'SHOW OVERRIDES');
ok($o->{until}, 'until when');
is($proxy->console_error("OVERRIDE CITY paris CLEAR"), '', 'CLEAR');
is(said(caller_of('paris'), $where), 'europe-west1', 'and they are back');
# For so long that who comes is there before it is over.
my ($seconds, $in_time, $there, $begun) = (0.15);
do {
	$seconds *= 2;
	$begun = time;
	$proxy->console_error("OVERRIDE NETWORK 127.0.0.0/8 TO REGION europe-west1 FOR '" . 1000 * $seconds . "ms'");
	$there   = said(caller_of('new york'), $where);
	$in_time = passed($begun) < $seconds;
} until $in_time || $there eq 'europe-west1' || $seconds > 60;
is($there, 'europe-west1', 'a network, for a short time');
ok(wait_until(sub { said(caller_of('new york'), $where) eq 'us-east1' }, 'the override to pass'), 'which passes');
cmp_ok(passed($begun), '>=', $seconds, '... not before its time');
is(scalar @{ $proxy->console('SHOW OVERRIDES') }, 0, 'nothing is left of it');

# ---------------------------------------------------------------- PROBE, SHUTDOWN

$europe->stop('immediate');
is($proxy->console_error('PROBE'), '', 'PROBE answers when all nodes have answered or failed');
$proxy->console_error('PROBE') for 1 .. 3;
isnt($proxy->console('SHOW NODES FULL')->[1]{state}, 'up', 'and knows who is gone');
my $left = caller_of('new york');
is($proxy->console_error('SHUTDOWN WAIT'), '', 'SHUTDOWN WAIT');
let_pass(0.3, 'it ends');
ok($proxy->is_running, 'waits for sessions');
is(said($left, $where), 'us-east1', 'which go on');
undef $left;
ok($proxy->wait_exit, 'and ends with the last of them');
is($proxy->exit_status, 0, 'well');
$proxy->start;
$proxy->console_raw('SHUTDOWN');
ok($proxy->wait_exit, 'SHUTDOWN ends at once');
is($proxy->exit_status, 0, 'well');
done_testing();
