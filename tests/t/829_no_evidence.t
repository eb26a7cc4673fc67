#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# What a client's own settings bring about at its login is not held against the nodes: whoever else comes is sent where he would
# have been sent before.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use Test::More;

my @nodes = regional_clusters('us-east1', 'europe-west1');
$_->safe_psql('postgres', "CREATE ROLE app LOGIN; CREATE ROLE bent LOGIN; ALTER ROLE bent SET local_preload_libraries = 'nowhere'") for @nodes;

my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $nodes[0], 'europe-west1' => $nodes[1] ],
	set     => { auth => 'trust', workers => 1, probe_interval => NEVER, probe_conninfo => '', region => 'us-east1', nearest => 'proxy',
		stale_after => NEVER, server_connect_timeout => span(4), client_login_timeout => span(16) },
	conf    => Meridian::Test::Proxy::databases_of('postgres'));
$proxy->start;

sub wire
{
	my $w = Meridian::Test::Wire->new($proxy);
	$w->{seconds} = 60;
	return $w;
}

# What the client hears in the end.
sub refused
{
	my ($w) = @_;
	my ($e) = map { error_fields($_) } grep { $_->[0] eq 'E' } $w->until('E');
	return "$e->{C} $e->{M} " . ($e->{D} // '');
}

sub nobody_notices
{
	my ($what) = @_;
	is_deeply([ map { "$_->{node} $_->{state}" } @{ $proxy->console('SHOW NODES FULL') } ], [ map { '127.0.0.1:' . $_->port . ' up' } @nodes ], "$what: all nodes are up");
	is($proxy->counter('attempt_failures'), 0, '... and nothing is held against them');
	for my $database (qw(own ses tx)) {
		my $w = wire();
		$w->login(user => 'app', database => $database);
		is($w->ask('SHOW cluster_name'), 'us-east1', "... $database: another session is served where it is nearest");
	}
	return;
}
nobody_notices('to begin with');

for my $database (qw(own ses tx)) {
	for my $name (qw(local_preload_libraries session_preload_libraries)) {
		my $w = wire();
		$w->send(startup(user => 'postgres', database => $database, options => "-c $name=nowhere"));
		like(refused($w), qr/could not access file ".*nowhere".*58P01/, "$database: a library of $name that is not there");
	}
	my $w = wire();
	$w->send(startup(user => 'bent', database => $database));
	$w->send(query('SELECT 1'));
	like(refused($w), qr/could not access file ".*nowhere".*58P01/, "$database: one that the role's settings name");
}
nobody_notices('libraries');

my @slow;
for my $database (qw(own ses tx)) {
	for my $options ('-c post_auth_delay=30', '-W 30', '-c post\-auth-delay=30', '-EW30') {
		my $w = wire();
		$w->send(startup(user => 'app', database => $database, options => $options));
		push @slow, [ "$database: $options", $w ];
	}
}
my $w = wire();
$w->send(startup(user => 'app', database => 'own', Post_Auth_Delay => 30));
push @slow, [ 'a parameter', $w ];
like(refused($_->[1]), qr/timeout expired|login took too long/, "$_->[0]: a server that was told to take its time") for @slow;
nobody_notices('delays');

$proxy->stop;
done_testing();
