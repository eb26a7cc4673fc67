#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Many more pools than max_db_connections or max_user_connections have room for: each user has one of
# his own, and so have each `options`. Whoever gives up a connection makes room for the next who
# waits, at once: what the pools do by the clock comes too late here.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use Test::More;

my $pools = 60;
my $room  = 3;
my $node  = regional_clusters('here');
$node->safe_psql('postgres', join ';', map { "CREATE ROLE app$_ LOGIN" } 1 .. $pools);

my %kinds = (
	max_db_connections => {
		session => sub { my ($proxy, $i) = @_; Meridian::Test::Wire->session($proxy, user => "app$i") },
		ask     => 'SELECT current_user',
		answer  => sub { "app$_[0]" },
	},
	max_user_connections => {
		session => sub { my ($proxy, $i) = @_; Meridian::Test::Wire->session($proxy, user => 'app1', options => "-c my.n=$i") },
		ask     => 'SHOW my.n',
		answer  => sub { $_[0] },
	});

sub proxy
{
	my ($name, %set) = @_;
	my $proxy = Meridian::Test::Proxy->new($name,
		regions => [ here => $node ],
		set     => { auth => 'trust', probe_interval => NEVER, default_pool_size => 2, query_wait_notify => 0, query_wait_timeout => NEVER,
			server_login_retry => NEVER, server_idle_timeout => NEVER, %set },
		conf => "[database postgres]\npool = transaction\n");
	$proxy->start;
	return $proxy;
}

# Each says a query before any has heard an answer; how many heard theirs within so many seconds.
sub round
{
	my ($seconds, $kind, @sessions) = @_;
	my ($d, $served) = (deadline($seconds, 'the answers of all'), 0);
	$_->send(query($kind->{ask})) for @sessions;
	for my $i (1 .. @sessions) {
		last if $d->over;
		$served += eval { $sessions[ $i - 1 ]->answer eq $kind->{answer}->($i) } ? 1 : 0;
	}
	return $served;
}

for my $limit (sort keys %kinds) {
	for my $workers (1, 2) {
		my $proxy = proxy("${limit}_$workers", workers => $workers, $limit => $room);
		my @sessions = map { $kinds{$limit}{session}->($proxy, $_) } 1 .. $pools;
		is(round(20, $kinds{$limit}, @sessions), $pools, "$pools pools of $workers workers share the $room of $limit") for 1 .. 3;
		# a server's process outlives its connection for a moment
		ok($node->poll_query_until('postgres', "SELECT count(*) <= $room FROM pg_stat_activity WHERE usename ~ '^app'"), 'and there are no more');
		my @waiting = grep { $_->{cl_waiting} } @{ $proxy->console('SHOW POOLS FULL') };
		is(scalar @waiting, 0, 'nobody waits any more') or diag explain \@waiting;
		$proxy->stop;
	}
}
done_testing();
