#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# failover_wait: a login waits for the heir of its primary instead of failing, is told nothing meanwhile, fails when the time
# is over, and at once where waiting is of no use.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters regional_standby);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(error_fields startup);
use Test::More;

my ($home) = regional_clusters('us-east1', { streaming => 1 });
my $standby = regional_standby($home, 'us-east1-b');
my $proxy   = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => { nodes => [ $home, $standby ] } ],
	set => { auth => 'trust', workers => 1, probe_interval => '100ms', failback_delay => 0, probe_conninfo => 'user=postgres', failover_wait => NEVER },
	conf => "[database postgres]\naccess = read-write\n[database template1]\naccess = any\n");
$proxy->start;

sub becomes
{
	my ($node, $column, $value, $what) = @_;
	return ok($proxy->wait_console('SHOW NODES FULL', sub { grep { $_->{node} eq '127.0.0.1:' . $node->port && $_->{$column} eq $value } @{ $_[0] } }), $what);
}

# Begins a session, and waits until it waits.
sub begin
{
	my ($what) = @_;
	my $before = $proxy->counter('failover_waits');
	my $w = Meridian::Test::Wire->new($proxy);
	$w->send(startup(user => 'postgres', database => 'postgres'));
	ok(wait_until(sub { $proxy->counter('failover_waits') == $before + 1 }, 'it to wait'), "$what waits");
	return $w;
}

sub attaching { return scalar grep { ($_->{state} // '') eq 'attaching' } @{ $proxy->console('SHOW SESSIONS FULL') } }

# What a session is told that does not come about.
sub refused
{
	my $w = Meridian::Test::Wire->new($proxy);
	$w->send(startup(user => 'postgres', database => 'postgres'));
	my $e = $w->message or return 'nothing';
	return join ' ', $e->[0], @{ error_fields($e) }{ 'C', 'M' };
}

becomes($home, 'role', 'primary', 'the primary is known');
becomes($standby, 'role', 'standby', 'and its standby');
$home->stop('immediate');
becomes($home, 'state', 'down', 'the primary is gone');

# ---------------------------------------------------------------- who waits

my @waits = map { begin("a login ($_)") } 1 .. 3;
my $leaves = begin('one whose client will leave');
ok($_->silent, 'it is told nothing') for @waits;
is($proxy->safe_psql('template1', 'SHOW cluster_name'), 'us-east1-b', 'a session that the standby may take is not held up');
$leaves->close;
ok(wait_until(sub { attaching() == 3 }, 'the client to be missed'), 'a client that leaves is missed');

my $paused = begin('one for which a PAUSE comes');
$proxy->console('PAUSE');
$standby->promote;
becomes($standby, 'role', 'primary', 'its heir is the primary');
is(attaching(), 4, 'where all is paused they wait on');
$proxy->console('RESUME');
for my $w (@waits, $paused) {
	$w->until('Z');
	is($w->ask('SHOW cluster_name'), 'us-east1-b', 'it gets the heir');
}
$_->close for @waits, $paused;

# ---------------------------------------------------------------- who does not

$standby->stop('immediate');
becomes($standby, 'state', 'down', 'the heir is gone, too');
$proxy->console("SET failover_wait = '@{[ span(0.3) ]}'");
my $begin = Time::HiRes::time();
is(refused(), 'E 08006 no region can take this session', 'where nothing comes it fails');
cmp_ok(passed($begin), '>=', patience(0.3), '... when the time is over');
my $before = $proxy->counter('failover_waits');
$proxy->console('SET failover_wait = 0');
is(refused(), 'E 08006 no region can take this session', 'without failover_wait at once');
$proxy->console("SET failover_wait = '@{[ NEVER ]}'");
$proxy->console('DRAIN REGION us-east1');
is(refused(), 'E 08006 no region can take this session', 'what is drained is not waited for');
is($proxy->counter('failover_waits'), $before, '... none of them has waited');
$proxy->console('UNDRAIN REGION us-east1');
my $last = begin('one at the end');
$proxy->stop;
done_testing();
