#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Where callers land by the headers that a load balancer adds to a CONNECT: what each cloud sends,
# whom it is believed from, the client's address, what the console shows of it, and names and kinds
# that the operator chose.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Http;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use Test::More;

my @names = qw(us-east1 us-west1 europe-west1);
my @node  = regional_clusters(@names);
my %port  = map { $_ => PostgreSQL::Test::Cluster::get_free_port() } qw(proxied);
# 127.0.0.1 is a balancer; 127.0.0.9 is somebody else.
my $proxy = Meridian::Test::Proxy->new('main',
	set => { http => 'on', trusted_proxies => '127.0.0.1/32, 10.0.0.0/8', region => 'us-east1', sni_suffix => 'db.example' },
	regions => [
		'us-east1'     => { nodes => $node[0], cities => 'boston' },
		'us-west1'     => { nodes => $node[1], networks => '192.0.2.0/24, vpce-0west' },
		'europe-west1' => { nodes => $node[2], networks => '198.51.100.0/24' } ],
	conf => "[listener proxied]\nlisten = 127.0.0.1:$port{proxied}\nproxy_protocol = require\nhttp = on\n"
	  . "[database strict]\ndbname = postgres\nresidency = strict\n");
$proxy->start;

# A session behind a CONNECT with these header lines; from => the client's address, before => bytes
# in front of it.
sub connected
{
	my ($lines, %opt) = @_;
	my $w = Meridian::Test::Wire->new(port => $opt{port} || $proxy->port, $opt{from} ? (from => $opt{from}) : ());
	my $host = $opt{host} || 'db.example:5432';
	$w->send(($opt{before} || '') . "CONNECT $host HTTP/1.1\r\nHost: $host\r\n" . join('', map { "$_\r\n" } @$lines) . "\r\n");
	is($w->bytes(19), "HTTP/1.1 200 OK\r\n\r\n", "a tunnel with @{$lines}[0 .. ($#$lines < 0 ? -1 : 0)]") or return;
	$w->login(database => $opt{database} || 'postgres', map { $_ => $opt{param}{$_} } keys %{ $opt{param} || {} });
	return $w;
}

# What the console shows of such a session.
sub session
{
	my $w = connected(@_) or return {};
	$w->send(query('SELECT pg_backend_pid()'));
	my $pid = row_values(($w->until('Z'))[1])->[0];
	my ($row) = grep { $_->{server_pid} && $_->{server_pid} eq $pid } @{ $proxy->console('SHOW SESSIONS FULL') };
	$row->{wire} = $w;
	return $row;
}

sub source
{
	my ($name) = @_;
	my ($row) = grep { $_->{source} eq $name } @{ $proxy->console('SHOW LOCALITY SOURCES') };
	return $row;
}

# ---------------------------------------------------------------- what clouds send

