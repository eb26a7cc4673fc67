#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Cancel requests: they find their session on whatever worker, and no other; and a client that
# vanishes takes its query with it.
use strict;
use warnings;
use IPC::Run qw(run);
use Meridian::Test::Cluster qw(regional_clusters certificate sleeping);
use Meridian::Test::Delay;
use Meridian::Test::Measure qw(:all);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Tls;
use Meridian::Test::Wire qw(:build);
use Test::More;

my $clients = "$ENV{MERIDIAN_BUILDDIR}/tests/tools/clients";
my $cert    = certificate('proxy', alt => 'IP:127.0.0.1');
my $node    = regional_clusters('us-east1', { tls => 1 });
my $far     = Meridian::Test::Delay->new($node);
my $proxy   = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => { nodes => $far, sslmode => 'disable' } ],
	set     => { workers => 4, tls => 'allow', tls_cert_file => $cert->{cert}, tls_key_file => $cert->{key},
		probe_interval => NEVER });
$proxy->start;

sub session
{
	my (%param) = @_;
	my $w = Meridian::Test::Wire->new($proxy);
	$w->login(database => 'postgres', application_name => 'wire', %param);
	return $w;
}

sub backends
{
	my ($want) = @_;
	return $node->poll_query_until('postgres',
		"SELECT count(*) = $want FROM pg_stat_activity WHERE application_name = 'wire'");
}

# libpq: eight sessions on four workers.
my $out = '';
for my $tls (qw(disable require)) {
	run([ $clients, 'cancel', 8, $proxy->connstr('postgres', sslmode => $tls) ], '>', \$out);
	is($out, 'pid same ' x 8 . "\n" . '57014 ' x 8 . "\n", "PQcancel, sslmode=$tls: each cancels its own query");
}

# libpq of 17 asks over TLS where the session is on TLS, also without an SSLRequest.
run([ $clients, 'cancelconn', 1, $proxy->connstr('postgres') ], '>', \$out);
SKIP: {
	skip 'libpq is older than 17', 4 if $out eq "none\n";
	for my $how ('sslnegotiation=postgres', 'sslnegotiation=direct') {
		my $before = $proxy->counter('tls_handshakes');
		run([ $clients, 'cancelconn', 8, $proxy->connstr('postgres', sslmode => 'require') . " $how" ], '>', \$out);
		is($out, 'pid same ' x 8 . "\n" . '57014 ' x 8 . "\n", "PQcancelBlocking, $how: each cancels its own query");
		cmp_ok($proxy->counter('tls_handshakes') - $before, '>=', 16, '... over TLS');
	}
}

# psql does it on Ctrl-C.
my ($said, $complained) = ('', '');
my $psql = IPC::Run::start([ 'psql', '-XAtq', '-d', $proxy->connstr('postgres'), '-c', 'SELECT pg_sleep(100)' ],
	'<', \'', '>', \$said, '2>', \$complained);
ok(sleeping($node, 1), 'psql is at its query');
$psql->signal('INT');
$psql->finish;
like($complained, qr/canceling statement due to user request/, 'Ctrl-C ends it');

# The secret is ours, the process id the server's.
my $w = session();
$w->send(query('SELECT pg_backend_pid()'));
is(row_values(($w->until('Z'))[1])->[0], $w->{pid}, 'the process id is the server\'s');
is(length $w->{secret}, 4, 'a secret of four bytes');
my %secret = map { session()->{secret} => 1 } 1 .. 20;
is(scalar keys %secret, 20, 'each session has another');

# What does not fit cancels nothing.
$w->send(query('SELECT pg_sleep(100)'));
ok(sleeping($node, 1), 'a query runs');
my $closed = 0;
srand 42;
for my $i (1 .. 1000) {
	$closed += $w->cancel($i % 2 ? () : (pid => int rand 2**31), secret => pack 'N', int rand 2**32);
}
is($closed, 1000, '1,000 wrong keys: each connection is closed');
ok($w->cancel(pid => $w->{pid} + 1), 'the right secret with another pid');
ok($w->cancel(secret => $w->{secret} ^ "\0\0\0\1"), 'a secret with one byte wrong');
ok($w->cancel(secret => $w->{secret} . "\0" x 28), 'a longer secret');
ok(sleeping($node, 1), 'and the query runs on');
ok($w->cancel, 'the right key');
is($w->ended_with, '57014', 'ends it');
$w->send(query('SELECT 1'));
is(row_values(($w->until('Z'))[1])->[0], '1', 'the session goes on');
ok($w->cancel, 'a cancel while it is idle');
$w->send(query('SELECT 2'));
is(row_values(($w->until('Z'))[1])->[0], '2', 'changes nothing');

