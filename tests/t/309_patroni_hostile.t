#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# What answers where Patroni's REST API should be is something else, slow, endless or false: it is shown and logged, and
# changes nothing; nor does an https server that cannot be trusted.
use strict;
use warnings;
use IO::Socket::INET;
use IPC::Run ();
use JSON::PP;
use Meridian::Test::Cluster qw(certificate regional_clusters);
use Meridian::Test::Http;
use Meridian::Test::Metrics;
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire;
use PostgreSQL::Test::Utils ();
use Test::More;

my ($home, $paris) = regional_clusters('us-east1', 'europe-west1');
my $dir = PostgreSQL::Test::Utils::tempdir();

# A cluster of those servers, as Patroni tells of it.
sub cluster
{
	my @members = map { { name => $_->name, role => 'replica', state => 'running', host => '127.0.0.1', port => 0 + $_->port, api_url => 'http://127.0.0.1:1/patroni' } } @_;
	return JSON::PP::encode_json({ members => \@members });
}

sub answer
{
	my ($body, $status) = @_;
	return "HTTP/1.0 @{[ $status // '200 OK' ]}\r\nContent-Type: application/json\r\n\r\n$body";
}

# Sends to each that connects what stands in a file at that time, notes each request in another; "" is never sent, nor an end.
sub speaker
{
	my ($name) = @_;
	my $socket = IO::Socket::INET->new(Listen => 16, LocalAddr => '127.0.0.1') or die "listen: $!";
	my $pid = fork // die "fork: $!";
	return { pid => $pid, port => $socket->sockport, says => "$dir/$name.says", heard => "$dir/$name.heard" } if $pid;
	my @silent;
	while (my $client = $socket->accept) {
		my ($request) = $client->getline // '';
		PostgreSQL::Test::Utils::append_to_file("$dir/$name.heard", $request);
		my $say = PostgreSQL::Test::Utils::slurp_file("$dir/$name.says");
		$say eq '' ? push @silent, $client : print {$client} $say;
	}
	exit 0;
}

sub says
{
	my ($speaker, $text) = @_;
	PostgreSQL::Test::Utils::append_to_file("$speaker->{says}.new", $text);
	rename "$speaker->{says}.new", $speaker->{says} or die "rename: $!";
	return;
}

my @speakers = map { speaker($_) } qw(patroni elsewhere);
END { local $?; kill 'KILL', map { $_->{pid} } @speakers }
my ($api, $elsewhere) = @speakers;
says($elsewhere, answer(cluster($paris)));
says($api, answer(cluster($home, $paris)));

my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => { nodes => '', discover => 'patroni', patroni_api => "127.0.0.1:$api->{port}" } ],
	set => { auth => 'trust', workers => 1, probe_interval => '100ms', probe_timeout => span(0.5), probe_conninfo => 'user=postgres', failback_delay => 0,
		discover_interval => '50ms', http => 'on', metrics => 'on' },
	conf => '');
$proxy->start;
my $source = "http://127.0.0.1:$api->{port}";

