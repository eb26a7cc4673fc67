#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# A storm: many clients on few server connections of a transaction pool, each of which knows message
# by message what it must be told (Meridian::Test::Storm), while servers are killed, the network
# fails, the operator turns every knob, and clients cancel and vanish. Nobody gets what is another's,
# nobody waits for ever, whoever is lost is told why, and nothing is left over.
# timeout: 300
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Delay;
use Meridian::Test::Measure qw(:all);
use Meridian::Test::Proxy;
use Meridian::Test::Storm;
use Test::More;
use Time::HiRes qw(time usleep);

my $slow = $ENV{MERIDIAN_TEST_SLOW} || 1;
my $long = $ENV{MERIDIAN_TEST_STORM} || 1;    # so many times as long
my ($node) = regional_clusters('us-east1', { conf => "restart_after_crash = on\n" });
my $far    = Meridian::Test::Delay->new($node);
my $proxy  = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => { nodes => $far } ],
	set     => { auth => 'trust', workers => 2, default_pool_size => 8, max_prepared_statements => 10, probe_interval => '200ms',
		server_login_retry => '200ms', query_wait_timeout => '60s' },
	conf    => "[database postgres]\npool = transaction\n");
$node->safe_psql('postgres', 'CREATE UNLOGGED TABLE storm (n text)');
$proxy->start;
my $seed = $ENV{MERIDIAN_TEST_SEED} // 42;

sub backends
{
	return split /\n/, $node->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name <> '880_storm.t'");
}

sub sessions { return grep { $_->{database} ne 'meridian' } @{ $proxy->console('SHOW SESSIONS') } }

sub report
{
	my ($storm, $name) = @_;
	measured('%s: %d answers, %d connections lost (%s), %d of %d cancels hit', $name, $storm->{done}, $storm->{lost},
		join(' ', map { "$_ x $storm->{codes}{$_}" } sort keys %{ $storm->{codes} }), $storm->{hit}, $storm->{cancels});
	ok($storm->finish, "$name: nobody waits for ever") or diag explain $storm->{hung};
	my @wrong = @{ $storm->wrong };
	is(scalar @wrong, 0, "$name: everybody is told what is due") or diag join "\n", @wrong[ 0 .. ($#wrong > 9 ? 9 : $#wrong) ];
	$storm->{wrong} = [];
	return;
}

my $storm = Meridian::Test::Storm->new($proxy, clients => 60, seed => $seed, pause => 0.02);
$storm->run(5 * $long);
report($storm, 'quiet');
is($storm->{lost}, 0, 'quiet: no connection is lost') or diag explain $storm->{rudely};

my @servers = grep { $_->{state} ne '' } @{ $proxy->console('SHOW SERVERS') };
cmp_ok(scalar @servers, '<=', 8, 'as many server connections as the pool may have');
$storm->go_away;
ok(wait_until(sub { !sessions() }), 'all sessions are gone') or diag explain sessions();
$proxy->stop;
done_testing();
