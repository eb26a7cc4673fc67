#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# What a transaction of a pool costs, counted and not timed: system calls, allocations; and what an
# idle client does. Beside PgBouncer it is measured by tests/bench/bench.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Measure qw(:all);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;

my $sessions = 500;
my $node     = regional_clusters('here');
my $counts   = PostgreSQL::Test::Utils::tempdir() . '/mallocs';
my $kind     = sanitized();
my $proxy    = Meridian::Test::Proxy->new('main',
	regions => [ here => $node ],
	env     => $kind ? {} : { allocations_env($counts) },
	set     => { auth => 'trust', workers => 1, default_pool_size => 1, probe_interval => NEVER },
	conf    => "[database postgres]\npool = transaction\n");
$proxy->start;

sub session
{
	my $w = Meridian::Test::Wire->new($proxy);
	$w->login(database => 'postgres', user => 'postgres');
	return $w;
}

sub rows
{
	my ($w, @messages) = @_;
	$w->send(@messages);
	return scalar grep { $_->[0] eq 'D' } $w->until('Z');
}

# Each in turn, on the one server connection.
sub turns
{
	my ($n, @clients) = @_;
	my $rows = 0;
	for my $i (1 .. $n) {
		$rows += rows($_, bind_message([$i], 'add'), describe('P'), execute, sync_message) for @clients;
	}
	return $rows == $n * @clients;
}

my @clients = map { session() } 1 .. 2;
rows($_, parse('SELECT $1::int + 1', 'add'), sync_message) for @clients;
ok(turns(5, @clients), 'two clients run the statement that both have prepared on one connection');
my $worker = { threads($proxy->pid) }->{'worker/1'};    # by now it has its name

SKIP: {
	skip "a sanitizer ($kind) makes system calls and allocations of its own", 4 if $kind;
	my $before = allocations($counts, $worker);
	cmp_ok($before, '>', 0, 'allocations are counted');
	turns(500, @clients);
	is(allocations($counts, $worker) - $before, 0, '1,000 transactions by prepared statements allocate nothing');
	$before = allocations($counts, $worker);
	rows($_ % 2 ? $clients[0] : $clients[1], query('SELECT 1')) for 1 .. 1000;
	is(allocations($counts, $worker) - $before, 0, 'nor do simple ones');
	skip no_strace(), 1 if no_strace();
	my $few  = system_calls($worker, sub { turns(1,   @clients) });
	my $lots = system_calls($worker, sub { turns(251, @clients) });
	my $each = ($lots->{total} - $few->{total}) / 500;
	measured('%.3f system calls for each transaction', $each);
	cmp_ok($each, '<', 6.1, 'six system calls each') or diag explain [ $few, $lots ];
}

# ---------------------------------------------------------------- idle clients

my $before = pss_kb($proxy->pid);
my @idle   = map { session() } 1 .. $sessions;
is(rows($_, query('SELECT 1')), 1, 'a client has run its query') for @idle[ 0, -1 ];
rows($_, query('SELECT 1')) for @idle[ 1 .. $sessions - 2 ];
my $each = (pss_kb($proxy->pid) - $before) / $sessions;
measured('%.2f kB for each idle client', $each);
SKIP: {
	skip 'memory under a sanitizer says nothing', 1 if $kind;
	cmp_ok($each, '<', 1.8, 'an idle client costs little memory');
}

$proxy->stop;
done_testing();
