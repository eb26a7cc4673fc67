#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# GET /metrics: where it is served, its three forms, and that the numbers are those of what happened.
use strict;
use warnings;
use HTTP::Tiny;
use IPC::Run ();
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Http;
use Meridian::Test::Metrics;
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;

my ($east, $west) = regional_clusters('us-east1', { conf => "max_connections = 25\n" }, 'us-west1');
my %port  = map { $_ => PostgreSQL::Test::Cluster::get_free_port() } qw(metrics plain);
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $east, 'us-west1' => $west ],
	set     => { http => 'on', failback_delay => 0, probe_interval => '200ms', hedge_delay => NEVER },
	conf    => "[listener monitoring]\nlisten = 127.0.0.1:$port{metrics}\nhttp = on\nmetrics = on\n"
	  . "[listener plain]\nlisten = 127.0.0.1:$port{plain}\n");
$proxy->start;
$proxy->wait_up(2);

sub wire { return Meridian::Test::Wire->new(port => $port{ $_[0] // 'metrics' }) }
sub scrape { return http_ask(wire(), GET => '/metrics', @_) }
sub metrics { return metrics_of_text(scrape()->{body}) }
sub now { return metric(metrics(), $_[0]) }

# All of it, as soon as those who have left are gone: their ends are counted on other threads.
sub settled
{
	my $m;
	wait_until(sub { $m = metrics(); !grep { /^meridian_sessions/ && !/http/ && $m->{$_} > 0 } keys %$m }, 'all sessions to be gone');
	return $m;
}

# How much a metric grows by what is done.
sub grows
{
	my ($by, $name, $what, $do) = @_;
	my $before = metric(settled(), $name);
	$do->();
	is(metric(settled(), $name) - $before, $by, "$what: $name");
	return;
}

# ---------------------------------------------------------------- where it is

my $a = scrape();
is($a->{status}, 200, 'a scrape');
is($a->{headers}{'content-type'}, 'text/plain; version=0.0.4; charset=utf-8', 'text by default');
is($a->{headers}{'cache-control'}, 'no-store', 'that nobody keeps');
my $m = eval { metrics_of_text($a->{body}) };
is($@, '', 'the text is well-formed');
cmp_ok(keys %$m, '>', 200, 'and long');

my $w = wire();
$w->send(http_request(HEAD => '/metrics'));
$a = http_answer($w, head => 1);
is($a->{status}, 200, 'HEAD');
cmp_ok($a->{headers}{'content-length'}, '>', 10_000, 'says how long it would be');
$a = http_ask(wire(), POST => '/metrics', body => 'x');
is($a->{status}, 405, 'POST is refused');
is($a->{headers}{allow}, 'GET, HEAD', 'with what is allowed');
is(http_ask(Meridian::Test::Wire->new($proxy), GET => '/metrics')->{status},
	404, 'without metrics = on there is no such path');
$w = wire('plain');
$w->send(http_request(GET => '/metrics'));
ok($w->closed, 'and without http = on the connection is closed');
unlike($w->{rest} // '', qr/meridian_/, 'and tells nothing');

# ---------------------------------------------------------------- logins, ends, answers

my $login = sub { $proxy->psql('postgres', 'SELECT 1') };
grows(1, 'meridian_logins_total',                            'a login', $login);
grows(1, 'meridian_login_seconds_count',                     'a login', $login);
grows(1, 'meridian_attach_seconds_count',                    'a login', $login);
grows(1, 'meridian_attempt_seconds_count',                   'a login', $login);
grows(1, 'meridian_session_ends_total{reason="client_done"}', 'its end', $login);
grows(1, 'meridian_http_answers_total{status="404"}', 'an answer', sub { http_ask(wire(), GET => '/no') });
grows(1, 'meridian_http_answers_total{status="101"}', 'a WebSocket', sub { http_websocket(wire(), '/') });
my $answers = 'meridian_http_answers_total{status="200"}';
is(now($answers) + 1, now($answers), 'a scrape is counted when it has been answered');
is(now('meridian_http_request_seconds_count') + 1, now('meridian_http_request_seconds_count'), 'and timed');
my @tunnels = map { wire() } 1 .. 3;
http_connect($_, 'db:5432') for @tunnels;
is(now('meridian_http_streams'), 3, 'streams that are there now');
undef @tunnels;

# ---------------------------------------------------------------- queries, transactions, errors

$w = Meridian::Test::Wire->new($proxy);
$w->login(user => (getpwuid $>)[0], database => 'postgres', 'meridian.city' => 'boston');
my $before = metrics();
my $raise  = q{DO $$BEGIN RAISE EXCEPTION USING ERRCODE = 'MINE1'; END$$};
my @script = ('SELECT 1', 'BEGIN', 'SELECT 2', 'COMMIT', 'BEGIN', 'SELECT 1/0', 'ROLLBACK', $raise, 'SELECT no');
for my $sql (@script) {
	$w->send(query($sql));
	$w->until('Z');
}
$m = metrics();
is(metric($m, 'meridian_transactions_total') - metric($before, 'meridian_transactions_total'),
	5, 'transactions that ended');
is(metric($m, 'meridian_queries_total') - metric($before, 'meridian_queries_total'), 9, 'queries');
my $of_node = sub { return "meridian_errors_total{said_by=\"node\",sqlstate=\"$_[0]\"}" };
is(metric($m, $of_node->('22012')), 1, 'an error of a node, by its code');
is(metric($m, $of_node->('42703')), 1, 'another');
is(metric($m, $of_node->('other')), 1, 'a code that is not of PostgreSQL');
is((grep { /MINE1/ } keys %$m), 0, 'which is no label');
is($m->{'meridian_sessions{state="relay"}'}, 1, 'a session that is there now');
my $east_is = 'region="us-east1",node="127.0.0.1:' . $east->port . '"';
is($m->{"meridian_node_sessions{$east_is}"}, 1, 'on its node');
is($m->{'meridian_region_sessions{region="us-east1"}'}, 1, 'and in its region');

$w->send(join '', map { query("SELECT $_/0") } 1 .. 20);
$w->until('Z') for 1 .. 20;
$m = metrics();
is(metric($m, $of_node->('22012')) + metric($m, $of_node->('other')), 22, 'of many in one read, each');
$w->send(terminate());
ok($w->closed, 'it leaves');

my $rows = $proxy->console('SHOW ERRORS');
my ($row) = grep { $_->{sqlstate} eq '42703' } @$rows;
is_deeply([ @$row{qw(reason said_by errors)} ], [ 'undefined_column', 'node', 1 ], 'SHOW ERRORS has it too');
is((grep { $_->{reason} eq 'client_done' && $_->{sessions} > 0 } @$rows), 1, 'beside why sessions ended');

# A session that may well be refused: nothing is written to its psql, which may be gone by then.
my $as = sub {
	my ($db, $options) = @_;
	my @psql = ('psql', '-XAtqc', 'SELECT 1', '-d', $proxy->connstr($db, options => $options));
	return sub { IPC::Run::run(\@psql, '<', '/dev/null', '>', \my $out, '2>', \my $err) };
};
grows(1, 'meridian_errors_total{said_by="meridian",sqlstate="42704"}',
	'a wrong setting', $as->('postgres', '-c meridian.nonsense=1'));
grows(1, $of_node->('3D000'), 'no such database', $as->('nowhere', ''));
grows(1, 'meridian_login_failures_total', 'no such database', $as->('nowhere', ''));

# ---------------------------------------------------------------- places and routes

my $boston = $as->('postgres', '-c meridian.city=boston');
my $routes = sub { return "meridian_routes_total{source=\"startup\",verdict=\"$_[0]\"}" };
grows(1, 'meridian_localities_total{source="startup"}', 'a city', $boston);
grows(1, 'meridian_claims_total{source="startup"}',     'a city', $boston);
grows(1, $routes->('nearest'), 'at home', $boston);
is(now('meridian_region_usable{region="us-east1"}'), 1, 'a region that is usable');
$proxy->console('DRAIN REGION us-east1');
$m = metrics();
is($m->{'meridian_region_usable{region="us-east1"}'},  0, 'one that is drained is not');
is($m->{'meridian_region_drained{region="us-east1"}'}, 1, 'and says why');
is($m->{"meridian_node_drained{$east_is}"},            1, 'nor are its nodes');
grows(1, $routes->('spilled'), 'the next best', $boston);
$proxy->console('DRAIN REGION us-west1');
grows(1, $routes->('none'), 'nowhere', $boston);
is(now('meridian_errors_total{said_by="meridian",sqlstate="08006"}'), 1, 'the caller was told');
$proxy->console("UNDRAIN REGION $_") for qw(us-east1 us-west1);

$m = metrics();
is($m->{"meridian_node_state{$east_is,state=\"up\"}"},   1, 'a node that is up');
is($m->{"meridian_node_state{$east_is,state=\"down\"}"}, 0, 'is not down');
cmp_ok($m->{"meridian_node_rtt_seconds{$east_is}"}, '>', 0, 'it has a round trip');
cmp_ok($m->{"meridian_node_rtt_seconds{$east_is}"}, '<', 5, '… in seconds');
is($m->{"meridian_node_lag_seconds{$east_is}"}, 0, 'a primary has no lag');
cmp_ok($m->{"meridian_node_connections_max{$east_is}"},  '<', 25, 'connections that it takes');
cmp_ok($m->{"meridian_node_connections_used{$east_is}"}, '>', 0,  '… and has');
is($m->{"meridian_node_attempts_total{$east_is}"}, $m->{"meridian_node_attached_total{$east_is}"},
	'attempts, none of which failed');
my $info = qr/^meridian_node_info\{\Q$east_is\E,kind="postgres",role="primary",version="\d{6}"\}$/;
is((grep { $_ =~ $info } keys %$m), 1, 'kind, role and version');

$east->stop('immediate');
grows(1, $routes->('spilled'), 'a node that is gone', $boston);
$proxy->wait_console('SHOW NODES FULL', sub { grep { $_->{state} eq 'down' } @{ $_[0] } });
$m = metrics();
is($m->{"meridian_node_state{$east_is,state=\"down\"}"}, 1, 'is told as down');
is($m->{"meridian_node_usable{$east_is}"},               0, 'and not usable');
$east->start;
$proxy->wait_up(2);

# ---------------------------------------------------------------- the other forms

$a = scrape(Accept => 'application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1');
is($a->{headers}{'content-type'}, 'application/openmetrics-text; version=1.0.0; charset=utf-8',
	'OpenMetrics for who asks');
$m = metrics();
my $om = eval { metrics_of_text($a->{body}, openmetrics => 1) };
is($@, '', 'it is well-formed');
is_deeply([ sort keys %$om ], [ sort keys %$m ], 'the series are the same');

my $protobuf = 'application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited';
$m = metrics();
$a = scrape(Accept => "$protobuf,application/openmetrics-text;q=0.8,text/plain;q=0.5,*/*;q=0.1");
is($a->{headers}{'content-type'}, $protobuf, 'protobuf for who asks');
my ($pb, $native) = eval { metrics_of_protobuf($a->{body}) };
is($@, '', 'it is well-formed');
is_deeply([ sort keys %$pb ], [ sort keys %$m ], 'the series are the same');
my $restless = qr/^process_|http|_bytes_total|clients_accepted|session_ends|login_failures
  |^meridian_(?:node|region)_(?:rtt|connect|sample_age|connections)/x;
my @moved = grep { $_ !~ $restless && abs($pb->{$_} - $m->{$_}) > 1e-9 * abs $m->{$_} } sort keys %$m;
is("@moved", '', 'and so are the numbers that do not move by themselves');

for my $name (sort keys %$native) {
	my ($n, $low, $high) = ($native->{$name}, 0, 0);
	my $count = $n->{zero};
	for my $i (keys %{ $n->{bucket} }) {
		$count += $n->{bucket}{$i};
		$low   += $n->{bucket}{$i} * 2**(($i - 1) / 8);
		$high  += $n->{bucket}{$i} * 2**($i / 8);
	}
	is($n->{schema}, 3, "$name is a native histogram");
	is($count, $pb->{"${name}_count"}, 'its buckets hold all of it');
	ok($low <= $pb->{"${name}_sum"} + 1e-6 && $pb->{"${name}_sum"} <= $high + 1e-6,
		'and their bounds are right: the sum lies between them');
}

# ---------------------------------------------------------------- under load

my ($out, $err, $n, @lower) = ('', '', 0);
my $script = PostgreSQL::Test::Utils::tempdir() . '/select.sql';
PostgreSQL::Test::Utils::append_to_file($script, "SELECT 1;\n");
my $load = IPC::Run::start(
	[ 'pgbench', qw(-n -C -c 4 -T 3 -h 127.0.0.1 -f), $script, '-p', $proxy->port, 'postgres' ],
	'<', '/dev/null', '>', \$out, '2>', \$err, run_limit(60));
$before = metrics();
while ($load->pumpable) {
	$load->pump_nb;
	$m = metrics();
	push @lower, grep { /_total|_count|_bucket|_sum/ && $m->{$_} < $before->{$_} } keys %$before;
	($before, $n) = ($m, $n + 1);
	let_pass(0.02, 'some come and go');
}
ok($load->finish, 'sessions come and go') or diag $err;
cmp_ok($n, '>', 2, 'while somebody scrapes');
is("@lower", '', 'and no counter ever goes down');
my ($left) = grep { !/http/ && $m->{$_} > 0 } grep { /^meridian_sessions/ } keys %{ $m = settled() };
is($left, undef, 'nobody is left over');
my ($done) = $out =~ /transactions actually processed: (\d+)/;
cmp_ok($m->{'meridian_logins_total'}, '>=', $done, 'the logins are there');

SKIP: {
	skip 'promtool (Debian package prometheus) is not installed', 1
	  unless grep { -x "$_/promtool" } split /:/, $ENV{PATH};
	my ($text, $said) = scrape()->{body};
	IPC::Run::run([ 'promtool', 'check', 'metrics' ], '<', \$text, '>', \$said, '2>&1');
	is($said, '', 'promtool finds nothing');
}

# Prometheus itself: it asks for protobuf and finds native histograms in it.
SKIP: {
	skip 'prometheus is not installed', 2 unless grep { -x "$_/prometheus" } split /:/, $ENV{PATH};
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my $at  = '127.0.0.1:' . PostgreSQL::Test::Cluster::get_free_port();
	PostgreSQL::Test::Utils::append_to_file("$dir/prometheus.yml",
		"scrape_configs:\n  - job_name: meridian\n    scrape_interval: 1s\n    static_configs:\n"
		  . "      - targets: ['127.0.0.1:$port{metrics}']\n");
	my $prometheus = IPC::Run::start(
		[ 'prometheus', "--config.file=$dir/prometheus.yml", "--storage.tsdb.path=$dir/data",
			'--enable-feature=native-histograms', "--web.listen-address=$at" ],
		'<', '/dev/null', '>', \my $said, '2>&1');
	my $value = sub { # of a query; undef: none yet
		my ($query) = @_;
		(my $url = "http://$at/api/v1/query?query=$query") =~ s/([()])/sprintf '%%%02X', ord $1/ge;
		return (HTTP::Tiny->new(timeout => patience(5))->get($url)->{content} // '') =~ /"value":\[[^,]+,"([^"]+)"/ ? $1 : undef;
	};
	my $count;
	wait_until(sub { $prometheus->pump_nb; defined($count = $value->('histogram_count(meridian_login_seconds)')) }, 'Prometheus to have scraped');
	is($count, metric(metrics(), 'meridian_login_seconds_count'), 'Prometheus has the native histogram')
	  or diag $said;
	wait_until(sub { ($value->('up') // 0) == 1 });
	is($value->('up'), 1, 'and finds nothing wrong');
	$prometheus->signal('TERM');
	$prometheus->finish;
}
$proxy->stop;
done_testing();
