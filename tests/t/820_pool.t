#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Pools: who gets a server connection when, for how long, and what becomes of it. What a session
# leaves on it is 830 (prepared statements) and 840 (settings, pins).
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Delay;
use Meridian::Test::Measure qw(:all);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes qw(time);

my ($east, $west) = regional_clusters('us-east1', 'europe-west1');
my $delay = Meridian::Test::Delay->new($west);
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => { nodes => $east, cities => 'new york' }, 'europe-west1' => { nodes => $delay, cities => 'paris' } ],
	set     => { auth => 'trust', workers => 1, default_pool_size => 2, region => 'us-east1', failback_delay => 0 },
	conf    => "[database postgres]\npool = transaction\n[database template1]\npool = session\n");
$proxy->start;

sub session { return Meridian::Test::Wire->session($proxy, @_) }

sub backends
{
	my ($cluster, $where) = @_;
	return $cluster->safe_psql('postgres',
		"SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND " . ($where // 'true'));
}

my $pid = 'SELECT pg_backend_pid()';
my $ours = "datname = 'postgres' AND application_name = ''";

# ---------------------------------------------------------------- a transaction at a time

my @many = map { session() } 1 .. 8;
my %pid = map { $_->ask($pid) => 1 } @many;
is(scalar keys %pid, 1, 'eight sessions that ask in turn share one connection');

$many[0]->ask('BEGIN');
my $first = $many[0]->ask($pid);
$many[1]->ask('BEGIN');
my $second = $many[1]->ask($pid);
isnt($first, $second, 'two transactions have two');
is($many[0]->ask($pid), $first, 'a transaction keeps its own');
$many[$_]->send(query($pid)) for 2 .. 4;
ok($many[2]->silent, 'a third session waits');
my ($row) = grep { $_->{state} eq 'waiting' } @{ $proxy->console('SHOW SESSIONS FULL') };
ok($row, 'SHOW SESSIONS says so');
is($many[1]->ask('COMMIT'), '', 'one commits');
is($many[$_]->answer, $second, "waiting session $_ has its connection") for 2 .. 4;
is($many[0]->ask('SELECT 1/0'), '22012 division by zero', 'an error inside a transaction');
is($many[0]->ask($pid), '25P02 current transaction is aborted, commands ignored until end of transaction block', 'it is still the transaction\'s');
is($many[0]->ask('ROLLBACK'), '', 'rolled back');
is($many[5]->ask('SELECT 1/0'), '22012 division by zero', 'an error outside of one');
is($many[6]->ask('SELECT 6'), '6', 'leaves nothing behind');

# A pipeline across many attachments: the answers come in order, whoever gave them.
$many[7]->send(join '', map { query("SELECT $_") } 1 .. 200);
is(join(',', map { $many[7]->answer } 1 .. 200), join(',', 1 .. 200), 'a pipeline of 200 queries');
$many[7]->send_split(query('SELECT 77') . query('SELECT 78'), 1);
is($many[7]->answer, 77, 'byte by byte');
is($many[7]->answer, 78, 'and the next');
is(backends($east, $ours), 2, 'two connections have served them all');

# ---------------------------------------------------------------- fair, and not for ever

sub sum_of { my ($p, $column) = @_; my $sum = 0; $sum += $_->{$column} for @{ $p->console('SHOW POOLS FULL DATABASE postgres') }; return $sum }

$many[$_]->ask('BEGIN') for 0, 1;
my @order;
for my $i (2 .. 6) {
	$many[$i]->send(query("SELECT $i"));
	wait_until(sub { sum_of($proxy, 'cl_waiting') == $i - 1 }, "$i to wait") or last;
}
$many[0]->ask('COMMIT');
is(join(',', map { $many[$_]->answer } 2 .. 6), '2,3,4,5,6', 'whoever waits is served');
$many[0]->ask('BEGIN');
$proxy->reload(set => { query_wait_timeout => '1s', query_wait_notify => '200ms' });    # time: one that waits is told, and closed
$many[2]->send(query('SELECT 2'));
my ($notice) = $many[2]->until('N');
is(error_fields($notice)->{S}, 'NOTICE', 'a session that waits is told so');
like(error_fields($notice)->{D}, qr/us-east1/, 'and where');
my ($error) = grep { $_->[0] eq 'E' } $many[2]->until('E');
is(error_fields($error)->{C}, '53300', 'one that waits too long is closed');
like(error_fields($error)->{M}, qr/query_wait_timeout/, 'with the reason');
$many[$_]->ask('COMMIT') for 0, 1;
$proxy->reload(set => { query_wait_timeout => NEVER, query_wait_notify => 0 });
is($many[3]->ask('SELECT 3'), 3, 'the others go on');

# ---------------------------------------------------------------- clients that leave

$many[0]->ask('BEGIN');
my $left = $many[0]->ask($pid);
$many[0]->close;
ok($east->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE state LIKE 'idle in%'"),
	'a client leaves inside its transaction: nothing of it stays open');
is($many[1]->ask('SELECT txid_current_if_assigned() IS NULL'), 't', 'nobody gets its transaction');
$many[1]->send(query('SELECT pg_sleep(60)'));
ok($east->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%sleep(60)%' AND pid <> pg_backend_pid()"), 'a query runs');
$many[1]->close;
ok($east->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%sleep(60)%' AND pid <> pg_backend_pid()"),
	'its client leaves: it is cancelled');
$many[$_]->ask('BEGIN') for 3, 4;
$many[5]->send(query('SELECT 5'));
ok(wait_until(sub { sum_of($proxy, 'cl_waiting') == 1 }, 'it to wait'), 'one waits');
$many[5]->close;
$many[$_]->ask('COMMIT') for 3, 4;
is($many[6]->ask('SELECT 6'), 6, 'a client leaves the queue: the others go on');
$many[6]->send(terminate);
ok($many[6]->closed, 'Terminate');
is($many[4]->ask('SELECT 4'), 4, 'is not for the connection');

# ---------------------------------------------------------------- connections that die

$pid = $many[3]->ask('SELECT pg_backend_pid()');
$east->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
$east->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid");
is($many[3]->ask('SELECT 3'), 3, 'an idle connection dies: nobody sees it');
$many[3]->ask('BEGIN');
$pid = $many[3]->ask('SELECT pg_backend_pid()');
$east->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
($error) = grep { $_->[0] eq 'E' } $many[3]->until('E');
is(error_fields($error)->{C}, '57P01', 'one dies in a transaction: its session is told');
is($many[4]->ask('SELECT 4'), 4, 'no other');

# ---------------------------------------------------------------- startup options, other databases, session mode

my $opt = session(options => '-c work_mem=12345');
is($opt->ask('SHOW work_mem'), '12345kB', 'options of the startup packet count');
is($many[4]->ask('SHOW work_mem'), '4MB', 'for their own session alone');
is($opt->ask('SHOW work_mem'), '12345kB', 'and stay');
my $bad = Meridian::Test::Wire->new($proxy);
$bad->send(startup(user => 'postgres', database => 'nowhere'));
($error) = grep { $_->[0] eq 'E' } $bad->until('E');
is(error_fields($error)->{C}, '3D000', 'a database that does not exist: the node\'s own error');

my $s = session(database => 'template1');
$pid = $s->ask('SELECT pg_backend_pid()');
$s->ask("SET work_mem = '9MB'; CREATE TEMP TABLE t (a int); PREPARE p AS SELECT 1");
is($s->ask('SHOW work_mem'), '9MB', 'session mode: settings are the session\'s');
my ($line) = grep { $_->{database} eq 'template1' } @{ $proxy->console('SHOW SESSIONS FULL') };
is($line->{move_block}, '', 'it could be moved (REHOME SESSION)');
$s->send(terminate);
ok($s->closed, 'it ends');
my $t;
for (1 .. 50) {
	$t = session(database => 'template1');
	last if $t->ask('SELECT pg_backend_pid()') == $pid;
	$t->send(terminate);
	$t->closed;
}
is($t->ask('SELECT pg_backend_pid()'), $pid, 'the next session has its connection');
is($t->ask('SHOW work_mem'), '4MB', 'reset');
is($t->ask("SELECT to_regclass('pg_temp.t') IS NULL AND NOT EXISTS (SELECT FROM pg_prepared_statements)"), 't', 'and clean');
$t->send(terminate);

# ---------------------------------------------------------------- what a query costs

SKIP: {
	skip 'a sanitizer makes system calls of its own', 2 if sanitized();
	skip no_strace(), 2 if no_strace();
	my %thread = threads($proxy->pid);
	my $w = session();
	$w->ask('SELECT 1') for 1 .. 3;
	my $one  = system_calls($thread{'worker/1'}, sub { $w->ask('SELECT 1') });
	my $lots = system_calls($thread{'worker/1'}, sub { $w->ask('SELECT 1') for 1 .. 501 });
	my $each = ($lots->{total} - $one->{total}) / 500;
	measured('%.3f system calls per query', $each);
	is(sprintf('%.1f', $each), '6.0', 'a query with an attachment of its own costs six system calls')
	  or diag explain [ $one, $lots ];
	ok($each < 6.1, 'and no more');
}

# ---------------------------------------------------------------- the region fails, and comes back

my $p = session('meridian.city' => 'paris');
is($p->ask('SHOW port'), $west->port, 'a session of Paris is served there');
$delay->refuse;
$delay->cut;
my $moved;
wait_until(sub {
	$p = session('meridian.city' => 'paris') if $p->{gone};
	$moved = eval { $p->ask('SHOW port') } // '';
	return $moved eq $east->port;
}, 'the session to be in the next region');
is($moved, $east->port, 'its region fails: the same session goes on in the next');
$delay->pass;
$proxy->console('PROBE');
my $back = '';
wait_until(sub { ($back = $p->ask('SHOW port')) eq $west->port }, 'the session to be home');
is($back, $west->port, 'and home when it is well again');
$proxy->stop;

# ---------------------------------------------------------------- distance: cold and warm

sub distant_proxy
{
	my ($name, $node) = @_;
	my $p = Meridian::Test::Proxy->new("before_$name",    # the node's log has the other name
		regions => [ $name => $node ],
		set     => { auth => 'trust', workers => 2, min_pool_size => 2, probe_interval => NEVER, probe_timeout => span(30) },
		conf    => "[database postgres]\npool = transaction\n[database template1]\npool = off\n");
	$p->start;
	return $p;
}

# Milliseconds from connect() to the first result.
sub first_result
{
	my ($p, $database) = @_;
	my $began = time;
	my $w = Meridian::Test::Wire->new($p);
	$w->login(database => $database, user => 'postgres');
	my $got = $w->ask('SELECT 1');
	my $ms = passed($began) * 1000;
	is($got, 1, "$database: an answer after " . sprintf('%.1f ms', $ms));
	return $ms;
}

# How many have logged in to a cluster so far.
sub logins { my ($cluster) = @_; return scalar(() = PostgreSQL::Test::Utils::slurp_file($cluster->logfile) =~ /connection authorized/g) }

# Without a pool, and with one whose connections are there.
sub cold_and_warm
{
	my ($p, $cluster, $warm_enough) = @_;
	my $before = logins($cluster);
	my ($cold) = sort { $a <=> $b } map { first_result($p, 'template1') } 1 .. 3;
	is(logins($cluster) - $before, 3, 'without a pool each has logged in at the node');
	first_result($p, 'postgres');
	ok($cluster->poll_query_until('postgres', "SELECT count(*) >= 2 FROM pg_stat_activity WHERE $ours AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND state = 'idle'"),
		'min_pool_size connections are there');
	wait_until(sub { !sum_of($p, 'sv_login') && sum_of($p, 'sv_idle') >= 2 }, 'their logins to be over for the proxy, too');
	$before = logins($cluster);
	my @warm = map { first_result($p, 'postgres') } 1 .. 9;
	# what a busy machine adds is not distance: a few more where it was
	push @warm, first_result($p, 'postgres') while @warm < 40 && (sort { $a <=> $b } @warm)[0] > $warm_enough;
	is(logins($cluster) - $before, 0, 'with a warm one nobody has');
	return ($cold, sort { $a <=> $b } @warm);
}

my $near = distant_proxy('us-east1', $east);
my ($cold, @warm) = cold_and_warm($near, $east, 1e9);
measured('first result, near: cold %.1f ms, warm %.1f to %.1f ms', $cold, @warm[0, -1]);
$near->stop;

$delay->ms(75);
my $far = distant_proxy('europe-west1', $delay);
($cold, @warm) = cold_and_warm($far, $west, 150 + patience(5));
measured('first result, 75 ms each way: cold %.1f ms, warm %.1f to %.1f ms', $cold, @warm[0, -1]);
cmp_ok($cold, '>', 400, 'without a pool the first result takes several round trips');
# One round trip is to be told from two.
cmp_ok($warm[0], '<', $ENV{MERIDIAN_TEST_STRICT} ? 155 : 250 + patience(5), 'with a warm one it takes one');
$far->stop;

# ---------------------------------------------------------------- limits over all workers

my $tight = Meridian::Test::Proxy->new('tight',
	regions => [ 'us-east1' => $east ],
	set     => { auth => 'trust', workers => 4, default_pool_size => 8, max_db_connections => 3 },
	conf    => "[database *]\npool = transaction\n");
$tight->start;
my @w = map { my $w = Meridian::Test::Wire->new($tight); $w->login(database => 'postgres', user => 'postgres'); $w } 1 .. 24;
$_->send(query('SELECT pg_sleep(0.05)')) for @w;
$_->until('Z') for @w;
cmp_ok(backends($east, $ours), '<=', 3, 'max_db_connections holds over all workers');
$tight->stop;
done_testing();