for my $case (
	[ [ 'X-City: paris' ],                                   'europe-west1', 'paris' ],
	[ [ 'x-city: Seattle' ],                                 'us-west1',     'Seattle' ],
	[ [ 'X-Client-Geo-Location: FR,Paris' ],                 'europe-west1', 'Paris' ],
	[ [ 'X-Client-City-Lat-Long: 47.6,-122.3' ],             'us-west1',     '' ],
	[ [ 'X-PLACE: paris,48.85,2.35' ],                       'europe-west1', 'paris' ],
	[ [ 'X-Appengine-City: mountain view', 'X-Appengine-CityLatLong: 37.386051,-122.083851' ], 'us-west1', 'mountain view' ],
	[ [ "CF-IPCity: Z\xc3\xbcrich", 'CF-IPCountry: CH' ],    'europe-west1', "Z\xc3\xbcrich" ],
	[ [ "CF-IPCity: Z\xfcrich", 'CF-IPCountry: CH' ],        'europe-west1', "Z\xc3\xbcrich" ],
	[ [ 'CloudFront-Viewer-Latitude: 50.1', 'CloudFront-Viewer-Longitude: 8.7' ], 'europe-west1', '' ],
	[ [ 'x-vercel-ip-city: San%20Francisco', 'x-vercel-ip-country: US', 'x-vercel-ip-country-region: CA' ], 'us-west1', 'San Francisco' ],
	[ [ 'Fly-Region: cdg' ],                                 'europe-west1', '' ],
	[ [ 'X-Akamai-Edgescape: country_code=US,region_code=WA,city=SEATTLE,lat=47.6,long=-122.3' ], 'us-west1', 'SEATTLE' ])
{
	my ($lines, $home, $city) = @$case;
	my $s = session($lines);
	is_deeply([ @$s{qw(home locality_source)} ], [ $home, 'header' ], "@$lines");
	is($s->{city}, $city, 'its city') if $city ne '';
}
for my $nothing ('X-City: ', 'X-City: ?', 'X-City: unknown', 'X-Appengine-CityLatLong: 0.000000,0.000000', 'CF-IPCountry: T1') {
	is(session([$nothing])->{locality_source}, 'self', "$nothing: absent");
}
is(session([ 'X-City: boston', 'X-City: paris' ])->{home}, 'europe-west1', 'the last of two counts');
is(session([ 'X-City: paris' ], param => { 'meridian.city' => 'boston' })->{home}, 'us-east1', 'the client\'s own word comes first');
is(session([ 'X-City: paris' ], param => { 'meridian.city' => 'boston' }, database => 'strict')->{home}, 'europe-west1',
	'but for residency = strict, where a trusted header counts');
is(session([], host => 'paris.db.example:5432')->{locality_source}, 'sni', 'the name that the client asked for');

# ---------------------------------------------------------------- addresses