sub all_used
{
	my ($rows) = @_;
	return 2 == grep { ($_->{verdict} // '') eq 'used' && $_->{asked} eq $source } @$rows;
}

ok($proxy->wait_console('SHOW DISCOVERY', \&all_used), 'a good answer: both servers are used');

sub metrics { return metrics_of_text(http_ask(Meridian::Test::Wire->new($proxy), GET => '/metrics')->{body}) }
my $labels = qq({source="patroni",asked="$source"});
my $m = metrics();
is($m->{'meridian_discovered_nodes{state="used"}'}, 2, '... and counted');
is($m->{"meridian_discovery_alarm$labels"}, 0, '... without an alarm');
ok(exists $m->{"meridian_discovery_answer_age_seconds$labels"}, '... with the age of the answer');

# ---------------------------------------------------------------- what is no answer

my $good = cluster($home, $paris);
for my $case (
	[ 'something else', "SSH-2.0-OpenSSH_9.2\r\n", qr/HTTP/ ],
	[ 'an error', answer('{}', '503 Service Unavailable'), qr/status is 503/ ],
	[ 'a good answer with a bad status', answer($good, '404 Not Found'), qr/status is 404/ ],
	[ 'a redirection', "HTTP/1.0 302 Found\r\nLocation: http://127.0.0.1:$elsewhere->{port}/cluster\r\n\r\n", qr/status is 302/ ],
	[ 'nothing', "HTTP/1.0 200 OK\r\n\r\n", qr/not one of Patroni/ ],
	[ 'half of it', "HTTP/1.0 200 OK\r\nContent-Length: " . length($good) . "\r\n\r\n" . substr($good, 0, 40), qr/\S/ ],
	[ 'what has no end', answer('[' x 2_000_000), qr/longer than 262144 bytes/ ],
	[ 'what is deep', answer('[' x 200_000), qr/not one of Patroni/ ],
	[ 'a long head', "HTTP/1.0 200 OK\r\n" . "X: " . 'y' x 2_000_000 . "\r\n\r\n", qr/\S/ ],
	[ 'a wrong type', answer($good =~ s/"port":\d+/"port":"x"/r), qr/as Patroni does/ ],
	[ 'silence', '', qr/no answer in time/ ])
{
	my ($what, $text, $reason) = @$case;
	says($api, $text);
	ok($proxy->wait_console('SHOW DISCOVERY', sub { grep { $_->{asked} eq $source && $_->{reason} =~ /127\.0\.0\.1:\d+: .*$reason/ } @{ $_[0] } }), "$what is not taken");
	ok($proxy->wait_console('SHOW NODES FULL', sub { 2 == grep { $_->{state} eq 'up' } @{ $_[0] } }), '... and changes nothing');
	says($api, answer($good));
	ok($proxy->wait_console('SHOW DISCOVERY', \&all_used), '... a good answer counts again');
}
ok(!-e $elsewhere->{heard}, 'a redirection was not followed');
is((sort { $a cmp $b } keys %{ { map { $_ => 1 } split /\r?\n/, PostgreSQL::Test::Utils::slurp_file($api->{heard}) } })[0], 'GET /cluster HTTP/1.1', 'nothing else was asked');
ok($proxy->wait_for_log(qr/ERROR .*discovery: patroni of \Q$source\E: \S+: no answer in time/), 'it is logged');

# ---------------------------------------------------------------- what is false

my $twice = JSON::PP::decode_json($good);
push @{ $twice->{members} }, { %{ $twice->{members}[0] }, name => 'again', host => '::ffff:127.0.0.1' };
says($api, answer(JSON::PP::encode_json($twice)));
my $twin = '[::ffff:127.0.0.1]:' . $home->port;
ok($proxy->wait_console('SHOW DISCOVERY', sub { grep { ($_->{node} // '') eq $twin && $_->{verdict} eq 'new' && $_->{reason} eq 'it is 127.0.0.1:' . $home->port } @{ $_[0] } }),
	'a server under a second address is used under the first');
ok(all_used($proxy->console('SHOW DISCOVERY')), '... both servers are used');
says($api, answer(cluster()));
ok($proxy->wait_console('SHOW DISCOVERY', sub { grep { $_->{asked} eq $source && $_->{reason} =~ /discover_min_keep/ } @{ $_[0] } }), 'a cluster without members is not believed');
is($proxy->safe_psql('postgres', 'SELECT 1'), '1', '... its servers are used');
is(metrics()->{"meridian_discovery_alarm$labels"}, 1, '... and there is an alarm');
$proxy->stop;

# ---------------------------------------------------------------- TLS

my %made = map { $_ => certificate($_, alt => 'IP:127.0.0.1') } 'patroni';
PostgreSQL::Test::Utils::append_to_file("$dir/cluster", $good);
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $server = IPC::Run::start([ 'openssl', 's_server', '-quiet', '-WWW', '-accept', "127.0.0.1:$port", '-cert', $made{patroni}{cert}, '-key', $made{patroni}{key} ],
	init => sub { chdir $dir }, '<', '/dev/null', '>', "$dir/s_server.log", '2>&1', run_limit(120));

for my $case ([ 'without its authority', undef, qr/certificate/ ], [ 'with its authority', $made{patroni}{ca}, undef ]) {
	my ($what, $ca, $reason) = @$case;
	my $one = Meridian::Test::Proxy->new($what =~ s/ /_/gr,
		regions => [ 'us-east1' => { nodes => '', discover => 'patroni', patroni_api => "https://127.0.0.1:$port", $ca ? (patroni_ca_file => $ca) : () } ],
		set => { auth => 'trust', workers => 1, probe_interval => '100ms', probe_conninfo => 'user=postgres', discover_interval => '100ms' },
		conf => '');
	$one->start;
	ok($one->wait_console('SHOW DISCOVERY', sub { grep { $reason ? $_->{reason} =~ $reason : ($_->{verdict} // '') eq 'used' } @{ $_[0] } }), "https $what");
	$one->stop;
}
$server->kill_kill;
done_testing();
