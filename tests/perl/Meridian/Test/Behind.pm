# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::Behind - three regions and a Meridian configured as the head of an example says,
# to stand behind a load balancer; and what every load balancer has to show with it.
#
#   use Meridian::Test::Behind qw(behind neon_lands connect_lands);
#
#   my $b = behind('haproxy.cfg');           # {proxy}, and the ports {sessions} and {web}
#   my $lb = …;                              # a Meridian::Test::Balancer to these ports
#   neon_lands($b, $front, $ca);             # Neon's driver, as callers in each city
#   connect_lands($b, $front);               # psql's protocol in CONNECT, likewise
#
# Callers are addresses of the loopback network, see %callers; load balancers connect from 127.0.0.1.
package Meridian::Test::Behind;
use strict;
use warnings;

use Exporter qw(import);
use Meridian::Test::Balancer qw(meridian_side);
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Drivers qw(driver_missing driver_run);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Tls;
use Meridian::Test::Wire qw(:build);
use Test::More;

our @EXPORT_OK = qw(behind connect_lands neon_lands session_of %callers);

# address => [ city as a load balancer writes it, where that is ]
our %callers = (
	'127.0.1.1' => [ 'paris',         'europe-west1' ],
	'127.0.1.2' => [ 'new york',      'us-east1' ],
	'127.0.1.3' => [ 'san francisco', 'us-west1' ],
	'127.0.1.4' => [ "s\xc3\xa3o paulo", 'us-east1' ],    # in UTF-8, and in no list of cities
	'127.0.1.5' => [ '',              'us-east1' ],       # in no map: the proxy's own region
);

sub behind
{
	my ($example, %opt) = @_;
	my %port  = map { $_ => PostgreSQL::Test::Cluster::get_free_port() } qw(sessions web);
	my @names = qw(us-east1 us-west1 europe-west1);
	my @nodes = regional_clusters(map { $_ => { users => { alice => 'secret' }, conf => "max_connections = 200\n" } } @names);
	my ($set, $conf) = meridian_side($example, '10.0.0.5' => '127.0.0.1',
		'0.0.0.0:6434' => "127.0.0.1:$port{sessions}", '0.0.0.0:8080' => "127.0.0.1:$port{web}");
	my %cities = ('us-east1' => 'new york, boston, washington dc', 'us-west1' => 'san francisco, seattle, los angeles',
		'europe-west1' => 'amsterdam, paris, rome');
	my $proxy = Meridian::Test::Proxy->new('main', conf => $conf, set => {
			%$set, region => 'us-east1', hedge_delay => span(30),    # a busy machine is no dead node
			%{ $opt{set} || {} } },
		regions => [ map { $names[$_] => { nodes => $nodes[$_], cities => $cities{ $names[$_] } } } 0 .. $#names ]);
	$proxy->start;
	return { %port, proxy => $proxy, nodes => \@nodes };
}

# What the console knows of the session that this connection is.
sub session_of
{
	my ($b, $w) = @_;
	$w->send(query('SELECT pg_backend_pid()'));
	my $pid = row_values(($w->until('Z'))[1])->[0];
	my ($row) = grep { $_->{server_pid} eq $pid } @{ $b->{proxy}->console('SHOW SESSIONS FULL') };
	return $row;
}

# ---------------------------------------------------------------- CONNECT

# Through the balancer's TLS, from each address.
sub connect_lands
{
	my ($b, $front) = @_;
	for my $from (sort keys %callers) {
		my ($city, $region) = @{ $callers{$from} };
		my $t = Meridian::Test::Tls->new({ port => $front }, '-bind', "$from:0");
		$t->send("CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\nX-City: rome\r\n\r\n");
		my $head = '';
		$head .= $t->bytes(1) until $head =~ /\r\n\r\n/ || length $head > 1000;
		like($head, qr{^HTTP/1\.1 200 }, "CONNECT from $from");
		is(($t->login(user => 'alice', password => 'secret', database => 'postgres'))[-1][0], 'Z', 'a session, by SCRAM, in it');
		my $s = session_of($b, $t);
		is_deeply([ @$s{qw(home transport locality_source)} ], [ $region, 'connect', $city ? 'header' : 'self' ],
			'in the region of its city');
		like($s->{true_addr}, qr/^\Q$from\E\b/, 'its address is the client\'s');
		next if $city eq '';
		my ($won) = grep { $_->{won} eq 't' } @{ $b->{proxy}->console("EXPLAIN LOCALITY SESSION $s->{id}") };
		is_deeply([ @$won{qw(source trusted)}, lc $won->{value} ], [ 'header', 't', $city ], 'and EXPLAIN LOCALITY says what decided');
	}
	return;
}

# ---------------------------------------------------------------- Neon's driver

my %expect = (
	pool           => sub { "$_[0] 12345678" },
	client         => sub { "$_[0] \xc3\xa9 00ff null" },
	transaction    => sub { '10' },
	errors         => sub { '22012 ERROR, 23505 ERROR once, then 1' },
	wrong_password => sub { '28P01 FATAL' },
	big            => sub { '10485760 1048576' },
	many           => \&shares,
	sql            => sub { qq($_[0] {"n":42,"t":"\xc3\xa9","none":null,"list":[1,2]} SELECT 1 a [[7]]) },
	sql_batch      => sub { "$_[0] serializable on 1, 22012 ERROR, 25006 ERROR" },
	sql_errors     => sub { '22012 ERROR, 42601 ERROR, 28P01 FATAL' },
	sql_big        => sub { '10485760 1048576' },
	sql_many       => \&shares,
);

# 100 of something, shared by all callers.
sub shares
{
	my $each = 100 / keys %callers;
	return join ', ', map { "$_ $callers{$_}[1] $each" } sort keys %callers;
}

# Each part, from each of these addresses.
sub neon_is
{
	my ($words, $what, @parts) = @_;
	my $said = driver_run('neon', { %$words, parts => \@parts });
	my %saw  = map { /^(\w+ [\d.]*): (.*)/ ? ($1 => $2) : () } split /\n/, $said;
	my $lost = 0;
	for my $part (@parts) {
		for my $from ($part =~ /many/ ? '' : @{ $words->{from} }) {
			my $saw = $saw{"$part $from"} // $lost++;
			is($saw, $expect{$part}->($from && $callers{$from}[1]), "$what: $part" . ($from && " from $from"));
		}
	}
	diag($said) if $lost;
	return;
}

# The driver as it comes, which sends the password at once; and with SCRAM from end to end.
sub neon_lands
{
	my ($b, $front, $ca) = @_;
	my $missing = driver_missing('neon');
	my %words = (at => "127.0.0.1:$front", tls => \1, ca => $ca, user => 'alice', password => 'secret');
	my @all     = sort keys %callers;
	my @sockets = qw(pool client transaction errors wrong_password big);
  SKIP: {
		skip $missing, 1 if $missing;
		neon_is({ %words, from => [ $all[0] ] }, 'as it comes', @sockets, qw(sql_errors sql_big));
		neon_is({ %words, from => \@all }, 'as it comes', qw(client sql sql_batch many sql_many));
		neon_is({ %words, from => [ $all[0] ], pipeline => \0 }, 'SCRAM from end to end', @sockets);
		neon_is({ %words, from => \@all, pipeline => \0 }, 'SCRAM from end to end', 'many');
	}
	return;
}

1;
