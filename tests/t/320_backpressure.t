#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Peers that do not read, and peers that dribble. Memory stays bounded whatever a peer does, the other
# side is made to wait, others do not notice; and where the bytes are cut makes no difference.
use strict;
use warnings;
use IPC::Run qw(run);
use Meridian::Test::Cluster qw(regional_clusters certificate);
use Meridian::Test::Delay;
use Meridian::Test::Measure qw(:all);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Tls;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils qw(slurp_file append_to_file);
use Test::More;

my $cert  = certificate('proxy', alt => 'IP:127.0.0.1');
my $node  = regional_clusters('us-east1', { tls => 1 });
my @tls   = (tls => 'allow', tls_cert_file => $cert->{cert}, tls_key_file => $cert->{key});
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => { nodes => $node, sslmode => 'disable' } ],
	set     => { workers => 1, @tls });
$proxy->start;
my $dir = PostgreSQL::Test::Utils::tempdir();

sub session
{
	my $w = Meridian::Test::Wire->new($proxy);
	$w->login(database => 'postgres', application_name => 'wire');
	return $w;
}

sub row { my ($name, $column) = @_; return (grep { $_->{application_name} eq $name } @{ $proxy->console('SHOW SESSIONS FULL') })[0]{$column} }

sub grown_less
{
	my ($before, $limit, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $grown = peak_kb($proxy->pid) - $before;
	measured('%d kB more at the peak: %s', $grown, $what);
  SKIP: {
		skip 'memory under a sanitizer says nothing', 1 if sanitized();
		cmp_ok($grown, '<', $limit, "$what: less than $limit kB");
	}
	return;
}

# ---------------------------------------------------------------- a client that does not read

my $mb   = 64;
my $rows = "SELECT repeat('x', 1000000) FROM generate_series(1, $mb)";
session()->send(terminate);
my $before = peak_kb($proxy->pid);
my $slow   = session();
$slow->send(query($rows));
my $taken = settles(sub { row('wire', 'tx_bytes') });
cmp_ok($taken, '<', $mb * 500_000, 'a client that does not read: the relay stops') or diag $taken;
ok($node->poll_query_until('postgres', "SELECT wait_event = 'ClientWrite' FROM pg_stat_activity WHERE query LIKE 'SELECT repeat%'"),
	'and the server waits');
grown_less($before, 1024, 'a slow reader');
my $busy = cpu_ticks($proxy->pid);
is($proxy->safe_psql('postgres', 'SELECT 1'), '1', 'others are served');
let_pass(0.3, 'something spins');
cmp_ok(cpu_ticks($proxy->pid) - $busy, '<', 15, 'and nothing spins');
my $bytes = 0;
$bytes += length $_->[1] for grep { $_->[0] eq 'D' } $slow->until('Z');
is($bytes, $mb * 1_000_006, 'when it reads, all of it comes');
$slow->send(terminate);
my $many = 20;
my @slow = map { session() } 1 .. $many;
$_->send(query($rows)) for @slow;
settles(sub { my $sum = 0; $sum += $_->{tx_bytes} for @{ $proxy->console('SHOW SESSIONS FULL') }; $sum });
grown_less($before, 1024 + 160 * $many, "$many slow readers");
$_->abort for @slow;
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE query LIKE 'SELECT repeat%' AND state = 'active' AND pid <> pg_backend_pid()"),
	'their queries end with them');

# ---------------------------------------------------------------- a server that does not read

$before = peak_kb($proxy->pid);
my $w = session();
$w->send(query('CREATE TEMP TABLE t (s text)'));
$w->until('Z');
$w->send(query('COPY t FROM STDIN'));
$w->until('G');
kill 'STOP', $w->{pid};
my $line = copy_data('x' x 9999 . "\n");
my $sent = 0;
while ($sent < $mb * 100 && $w->is_ready('write', patience(0.5))) {
	syswrite $w->{fd}, $line x 10 or last;
	$sent += 10;
}
# the last write blocks for good; the blocking socket would, too
cmp_ok($sent, '<', $mb * 100, 'a server that does not read: the client has to wait') or diag $sent;
grown_less($before, 1024, 'a stopped server');
is($proxy->safe_psql('postgres', 'SELECT 1'), '1', 'others are served');
$w->abort;
kill 'CONT', $w->{pid};
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $w->{pid}"),
	'its client vanishes: the process goes when it can');
ok(wait_until(sub { !grep { $_->{application_name} eq 'wire' } @{ $proxy->console('SHOW SESSIONS FULL') } }),
	'and the session with it');