# A session that has ended.
my $other = session();
$other->send(terminate);
ok($other->closed, 'a session ends');
$w->send(query('SELECT pg_sleep(100)'));
ok(sleeping($node, 1), 'a query runs in another');
ok($other->cancel, 'its key after its end');
ok(sleeping($node, 1), 'cancels nothing');

# Over TLS, as a newer libpq does it.
my $tls = Meridian::Test::Tls->new($proxy, '-starttls', 'postgres');
$tls->send(cancel_request($w->{pid}, $w->{secret}));
is($w->ended_with, '57014', 'a cancel request over TLS');
is($proxy->counter('cancels_unknown'), 1004, 'those that found no session are counted');
$w->send(terminate);

# Clients that vanish in a query: the server's process goes, and its connection.
ok(backends(0), 'nobody is connected');
my $before = descriptors($proxy->pid);
my %vanish = (
	'by closing'    => sub { $_[0]->close },
	'by a reset'    => sub { $_[0]->abort },
	'by half-close' => sub { $_[0]->shutdown },
);
for my $how (sort keys %vanish) {
	my @w = map { session() } 1 .. 10;
	$_->send(query('SELECT pg_sleep(100)')) for @w;
	ok(sleeping($node, 10), 'ten queries run');
	$vanish{$how}->($_) for @w;
	ok(backends(0), "clients vanish $how: their queries end");
}

# At once, so that the cancel may overtake the query.
for (1 .. 20) {
	my $w = session();
	$w->send(query('SELECT pg_sleep(100)'));
	$w->abort;
}
ok(backends(0), 'clients that vanish at once, too');
my $rows = session();
$rows->send(query('SELECT generate_series(1, 100000000)'));
$rows->until('D');
$rows->close;
ok(backends(0), 'amid the rows');
my $copy = session();
$copy->send(query('CREATE TEMP TABLE t (i int)'), query('COPY t FROM STDIN'));
$copy->until('G');
$copy->send(copy_data("1\n"), 'd');
$copy->close;
ok(backends(0), 'amid the data of a COPY');
my $open = session();
$open->send(query('BEGIN'));
$open->until('Z');
$open->close;
ok(backends(0), 'amid a transaction');

# A client that vanishes before it has a server.
$far->hang;
my $early = Meridian::Test::Wire->new($proxy);
$early->send(startup(user => 'postgres', database => 'postgres', application_name => 'wire'));
ok(wait_until(sub { grep { $_->{state} eq 'attaching' } @{ $proxy->console('SHOW SESSIONS FULL') } }), 'a session that attaches');
$early->close;
ok(wait_until(sub { !grep { $_->{state} eq 'attaching' } @{ $proxy->console('SHOW SESSIONS FULL') } }), 'vanishes');
$far->pass;
ok(wait_until(sub { descriptors($proxy->pid) <= $before }), 'no descriptor is left') or diag descriptors($proxy->pid);

# A session whose node a reload has removed: its cancels go where it is attached.
for my $mode (qw(disable require)) {
	$proxy->reload(regions => [ 'us-east1' => { nodes => $far, sslmode => $mode } ]);
	my ($asked, $vanishes) = map { session() } 1 .. 2;
	$_->send(query('SELECT pg_sleep(100)')) for $asked, $vanishes;
	ok(sleeping($node, 2), "two queries run, sslmode=$mode");
	$proxy->reload(regions => [ 'us-west1' => { nodes => '127.0.0.1:1', sslmode => 'disable' } ]);
	ok($asked->cancel, 'the node is removed; a cancel');
	is($asked->ended_with, '57014', 'ends the query');
	$vanishes->abort;
	ok(sleeping($node, 0), 'as when its client vanishes');
}
$proxy->reload(regions => [ 'us-east1' => { nodes => $far, sslmode => 'disable' } ]);

# A cancel that cannot reach the node.
$w = session();
$w->send(query('SELECT pg_sleep(100)'));
ok(sleeping($node, 1), 'a query runs');
$far->hang;
my $lost = Meridian::Test::Wire->new($proxy);
$lost->send(cancel_request($w->{pid}, $w->{secret}));
ok($lost->silent, 'a cancel for a node that hangs waits');
$far->pass;
ok($lost->closed, 'until the node answers');
is($w->ended_with, '57014', 'and works then');
$proxy->stop;
done_testing();
