#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# A real nginx in front, run from the example that we ship: what it sends, and where its callers
# land.
use strict;
use warnings;
use Meridian::Test::Balancer qw(balancer_missing echo_server echo_head);
use Meridian::Test::Behind qw(behind neon_lands session_of %callers);
use Meridian::Test::Cluster qw(certificate);
use Meridian::Test::Drivers qw(driver_missing driver_run);
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils qw(append_to_file slurp_file);
use Test::More;

my $missing = balancer_missing('nginx');
plan skip_all => $missing if $missing;

my $dir  = PostgreSQL::Test::Utils::tempdir();
my $cert = certificate('lb', alt => 'DNS:localhost,IP:127.0.0.1');
append_to_file("$dir/cities.conf", join '', map { $callers{$_}[0] eq '' ? () : "$_/32 '$callers{$_}[0]';\n" } sort keys %callers);

# The example, with these ports of Meridian in place of its own.
sub nginx
{
	my ($at, @more) = @_;
	my %front = map { $_ => PostgreSQL::Test::Cluster::get_free_port() } qw(sessions web);
	my $lb = Meridian::Test::Balancer->new('nginx', ports => [ values %front ], replace => [
		'listen 5432' => "listen 127.0.0.1:$front{sessions}",
		'listen 443'  => "listen 127.0.0.1:$front{web}",
		'/etc/nginx/meridian.crt' => $cert->{cert},
		'/etc/nginx/meridian.key' => $cert->{key},
		'/etc/nginx/cities.conf'  => "$dir/cities.conf",
		(map { ("10.0.0.$_:6434" => "127.0.0.1:$at->{sessions}", "10.0.0.$_:8080" => "127.0.0.1:$at->{web}") } 11, 12), @more ]);
	return ($lb, \%front);
}

# ---------------------------------------------------------------- what arrives

my $echo = echo_server();
my ($lb, $front) = nginx({ sessions => $echo, web => $echo });
my ($good, $said) = $lb->check;
ok($good, 'nginx -t finds nothing wrong with the example') or diag($said);
unlike($said, qr/warn/i, 'and has no warning');
$lb->start;

my $w = Meridian::Test::Wire->new(port => $front->{sessions}, from => '127.0.1.1');
$w->send('hello');
1 while $w->{in} !~ /hello/ && $w->fill;
is($w->{in}, proxy_v1(src => '127.0.1.1', sport => $w->{fd}->sockport, dst => '127.0.0.1', dport => $front->{sessions}) . 'hello',
	'sessions: the address is told');

my @upgrade = ('Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==');
my $head = echo_head($front->{web}, '127.0.1.2', 'GET /v2?address=db:5432 HTTP/1.1', 'Host: db', @upgrade);
is_deeply([ @$head{qw(line x-city x-forwarded-for upgrade connection host)} ],
	[ 'GET /v2?address=db:5432 HTTP/1.1', ['new york'], ['127.0.1.2'], ['websocket'], ['upgrade'], ['db'] ],
	'web: a WebSocket has the city and the address');
$head = echo_head($front->{web}, '127.0.1.4', 'POST /sql HTTP/1.1', 'Host: db', 'Content-Length: 0');
is_deeply([ @$head{qw(x-city connection)} ], [ ["s\xc3\xa3o paulo"], undef ], 'a city in UTF-8 arrives as it is');
for my $from ('127.0.1.1', '127.0.1.5') {
	$head = echo_head($front->{web}, $from, 'POST /sql HTTP/1.1', 'Host: db', 'Content-Length: 0', 'X-City: rome', 'x-forwarded-for: 192.0.2.1',
		'Forwarded: for=192.0.2.1', 'X-Real-IP: 192.0.2.1', 'True-Client-IP: 192.0.2.1');
	is_deeply([ @$head{qw(x-city x-forwarded-for forwarded x-real-ip true-client-ip)} ],
		[ $from eq '127.0.1.1' ? ['paris'] : undef, [$from], undef, undef, undef ],
		"what a client at $from says itself does not arrive");
}
$lb->stop;

# ---------------------------------------------------------------- where callers land

# Places of the callers' addresses, for those that come with an address and no city: elsewhere than
# what the header says, so that it shows which of them counts.
append_to_file("$dir/places", <<'END');
127.0.1.1/32 | San Francisco | US | 37.77 | -122.42 | 10
127.0.1.2/32 | Paris | FR | 48.85 | 2.35 | 10
127.0.1.3/32 | New York | US | 40.71 | -74.0 | 10
127.0.1.4/32 | Rome | IT | 41.9 | 12.5 | 10
END
my %by_address = ('127.0.1.1' => 'us-west1', '127.0.1.2' => 'europe-west1', '127.0.1.3' => 'us-east1', '127.0.1.4' => 'europe-west1');
PostgreSQL::Test::Utils::system_or_bail('sh', '-c', '"$0" "$1" "$2" > "$3"', $^X, "$ENV{MERIDIAN_SRCDIR}/tests/tools/mkmmdb.pl",
	"$dir/places", "$dir/places.mmdb");
my $b = behind('nginx.conf', set => { geoip => "$dir/places.mmdb" });
($lb, $front) = nginx($b);
$lb->start;
my $proxy = $b->{proxy};
for my $from (sort keys %callers) {
	my $w = Meridian::Test::Wire->new(port => $front->{sessions}, from => $from);
	is(($w->login(user => 'alice', password => 'secret', database => 'postgres'))[-1][0], 'Z', "sessions: a session from $from");
	my $s = session_of($b, $w);
	is_deeply([ @$s{qw(home locality_source true_addr)} ],
		[ $by_address{$from} || 'us-east1', $by_address{$from} ? 'geoip' : 'self', "$from:" . $w->{fd}->sockport ], 'in the region of its address');
}
neon_lands($b, $front->{web}, $cert->{ca});

# A balancer that closes what is silent, and pings that keep it from that.
SKIP: {
	my $missing = driver_missing('neon');
	skip $missing, 2 if $missing;
	my ($hasty, $at) = nginx($b, 'proxy_read_timeout   1h' => 'proxy_read_timeout 2s');
	$hasty->start;
	my $silent = sub {
		return driver_run('neon', { at => "127.0.0.1:$at->{web}", tls => \1, ca => $cert->{ca}, user => 'alice', password => 'secret',
			silence => 5000, parts => ['silent'] });
	};
	$proxy->reload(set => { websocket_ping_interval => '500ms' });
	is($silent->(), "silent : no error\n", 'a WebSocket outlives the time-out of the balancer, by pings');
	$proxy->reload(set => { websocket_ping_interval => 0 });
	unlike($silent->(), qr/no error/, 'and only by them');
}

my ($bad) = grep { $_->{state} ne 'up' } @{ $proxy->console('SHOW NODES FULL') };
is($bad, undef, 'all nodes are well');
$lb->stop;
$proxy->stop;
done_testing();