my $s = session([ 'X-Forwarded-For: 198.51.100.66, 192.0.2.7, 10.1.1.1' ]);
is($s->{true_addr}, '192.0.2.7:0', 'X-Forwarded-For from the right, over trusted hops');
is_deeply([ @$s{qw(home locality_source)} ], [ 'us-west1', 'geoip' ], 'and it decides');
is(session([ 'Forwarded: for=198.51.100.66, for="[2001:db8::1]:4711";proto=https' ])->{true_addr}, '[2001:db8::1]:4711', 'Forwarded');
is(session([ 'CF-Connecting-IP: 198.51.100.7' ])->{home}, 'europe-west1', 'a CDN\'s own header');
is(session([ 'X-Forwarded-For: garbage' ])->{true_addr} =~ s/:\d+$//r, '127.0.0.1', 'no address: the peer\'s stays');
$proxy->reload(set => { trusted_hops => 1 });
is(session([ 'X-Forwarded-For: 198.51.100.66, 192.0.2.7, 203.0.113.80' ])->{true_addr}, '192.0.2.7:0', 'trusted_hops skips the balancer\'s own');
$proxy->reload(set => { trusted_hops => 0 });

# ---------------------------------------------------------------- WebSockets, and each request of /sql

my $ws = Meridian::Test::Wire->new($proxy);
is(http_websocket($ws, '/v2', 'X-City' => 'paris', 'X-Forwarded-For' => '203.0.113.7')->{status}, 101, 'a WebSocket');
$ws->login(database => 'postgres');
$ws->send(query("SELECT current_setting('cluster_name') || ' ' || current_setting('meridian.city')"));
is(row_values(($ws->until('Z'))[1])->[0], 'europe-west1 paris', 'lands by its header');
my ($shown) = grep { $_->{transport} eq 'websocket' } @{ $proxy->console('SHOW SESSIONS FULL') };
is_deeply([ @$shown{qw(true_addr locality_source)} ], [ '203.0.113.7:0', 'header' ], 'and is shown');

my $sql = Meridian::Test::Wire->new($proxy);
my @uri = ('Neon-Connection-String' => 'postgresql://' . (getpwuid $>)[0] . '@localhost/postgres', 'Neon-Raw-Text-Output' => 'true', 'Neon-Array-Mode' => 'true');
sub asked
{
	my (@headers) = @_;
	my $a = http_ask($sql, POST => '/sql', @uri, @headers, body => q({"query":"SELECT current_setting('cluster_name')","params":[]}));
	return $a->{status} == 200 && $a->{body} =~ /"rows":\[\["([^"]+)"\]\]/ ? $1 : "$a->{status} $a->{body}";
}
is(asked('X-City' => 'paris'),   'europe-west1', 'a request of /sql');
is(asked('X-City' => 'seattle'), 'us-west1',     'the next one on the same connection comes from elsewhere');
is(asked(),                      'us-east1',     'one that says nothing, from nowhere');
is(asked('X-Forwarded-For' => '198.51.100.7'), 'europe-west1', 'one with an address');
is(asked(),                      'us-east1',     'which is the request\'s alone');

# ---------------------------------------------------------------- strangers

my ($ignored, $untrusted) = ($proxy->counter('headers_ignored'), source('header')->{untrusted});
$s = session([ 'X-City: paris', 'X-Forwarded-For: 198.51.100.7', 'Accept: */*' ], from => '127.0.0.9');
is_deeply([ @$s{qw(home locality_source)} ], [ 'us-east1', 'self' ], 'a stranger\'s headers are ignored');
like($s->{true_addr}, qr/^127\.0\.0\.9:/, 'its address is its own');
is($proxy->counter('headers_ignored') - $ignored, 2, 'they are counted');
is(source('header')->{untrusted} - $untrusted, 2, 'and shown');
my @rows = grep { $_->{source} eq 'header' } @{ $proxy->console("EXPLAIN LOCALITY SESSION $s->{id}") };
is_deeply([ map { "$_->{kind} $_->{value} $_->{trusted} $_->{won} $_->{outcome}" } @rows ],
	[ 'city paris f f peer is not trusted', 'address 198.51.100.7 f f peer is not trusted' ], 'EXPLAIN LOCALITY says why');

# A PROXY header says who is behind a trusted peer: that one is a stranger, or not.
is(session([ 'X-City: paris' ], port => $port{proxied}, before => proxy_v2(src => '203.0.113.1'))->{home}, 'us-east1',
	'what a client says itself, behind a balancer of TCP, is ignored');
is(session([ 'X-City: paris' ], port => $port{proxied}, before => proxy_v2(src => '10.1.1.1'))->{home}, 'europe-west1',
	'a trusted balancer behind another is believed');
is(session([ 'X-City: paris' ], port => $port{proxied}, before => proxy_v2(local => 1))->{home}, 'europe-west1',
	'a balancer that speaks for itself, too');

# ---------------------------------------------------------------- private endpoints

$s = session([], port => $port{proxied}, before => proxy_v2(src => '203.0.113.1', tlv => { 0xea => "\1vpce-0WEST" }));
is_deeply([ @$s{qw(home locality_source endpoint)} ], [ 'us-west1', 'tlv', 'vpce-0west' ], 'an endpoint in networks');
my ($detail) = grep { $_->{key} eq 'endpoint' } @{ $proxy->console("SHOW SESSION $s->{id}") };
is($detail->{value}, 'vpce-0west', 'SHOW SESSION has it');
$s = session([], port => $port{proxied}, before => proxy_v2(src => '203.0.113.1', tlv => { 0xe0 => pack('N N', 0, 77) }));
is_deeply([ @$s{qw(home endpoint)} ], [ 'us-east1', 'psc:77' ], 'an endpoint of nobody is shown');
$proxy->console("OVERRIDE NETWORK 'psc:77' TO REGION europe-west1");
is_deeply([ map { "$_->{kind} $_->{value}" } @{ $proxy->console('SHOW OVERRIDES') } ], ['network psc:77'], 'an override of it');
$s = session([], port => $port{proxied}, before => proxy_v2(src => '203.0.113.1', tlv => { 0xe0 => pack('N N', 0, 77) }));
is_deeply([ @$s{qw(home locality_source)} ], [ 'europe-west1', 'override' ], 'decides');
$proxy->console("OVERRIDE NETWORK 'PSC:77' CLEAR");
is(scalar @{ $proxy->console('SHOW OVERRIDES') }, 0, 'and is cleared');
my ($west) = grep { $_->{region} eq 'us-west1' } @{ $proxy->console('SHOW REGIONS') };
is($west->{networks}, '192.0.2.0/24, vpce-0west', 'SHOW REGIONS has both');

# ---------------------------------------------------------------- EXPLAIN

sub explained
{
	return [ map { "$_->{source} $_->{kind} $_->{trusted} $_->{won}" } grep { $_->{outcome} ne 'says nothing' } @{ $proxy->console("EXPLAIN LOCALITY $_[0]") } ];
}

is_deeply(explained("HEADER 'X-City: paris'"), [ 'header city t t', 'self region t f' ], 'EXPLAIN LOCALITY HEADER');
is_deeply(explained("HEADER E'CF-IPCity: Oslo\\nCF-IPCountry: NO\\nX-Forwarded-For: 192.0.2.9'"),
	[ 'header city t t', 'header country t f', 'geoip address t f', 'self region t f' ], 'of several lines');
is_deeply(explained("FOR HEADER 'X-City: paris' FROM '203.0.113.5'"),
	[ 'header city f f', 'geoip address t f', 'self region t t' ], 'of a peer that is not trusted');
for my $case ([ 'Portland', 'US', 'ME', 'Portland ME US' ], [ 'Portland', 'US', 'OR', 'Portland OR US' ], [ 'Paris', 'FR', 'IDF', 'Paris FR' ],
	[ 'Cordoba', 'ES', 'AN', "C\xc3\xb3rdoba ES" ], [ 'Z%C3%BCrich', 'CH', 'ZH', "Z\xc3\xbcrich ZH CH" ], [ 'London', 'CA', 'ON', 'London ON CA' ])
{
	my ($city, $country, $state, $place) = @$case;
	my ($row) = @{ $proxy->console("EXPLAIN LOCALITY HEADER E'CF-IPCity: $city\\nCF-IPCountry: $country\\nCF-Region-Code: $state'") };
	is_deeply([ @$row{qw(won outcome)} ], [ 't', $place ], "$city of $state in $country");
}
is_deeply([ map { "$_->{source} $_->{won}" } grep { $_->{outcome} eq 'says nothing' } @{ $proxy->console("EXPLAIN LOCALITY HEADER 'X-City: paris'") } ],
	[ map { "$_ f" } qw(override startup sni tlv geoip) ], 'the sources that say nothing are there, too');
is($proxy->console("EXPLAIN ROUTE HEADER 'X-City: paris'")->[0]{region}, 'europe-west1', 'EXPLAIN ROUTE HEADER');
like($proxy->console_error("EXPLAIN LOCALITY HEADER 'paris'"), qr/"paris" is no header: malformed header/, 'what is no header');
like($proxy->console_error("EXPLAIN LOCALITY HEADER 'X-City: paris' FROM 'paris'"), qr/"paris" is no IP address/, 'what is no peer');
like(source('header')->{detail}, qr/^gcp, appengine, .*, generic; from 2 trusted networks$/, 'SHOW LOCALITY SOURCES: the sets');
is(source('tlv')->{detail}, 'city 0xe4, location 0xe5, country 0xe6, region 0xe7, pairs 0xe8, unique_id pairs; from 2 trusted networks', 'and the TLVs');

# ---------------------------------------------------------------- names of one's own

$proxy->reload(set => { header_names => 'X-Town:city, cloudflare' });
is(session([ 'X-Town: Seattle' ])->{home}, 'us-west1', 'a header of one\'s own');
is(session([ 'X-City: paris' ])->{locality_source}, 'self', 'and no others');
is(session([ 'X-City: boston', 'CF-IPCity: Oslo' ])->{home}, 'europe-west1', 'but the set that is named');
$proxy->reload(set => { locality => 'header, startup, self' });
is(session([ 'X-Town: Paris' ], param => { 'meridian.city' => 'boston' })->{home}, 'europe-west1', 'the order is the option\'s');
$proxy->stop;
done_testing();
