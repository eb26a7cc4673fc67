#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# A primary that was left behind by a fail-over, and goes on as if it were one: no session that wants to
# write lands there, SHOW NODES and the log say why, and all is well when it comes back as a standby.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters regional_standby);
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Cluster ();
use Test::More;

my ($east) = regional_clusters('us-east1', { streaming => 1 });
my $west = regional_standby($east, 'us-west1');
my $proxy = Meridian::Test::Proxy->new('main', regions => [ 'us-east1' => $east, 'us-west1' => $west ],
	set => { region => 'us-east1', probe_interval => '100ms' });
$proxy->start;

sub nodes
{
	my ($what, $good) = @_;
	my %node;
	my $rows = $proxy->wait_console('SHOW NODES FULL', sub { %node = map { $_->{region} => $_ } @{ $_[0] }; $good->(@node{qw(us-east1 us-west1)}) });
	ok($rows, $what);
	return @node{qw(us-east1 us-west1)};
}

my $where = "SELECT current_setting('cluster_name')";
sub lands { my (%how) = @_; my $w = Meridian::Test::Wire->session($proxy, %how); return $w->ask($where) }

nodes('a primary and its standby', sub { $_[0]{role} eq 'primary' && $_[1]{role} eq 'standby' });
is(lands(), 'us-east1', 'who writes goes to the primary');

# ---------------------------------------------------------------- two of them

my $before = length $proxy->log_text;
$west->promote;
my ($e, $w) = nodes('the standby becomes one, too', sub { $_[1]{role} eq 'primary' && $_[0]{reason} ne '' });
is($e->{reason}, 'left behind by a fail-over to timeline 2', 'of the other one is said what it is');
is_deeply([ $e->{state}, $e->{role}, $w->{reason} ], [ 'up', 'primary', '' ], '... which is up, and takes writes from whoever goes there');
is(lands(), 'us-west1', '... but nobody does who comes by us');
my ($route) = grep { $_->{region} eq 'us-east1' } @{ $proxy->console("EXPLAIN ROUTE FOR ADDRESS '127.0.0.1' DATABASE postgres") };
is("$route->{verdict}: $route->{reason}", 'rejected: no node with the wanted access', '... as EXPLAIN ROUTE has it');
is(lands(options => '-c meridian.access=any'), 'us-east1', '... while it is as near as before to who does not care');
my $said = qr/this node takes writes on timeline 1, but (\S+) of the same cluster does on timeline 2: no writes are sent here/;
$proxy->log_like($said, 'the log says it', $before);
my ($other) = $proxy->log_text($before) =~ $said;
is($other, '127.0.0.1:' . $west->port, '... and names the other one');
$proxy->console('PROBE') for 1 .. 5;
is(() = $proxy->log_text($before) =~ /$said/g, 1, 'once, and not with each probe');

# ---------------------------------------------------------------- and none of two

$east->stop;
$east->append_conf('postgresql.conf', "recovery_target_timeline = 'current'\n");
PostgreSQL::Test::Utils::append_to_file($east->data_dir . '/standby.signal', '');
$east->start;
($e) = nodes('it comes back as a standby', sub { $_[0]{role} eq 'standby' && $_[0]{state} eq 'up' });
is($e->{reason}, '', '... and nothing is said against it any more');
is(lands(), 'us-west1', 'writes go where they went');
$proxy->stop;
done_testing();
