#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# No descriptor is left for a pool's connection: sessions that nobody else can serve are told so at
# once, and no node is blamed. Clients that find none are 146.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Measure qw(:all);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use Test::More;

my @nodes = regional_clusters('us-east1', 'us-west1');
my $limit = 120;
my $proxy = Meridian::Test::Proxy->new('main', regions => [ 'us-east1' => $nodes[0], 'us-west1' => $nodes[1] ],
	wrapper => [ 'sh', '-c', "ulimit -n $limit; exec \"\$@\"", 'sh' ],
	set => { auth => 'trust', workers => 1, default_pool_size => 2, probe_interval => NEVER, region => 'us-east1', query_wait_timeout => NEVER,
		server_login_retry => NEVER, client_login_timeout => NEVER },
	conf => "[database postgres]\npool = transaction\n[database template1]\npool = session\n");
$proxy->start;

sub wire { my $w = Meridian::Test::Wire->new($proxy); $w->{seconds} = 60; return $w }

# The session, or undef and what it was told.
sub session
{
	my (%param) = @_;
	my $w = wire();
	my @all = $w->login(user => 'postgres', database => 'postgres', %param);
	return ($w) if @all && $all[-1][0] eq 'Z';
	return (undef, @all ? error_fields($all[-1]) : undef);
}

sub told
{
	my ($w, @said) = @_;
	$w->send(@said) if @said;
	my $m = $w->message;
	return $m && $m->[0] eq 'E' ? error_fields($m) : { C => $m ? $m->[0] : 'closed' };
}

sub fill
{
	my @in;
	while (1) {
		my ($w) = session();
		last unless $w;
		push @in, $w;
	}
	return @in;
}

for my $database (qw(postgres template1)) {
	my ($known) = session(database => $database);
	is($known->ask('SELECT 1'), 1, "$database: a pool is known");
	my @idle = map { (session(database => $database))[0] } 1 .. 3;
	if ($database eq 'template1') {
		$known->send(terminate());
		ok($known->closed, "$database: its session leaves");
		# until it is reset, RECONNECT leaves it open: its descriptor would be free too late
		ok(wait_until(sub { !grep { $_->{state} ne 'idle' } @{ $proxy->console('SHOW SERVERS') } }), "$database: its connection is idle");
	}
	my @crowd = fill();
	cmp_ok(scalar @crowd, '>', 20, "$database: clients have all descriptors (" . @crowd . ')');
	$proxy->console('RECONNECT');
	push @crowd, fill();
	my $before = $proxy->counter('clients_without_descriptors');
	my $e = told($idle[0], query('SELECT 2'));
	is($e->{C}, '53300', "$database: a session that needs a connection is told at once");
	like($e->{D} // '', qr/no descriptors left/, "$database: and why");
	ok($idle[0]->closed, "$database: it is closed");
	is($proxy->counter('clients_without_descriptors'), $before + 1, "$database: it is counted");
	is_deeply([ map { $_->{state} } @{ $proxy->console('SHOW NODES FULL') } ], [ 'up', 'up' ], "$database: no node is blamed");
	$_->close for splice @crowd, 0, 6;
	ok(wait_until(sub { my ($open) = grep { $_->{item} eq 'open' } @{ $proxy->console('SHOW DESCRIPTORS') }; $open->{descriptors} < $limit - 3 }), "$database: some leave");
	is($idle[1]->ask('SELECT 3'), 3, "$database: the next is served, although server_login_retry is ten minutes");
	if ($database eq 'postgres') {
		# others are at work: their connection comes back
		is($idle[1]->ask('BEGIN'), '', "$database: one holds the only connection");
		push @crowd, fill();
		$idle[2]->send(query('SELECT 4'));
		ok($idle[2]->silent, "$database: another waits for it");
		is($idle[1]->ask('COMMIT'), '', "$database: it is given back");
		is($idle[2]->answer, 4, "$database: and serves the other");
	} else {
		push @crowd, fill();
		$e = told($idle[2], query('SELECT 4'));
		is($e->{C}, '53300', "$database: who has a connection keeps it: the next is told");
		is($idle[1]->ask('SELECT 5'), 5, "$database: and who has it does not notice");
	}
	$_->close for @crowd;
	undef @crowd;
	undef @idle;
	ok(wait_until(sub { descriptors($proxy->pid) < $limit - 30 }), "$database: all have left");
}

$proxy->stop;
done_testing();
