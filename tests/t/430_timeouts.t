#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Every timeout: what is closed, what the client is told, what goes on, and that nothing wakes up
# where none is configured.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters certificate);
use Meridian::Test::Delay;
use Meridian::Test::Measure qw(:all);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use Test::More;
use Time::HiRes qw(time);

# Each time-out is the subject here: an option of $slow seconds, and what comes of it after $slow seconds.
my $slow = build_factor();
my $cert = certificate('proxy', alt => 'IP:127.0.0.1');
my ($node, $other) = regional_clusters('us-east1', { users => { alice => 'secret' } }, 'europe-west1');
my $far   = Meridian::Test::Delay->new($node);
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $far ],
	set     => { workers => 1, probe_interval => NEVER, tls => 'allow',
		tls_cert_file => $cert->{cert}, tls_key_file => $cert->{key}, client_login_timeout => 3 * $slow . 's' });
$proxy->start;

my @none = map { $_ => 0 } qw(client_idle_timeout idle_transaction_timeout query_timeout client_login_timeout);

sub session
{
	my (%param) = @_;
	my $w = Meridian::Test::Wire->new($proxy);
	$w->login(database => 'postgres', application_name => 'wire', %param);
	return $w;
}

# The connection is closed after `seconds` and not before, with this SQLSTATE or without a word.
sub closed_after
{
	my ($w, $began, $seconds, $sqlstate, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($error) = grep { $_->[0] eq 'E' } $w->until('E');
	my $took = passed($began);
	is($error ? error_fields($error)->{C} : '', $sqlstate, "$what: the SQLSTATE");
	ok($w->closed, "$what: closed");
	cmp_ok($took, '>', $seconds * 0.99, "$what: not too early");
	in_time($began, $seconds * 1.5 + 20, "$what: not too late");
	is(error_fields($error)->{S}, 'FATAL', "$what: FATAL") if $error;
	return $error ? error_fields($error) : {};
}

# ---------------------------------------------------------------- before the login is over

my %stage = (
	'a client that says nothing'               => [ '08P01', sub { } ],
	'half a startup packet'                    => [ '08P01', sub { $_[0]->send(substr startup(user => 'postgres'), 0, 11) } ],
	'a client that asked for TLS'              => [ '', sub { $_[0]->send(ssl_request); $_[0]->bytes(1) } ],
	'a client that owes a password'            => [ '08P01', sub { $_[0]->send(startup(user => 'alice', database => 'postgres')); $_[0]->until('R') } ],
);
my $began = time;
my %w = map { $_ => Meridian::Test::Wire->new($proxy) } keys %stage;
$stage{$_}[1]->($w{$_}) for sort keys %stage;
closed_after($w{$_}, $began, 3 * $slow, $stage{$_}[0], $_) for sort keys %stage;

my $loris = Meridian::Test::Wire->new($proxy);
my $packet = startup(user => 'postgres', database => 'postgres', map { ("p$_" => 'v') } 1 .. 90);
$began = time;
my $at = 0;
while ($at < length $packet && $loris->send(substr $packet, $at, 1)) {
	$at++;
	let_pass(0.02, 'it is thrown out');
}
cmp_ok($at, '<', length $packet, 'a byte now and then does not help');
my ($row) = grep { $_->{reason} eq 'login_timeout' } @{ $proxy->console('SHOW ERRORS') };
is($row->{sessions}, 5, 'each is counted') or diag explain $row;

# Whoever is in is in.
$proxy->reload(set => {@none});
my $idle = session();
ok($idle->silent, 'a session that sits idle is left alone');

# ---------------------------------------------------------------- nothing wakes up

SKIP: {
	skip 'a sanitizer has threads of its own', 1 if sanitized();
	skip no_strace(), 1 if no_strace();
	my $calls;
	for (1 .. 3) {
		$calls = system_calls([ $proxy->pid ], sub { let_pass(1.2, 'something wakes up') });
		last if $calls->{total} == 0;
	}
	is($calls->{total}, 0, 'without timeouts nothing wakes up') or diag explain $calls;
}

# ---------------------------------------------------------------- idle

my $other_idle = session();
$other_idle->send(query('BEGIN'));
$other_idle->until('Z');
$began = time;
$proxy->reload(set => { client_idle_timeout => "${slow}s" });
closed_after($idle, $began, 0, '57P05', 'client_idle_timeout, set while it was idle');
ok($other_idle->silent, 'a transaction is not idle');
$idle  = session();
$began = due_in(1.8 * $slow);    # when the query ends
$idle->send(query("SELECT pg_sleep(1.8 * $slow)"));
is(join('', map { $_->[0] } $idle->until('Z')), 'TDCZ', 'nor is a query');
closed_after($idle, $began, $slow, '57P05', 'after a long query, from its end');
my $copy = session();
$copy->send(query('COPY (SELECT pg_sleep(1.8)) TO STDOUT'));
is(($copy->until('Z'))[-1][0], 'Z', 'nor is a COPY') if $slow == 1;
$copy->close;

# ---------------------------------------------------------------- idle in a transaction

$began = time;
$proxy->reload(set => { @none, idle_transaction_timeout => "${slow}s" });
closed_after($other_idle, $began, 0, '25P03', 'idle_transaction_timeout, set while it was idle');
$idle = session();
my $failed = session();
$began = time;
$failed->send(query('BEGIN; SELECT 1/0'));
$failed->until('Z');
closed_after($failed, $began, $slow, '25P03', 'in a failed transaction');
ok($idle->silent, 'outside a transaction nothing happens');
ok($node->poll_query_until('postgres',
	"SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'wire'"), 'their processes are gone');

# ---------------------------------------------------------------- a query

$proxy->reload(set => { @none, query_timeout => "${slow}s" });
my $long = session();
$began = time;
$long->send(query('SELECT pg_sleep(100)'));
my $said = closed_after($long, $began, $slow, '57014', 'query_timeout');
like($said->{M}, qr/query_timeout/, 'which says its name');
ok($node->poll_query_until('postgres',
	"SELECT count(*) = 0 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(100)'"), 'the query is cancelled');
$proxy->reload(set => { query_timeout => 2 * $slow . 's' });
my $pipe = session();
$pipe->send(query("SELECT pg_sleep(0.7 * $slow)") x 4);
my @z = map { $_->[0] } map { $pipe->until('Z') } 1 .. 4;
is(scalar(grep { $_ eq 'Z' } @z), 4, 'four in a pipeline have the time of four');
ok($idle->silent, 'a session that asks nothing is left alone');

# ---------------------------------------------------------------- a node that does not answer

$proxy->reload(set => { @none, server_connect_timeout => "${slow}s" });
$far->hang;
my $w = Meridian::Test::Wire->new($proxy);
$began = time;
$w->send(startup(user => 'postgres', database => 'postgres'));
$said = closed_after($w, $began, $slow, '08006', 'server_connect_timeout with no other node');
like($said->{D}, qr/us-east1.*timeout expired/s, 'the detail names the node and why');
$proxy->reload(set => { hedge_delay => NEVER }, regions => [ 'us-east1' => $far, 'europe-west1' => $other ]);
is($proxy->safe_psql('postgres', "SHOW cluster_name"), 'europe-west1', 'with another, that is next');
$far->pass;
$proxy->stop;
done_testing();
