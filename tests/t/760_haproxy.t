#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# A real HAProxy in front, run from the example that we ship: what it sends, and where its callers
# land.
use strict;
use warnings;
use Meridian::Test::Balancer qw(balancer_missing echo_server echo_head);
use Meridian::Test::Behind qw(behind connect_lands neon_lands session_of %callers);
use Meridian::Test::Cluster qw(certificate);
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils qw(append_to_file slurp_file);
use Test::More;

my $missing = balancer_missing('haproxy');
plan skip_all => $missing if $missing;

my $dir  = PostgreSQL::Test::Utils::tempdir();
my $cert = certificate('lb', alt => 'DNS:localhost,IP:127.0.0.1');
append_to_file("$dir/lb.pem", slurp_file($cert->{cert}) . slurp_file($cert->{key}));
append_to_file("$dir/cities.map", join '', map { $callers{$_}[0] eq '' ? () : "$_/32 $callers{$_}[0]\n" } sort keys %callers);

# The example, with these ports of Meridian in place of its own.
sub haproxy
{
	my (%at) = @_;
	my %front = map { $_ => PostgreSQL::Test::Cluster::get_free_port() } qw(sessions web);
	my $lb = Meridian::Test::Balancer->new('haproxy', ports => [ values %front ], replace => [
		':5432'  => "127.0.0.1:$front{sessions}",
		':443'   => "127.0.0.1:$front{web}",
		'/etc/haproxy/meridian.pem' => "$dir/lb.pem",
		'/etc/haproxy/cities.map'   => "$dir/cities.map",
		(map { ("10.0.0.$_:6434" => "127.0.0.1:$at{sessions}", "10.0.0.$_:8080" => "127.0.0.1:$at{web}") } 11, 12) ]);
	return ($lb, \%front);
}

# ---------------------------------------------------------------- what arrives

my $echo = echo_server();
my ($lb, $front) = haproxy(sessions => $echo, web => $echo);
my ($good, $said) = $lb->check;
ok($good, 'haproxy -c finds nothing wrong with the example') or diag($said);
unlike($said, qr/warning/i, 'and has no warning');
$lb->start;

sub proxy_header_of
{
	my ($from) = @_;
	my $w = Meridian::Test::Wire->new(port => $front->{sessions}, from => $from);
	$w->send('hello');
	1 while $w->{in} !~ /hello/ && $w->fill;
	return ($w->{in}, $w->{fd}->sockport);
}

for my $from (sort keys %callers) {
	my $city = $callers{$from}[0];
	my ($header, $port) = proxy_header_of($from);
	my ($address, $tlvs) = unpack 'x16 a12 a*', $header;
	is($address, pack('C4 C4 n n', split(/\./, $from), 127, 0, 0, 1, $port, $front->{sessions}),
		"sessions from $from: the address is told");
	is_deeply({ unpack '(C n/a)*', $tlvs =~ s/hello\z//r }->{5}, "city=$city;src=$from", 'and the city, in UNIQUE_ID');
}

my @upgrade = ('Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==');
my $head = echo_head($front->{web}, '127.0.1.2', 'GET /v2 HTTP/1.1', 'Host: db', @upgrade);
is_deeply([ @$head{qw(line x-city x-forwarded-for upgrade)} ],
	[ 'GET /v2 HTTP/1.1', ['new york'], ['127.0.1.2'], ['websocket'] ], 'web: a WebSocket has the city and the address');
$head = echo_head($front->{web}, '127.0.1.4', 'POST /sql HTTP/1.1', 'Host: db', 'Content-Length: 0');
is_deeply($head->{'x-city'}, ["s\xc3\xa3o paulo"], 'a city in UTF-8 arrives as it is');
$head = echo_head($front->{web}, '127.0.1.1', 'CONNECT db:5432 HTTP/1.1', 'Host: db:5432');
is_deeply([ @$head{qw(line x-city)} ], [ 'CONNECT db:5432 HTTP/1.1', ['paris'] ], 'CONNECT has it');
for my $from ('127.0.1.1', '127.0.1.5') {
	$head = echo_head($front->{web}, $from, 'POST /sql HTTP/1.1', 'Host: db', 'Content-Length: 0', 'X-City: rome', 'x-forwarded-for: 192.0.2.1',
		'Forwarded: for=192.0.2.1', 'X-Real-IP: 192.0.2.1', 'True-Client-IP: 192.0.2.1', 'X-Forwarded-Host: rome');
	is_deeply([ @$head{qw(x-city x-forwarded-for forwarded x-real-ip true-client-ip x-forwarded-host)} ],
		[ [ $from eq '127.0.1.1' ? 'paris' : '' ], [$from], undef, undef, undef, undef ],
		"what a client at $from says itself does not arrive");
}
$lb->stop;

# ---------------------------------------------------------------- where callers land

my $b = behind('haproxy.cfg');
($lb, $front) = haproxy(%$b);
$lb->start;
my $proxy = $b->{proxy};
for my $from (sort keys %callers) {
	my ($city, $region) = @{ $callers{$from} };
	my $w = Meridian::Test::Wire->new(port => $front->{sessions}, from => $from);
	is(($w->login(user => 'alice', password => 'secret', database => 'postgres'))[-1][0], 'Z', "sessions: a session from $from");
	my $s = session_of($b, $w);
	is_deeply([ @$s{qw(home locality_source true_addr)} ],
		[ $region, $city ? 'tlv' : 'self', "$from:" . $w->{fd}->sockport ], 'in the region of its city, with its address');
}
connect_lands($b, $front->{web});
neon_lands($b, $front->{web}, $cert->{ca});

my ($bad) = grep { $_->{state} ne 'up' } @{ $proxy->console('SHOW NODES FULL') };
is($bad, undef, 'health checks of the balancer harm nothing');
$lb->stop;
$proxy->stop;
done_testing();
