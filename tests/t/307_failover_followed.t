#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# A fail-over is followed by what is seen of it, not by waiting for the next probe, which comes in an hour here: the primary's
# connections break, or what a session was told makes its role doubtful; the others of its cluster are probed until one of
# them is the primary.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters regional_standby);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(error_fields query);
use Test::More;

my ($home) = regional_clusters('us-east1', { streaming => 1 });
my $standby = regional_standby($home, 'us-east1-b');
my $proxy   = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => { nodes => [ $home, $standby ] } ],
	set => { auth => 'trust', workers => 1, probe_interval => NEVER, stale_after => 0, failback_delay => 0, probe_conninfo => 'user=postgres' },
	conf => '');
$proxy->start;

sub role_of { my ($node) = @_; return (grep { $_->{node} eq '127.0.0.1:' . $node->port } @{ $proxy->console('SHOW NODES FULL') })[0] }

sub becomes
{
	my ($node, $column, $value, $what) = @_;
	ok($proxy->wait_console('SHOW NODES FULL', sub { grep { $_->{node} eq '127.0.0.1:' . $node->port && $_->{$column} eq $value } @{ $_[0] } }), $what);
	return;
}

becomes($home, 'role', 'primary', 'the primary is known');
becomes($standby, 'role', 'standby', 'so is its standby');

# ---------------------------------------------------------------- what a session was told

$home->safe_psql('postgres', 'CREATE TABLE t (n int)');
$home->append_conf('postgresql.conf', "default_transaction_read_only = on\n");
$home->reload;
ok(wait_until(sub { $home->safe_psql('postgres', 'SHOW default_transaction_read_only') eq 'on' }, 'the setting'), 'the primary takes no writes');
my $w = Meridian::Test::Wire->session($proxy);
is(role_of($home)->{read_only}, 'f', 'which no probe has seen');
ok(wait_until(sub {
	$w->send(query('INSERT INTO t VALUES (1)'));
	my ($e) = grep { $_->[0] eq 'E' } $w->until('Z');
	return $e && error_fields($e)->{C} eq '25006';
}, 'a write to be refused'), 'a session hears of it');
becomes($home, 'read_only', 't', 'then a probe does');
$w->close;
$home->append_conf('postgresql.conf', "default_transaction_read_only = off\n");
$home->reload;
$home->safe_psql('postgres', 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = $$client backend$$');
becomes($home, 'read_only', 'f', 'a broken connection has it probed again');

# ---------------------------------------------------------------- a primary dies

my $writer = Meridian::Test::Wire->session($proxy);
is($writer->ask(q{SELECT current_setting('cluster_name')}), 'us-east1', 'a session at the primary');
$home->stop('immediate');
becomes($home, 'state', 'down', 'the primary is missed at once');
$standby->promote;
becomes($standby, 'role', 'primary', 'and its heir found');
is($proxy->safe_psql('postgres', q{SELECT current_setting('cluster_name')}), 'us-east1-b', 'where writes go');
$proxy->stop;

done_testing();