# The same, and it goes on.
$w = session();
$w->send(query('CREATE TEMP TABLE t (s text)'), query('COPY t FROM STDIN'));
$w->until('G');
kill 'STOP', $w->{pid};
my $feeder = fork // die "fork: $!";
if (!$feeder) {
	for (1 .. 3000) { $w->send($line) or POSIX::_exit(1) }
	$w->send(copy_done);
	POSIX::_exit(0);
}
my $got = settles(sub { row('wire', 'rx_bytes') });
cmp_ok($got, '<', 3000 * 10_000, 'a server that is stopped amid a COPY');
kill 'CONT', $w->{pid};
is(join('', map { $_->[0] } $w->until('Z')), 'CZ', 'goes on');
waitpid $feeder, 0;
$w->send(query('SELECT count(*), sum(length(s)) FROM t'));
is_deeply(row_values(($w->until('Z'))[1]), [ 3000, 3000 * 9999 ], 'with each byte');
$w->send(terminate);

# ---------------------------------------------------------------- where bytes are cut

append_to_file("$dir/all.sql", <<'SQL');
\set ON_ERROR_STOP off
CREATE TEMP TABLE t (i int, s text);
COPY t FROM STDIN;
1	one
2	two
\.
COPY t FROM STDIN;
not a number	three
\.
SELECT * FROM t;
SELECT 1/0;
DO $$ BEGIN RAISE NOTICE 'a notice'; END $$;
SELECT 1 \; SELECT 2 \; SELECT 3;
BEGIN;
SAVEPOINT a;
SELECT nothing;
ROLLBACK TO a;
SELECT $1::text AS x, $2::int AS y \bind one 2 \g
COMMIT;
COPY t TO STDOUT;
LISTEN c;
NOTIFY c, 'payload';
SELECT repeat('abc', 3000) AS long;
SET application_name = 'cut';
\echo :SQLSTATE
SQL
my $sql = slurp_file("$dir/all.sql") =~ s/^SELECT \$1.*\n//mr;    # \bind is psql's from 16 on
append_to_file("$dir/script.sql", $sql);

sub transcript
{
	my ($to, %word) = @_;
	my $out = '';
	run([ 'psql', '-Xa', '-P', 'pager=off', '-d', "host=127.0.0.1 dbname=postgres gssencmode=disable port=" . $to->port
				. join('', map { " $_=$word{$_}" } sort keys %word), '-f', "$dir/script.sql" ],
		'<', \'', '>', \$out, '2>&1', run_limit(60));
	return $out =~ s/server process with PID \d+/server process/gr;
}

my $front   = Meridian::Test::Delay->new($proxy);
my $back    = Meridian::Test::Delay->new($node);
my $between = Meridian::Test::Proxy->new('between',
	regions => [ 'us-east1' => { nodes => $back, sslmode => 'allow' } ],
	set     => { workers => 1, @tls, probe_interval => NEVER });
$between->start;
my $both = Meridian::Test::Delay->new($between);
my $want = transcript($node, sslmode => 'disable');
like($want, qr/payload/, 'what the server itself answers');
for my $size (1, 7, 1000) {
	$_->split($size) for $front, $back, $both;
	for my $mode ('disable', 'require') {
		is(transcript($front, sslmode => $mode), $want, "the client's bytes in pieces of $size, sslmode=$mode");
		is(transcript($between, sslmode => $mode), $want, "the server's in pieces of $size, sslmode=$mode");
		is(transcript($both, sslmode => $mode), $want, "both in pieces of $size, sslmode=$mode");
	}
}
$between->stop;

# ---------------------------------------------------------------- TLS on both sides

my $secure = Meridian::Test::Proxy->new('secure',
	regions => [ 'us-east1' => { nodes => $node, sslmode => 'require' } ],
	set     => { workers => 1, @tls });
$secure->start;
my $out = '';
run([ "$ENV{MERIDIAN_BUILDDIR}/tests/tools/clients", 'echo', 20 << 20,
		$secure->connstr('postgres', sslmode => 'require', options => '-c log_statement=none') ], '>', \$out);
is($out, "same\n", 'a value of 20 MB to the server and back, TLS on both sides');
run([ "$ENV{MERIDIAN_BUILDDIR}/tests/tools/clients", 'pipeline', 5000, $secure->connstr('postgres', sslmode => 'require') ], '>', \$out);
is($out, "rows 4750 errors 50 aborted 200 syncs 500\n", 'a pipeline');
$before = peak_kb($secure->pid);
my $t = Meridian::Test::Tls->new($secure, '-starttls', 'postgres');
$t->login(database => 'postgres', application_name => 'tls');
kill 'STOP', $_ for @{ $t->{pids} };
$t->send(query($rows));
kill 'CONT', $_ for @{ $t->{pids} };
$bytes = 0;
$bytes += length $_->[1] for grep { $_->[0] eq 'D' } $t->until('Z');
is($bytes, $mb * 1_000_006, "$mb MB over TLS");
$secure->stop;
$proxy->stop;
done_testing();
