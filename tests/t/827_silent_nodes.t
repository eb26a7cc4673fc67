#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Nodes that take a connection and leave a login without an answer: it hears which they were, in a pool as without one, and what it waited for
# where its own time is over first. A pool whose connections are all under way for long keeps nobody from other nodes.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Fake;
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use Test::More;

# Well as far as a probe can see; logins are not answered.
my @silent = map { Meridian::Test::Fake->new(on => { '' => sub { '' } }) } 1 .. 3;
my @names  = qw(us-east1 us-west1 europe-west1);
my ($east) = regional_clusters('us-east1');
$east->safe_psql('postgres', 'CREATE ROLE one LOGIN CONNECTION LIMIT 1');

sub proxy
{
	my ($name, $nodes, %set) = @_;
	my $proxy = Meridian::Test::Proxy->new($name,
		regions => [ map { ($names[$_] => $nodes->[$_]) } 0 .. $#$nodes ],
		set     => { auth => 'trust', workers => 1, region => 'us-east1', nearest => 'proxy', probe_interval => NEVER, probe_conninfo => '', stale_after => NEVER,
			probe_fall => 100, hedge_delay => NEVER, server_login_retry => '50ms', %set },
		conf => Meridian::Test::Proxy::databases_of('postgres'));
	$proxy->start;
	return $proxy;
}

sub login
{
	my ($proxy, %param) = @_;
	my $w = Meridian::Test::Wire->new($proxy);
	$w->{seconds} = 60;
	$w->send(startup(user => 'postgres', %param));
	return $w;
}

# What the client hears in the end.
sub refused
{
	my ($w) = @_;
	my ($e) = map { error_fields($_) } grep { $_->[0] eq 'E' } $w->until('EZ');
	return $e ? "$e->{C} $e->{M}: " . ($e->{D} // '') : 'served';
}

# Behind the first their order is that of measured times.
sub sorted { my ($head, $list) = $_[0] =~ /^(.*: Tried )(.*)\.$/; return $head ? $head . join('; ', sort split /; /, $list) : $_[0] }

my $listed = join '; ', sort map { "$names[$_] 127.0.0.1:" . $silent[$_]->port . ': timeout expired' } 0 .. $#silent;

for my $mode (qw(own ses tx)) {
	my $proxy = proxy($mode, \@silent, server_connect_timeout => '300ms', client_login_timeout => NEVER);    # time: each attempt ends
	is(sorted(refused(login($proxy, database => $mode))), "08006 no region can take this session: Tried $listed", "$mode: each of three silent nodes is tried once, and named");
	$proxy->stop;

	$proxy = proxy("$mode-late", \@silent, server_connect_timeout => NEVER, client_login_timeout => '2s');    # time: the login ends
	is(refused(login($proxy, database => $mode)), '08P01 login took too long: Region us-east1, node 127.0.0.1:' . $silent[0]->port . ': no answer yet.',
		"$mode: who is waited for in the end");
	$proxy->stop;
}

for my $mode (qw(ses tx)) {
	my $proxy = proxy("$mode-one", [$east], client_login_timeout => span(4), default_pool_size => 2);
	my $has = login($proxy, database => $mode, user => 'one');
	$has->until('Z');
	is($has->ask('BEGIN; SELECT 1'), 1, "$mode: a session has all that there may be");
	my $why = 'Region us-east1, node 127.0.0.1:' . $east->port . ': too many connections for role "one" (53300).';
	is(refused(login($proxy, database => $mode, user => 'one', TimeZone => 'Asia/Tokyo')), "08P01 login took too long: $why", "$mode: another waits for it, and why");
	$proxy->reload(set => { query_wait_timeout => span(4) });
	my $late = login($proxy, database => $mode, user => 'one');
	$late->until('Z');
	$late->send(query('SELECT 2'));
	is(refused($late), "53300 no server connection became free within query_wait_timeout: $why", "$mode: so does one with a query");
	$has->close;
	$proxy->stop;

	# Each has begun a connection of its own when the first of these fails.
	$proxy = proxy("$mode-two", [ $silent[0], $east ], server_connect_timeout => span(4), client_login_timeout => NEVER);
	my @all;
	for (1 .. 3) {
		push @all, login($proxy, database => $mode);
		let_pass(0.15, 'it begins a connection');
	}
	is(refused($_), 'served', "$mode: when the first connection has failed, all are sent to the other node") for @all;
	is($_->ask('SHOW cluster_name'), 'us-east1', "$mode: and have it") for @all;
	$proxy->stop;
}
done_testing();
