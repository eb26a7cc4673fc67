#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# The storm of 880 for longer, on two regions and in both kinds of pool, with everything that can
# happen at random: backends and whole servers are killed, the network hangs, cuts and dribbles, the
# operator reloads, pauses, reconnects, drains and kills, the proxy is restarted. MERIDIAN_TEST_SEED
# and MERIDIAN_TEST_SECONDS say which storm, and how long.
# timeout: 1200
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Delay;
use Meridian::Test::Measure qw(:all);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Storm;
use Meridian::Test::Wire qw(:build);
use Test::More;

my $slow    = build_factor();
my $seed    = $ENV{MERIDIAN_TEST_SEED} // 1;
my $seconds = $ENV{MERIDIAN_TEST_SECONDS} // 120;
my @nodes   = regional_clusters(map { $_ => { conf => "restart_after_crash = on\n" } } qw(us-east1 europe-west1));
my @far     = map { Meridian::Test::Delay->new($_) } @nodes;
my $proxy   = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => { nodes => $far[0], cities => 'new york' }, 'europe-west1' => { nodes => $far[1], cities => 'paris' } ],
	set => { auth => 'trust', workers => 3, default_pool_size => 9, max_prepared_statements => 10, probe_interval => '200ms',
		server_login_retry => '200ms', query_wait_timeout => NEVER, server_lifetime => span(5), reserve_pool_size => 3, max_db_connections => 20,
		min_pool_size => 3, failback_delay => 0, region => 'us-east1', server_check_delay => 0, stale_after => span(2) },
	conf => "[database postgres]\npool = transaction\n[database template1]\npool = session\n");
for my $node (@nodes) {
	$node->safe_psql($_, 'CREATE UNLOGGED TABLE storm (n text)') for qw(postgres template1);
}
$proxy->start;
my $fresh = descriptors($proxy->pid);

sub backends
{
	my ($node) = @_;
	my $out = '';
	$node->psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name <> '980_storm.t'",
		stdout => \$out, stderr => \my $err);
	return split /\n/, $out;
}

# A console that is not waited for.
my ($operator, @orders, $busy);

sub order { push @orders, @_; return }

sub give_orders
{
	return if !$proxy->pid;
	if (!$operator) {
		$operator = eval { Meridian::Test::Wire->new(path => $proxy->socket_path) } or return;
		$operator->login(database => 'meridian', user => (getpwuid $>)[0]);
	}
	if ($busy) {
		return if $operator->silent(0);
		my @said = $operator->until('Z');
		$busy = 0;
		$operator = undef if !@said || $said[-1][0] ne 'Z';
	} elsif (@orders) {
		$operator->send(query(shift @orders));
		$busy = 1;
	}
	return;
}

my @repairs;    # [ when, what ]
sub later { my ($in, $what) = @_; push @repairs, [ due_in($in), $what ]; return }

my ($down, $restarting, %hung) = (0, 0);

# Its backends may be there a little longer than the server.
sub come_back
{
	my ($node) = @_;
	return $down = 0 if $node->start(fail_ok => 1);
	$node->kill9;    # for the module, which takes what it has found for a server
	return later(0.3, sub { come_back($node) });
}

my %trouble = (
	'a backend is ended'   => sub { my @all = backends($_[0]); kill 'TERM', $all[ rand @all ] if @all },
	'a backend is killed'  => sub { my @all = backends($_[0]); kill 'KILL', $all[ rand @all ] if @all },
	'a server is killed'   => sub {
		my ($node) = @_;
		return if $down++;
		$node->kill9;
		later(0.5 + rand 2, sub { come_back($node) });
	},
	'the network is cut'   => sub { $_[1]->cut },
	'the network hangs'    => sub {
		my ($node, $far) = @_;
		return if $hung{$far}++;
		$far->hang;
		later(0.2 + rand 1, sub { $far->pass; delete $hung{$far} });
	},
	'connections are refused' => sub {
		my ($node, $far) = @_;
		return if $hung{$far}++;
		$far->refuse;
		later(0.2 + rand 1, sub { $far->pass; delete $hung{$far} });
	},
	'bytes come one by one' => sub { my $far = $_[1]; $far->split(1 + int rand 3); later(rand 2, sub { $far->split(0) }) },
	'a reload' => sub {
		$proxy->write_conf(set => { default_pool_size => 4 + int rand 9, max_prepared_statements => 1 + int rand 12, max_db_connections => 10 + int rand 20 });
		kill 'HUP', $proxy->pid if $proxy->pid;
	},
	'RECONNECT' => sub { order('RECONNECT') },
	'PAUSE'     => sub { order('PAUSE', 'RESUME') },
	'PAUSE REGION' => sub { order('PAUSE REGION "us-east1"', 'RESUME REGION "us-east1"') },
	'DRAIN'     => sub { order('DRAIN REGION "us-east1"'); later(0.5, sub { order('UNDRAIN REGION "us-east1"') }) },
	'KILL'      => sub {
		return if !$proxy->pid || $busy;
		my @all = eval { @{ $proxy->console('SHOW SESSIONS FULL') } } or return;
		order("KILL SESSION $all[ rand @all ]{id}");
	},
	'a restart' => sub {
		return if $restarting || !$proxy->pid;
		$restarting = $_[2]{leaving} = 1;
		kill 'TERM', $proxy->pid;
	});
my $storm;
my @kinds = sort keys %trouble;
my %count;

sub chaos
{
	give_orders();
	if ($restarting && !$proxy->is_running) {
		$restarting = $storm->{leaving} = 0;
		is($proxy->exit_status, 0, 'it ended in peace');
		$operator = $busy = undef;
		@orders = ();
		$proxy->start;
	}
	my @due = grep { is_due($_->[0]) } @repairs;
	@repairs = grep { !is_due($_->[0]) } @repairs;
	$_->[1]->() for @due;
	return;
}

$storm = Meridian::Test::Storm->new($proxy, clients => 80, seed => $seed, pause => 0.02, targets => 7,
	databases => [ ('postgres') x 9, 'template1' ]);
my $next = due_in(2);
$storm->run(
	$seconds * $slow,
	sub {
		chaos();
		return unless is_due($next);
		my $kind = $kinds[ rand @kinds ];
		my $i    = int rand 2;
		$count{$kind}++;
		$trouble{$kind}->($nodes[$i], $far[$i], $storm);
		$next = due_in(0.3 + rand 0.7);
	});
measured('%s: %d', $_, $count{$_}) for sort keys %count;
my $d = deadline(30, 'all to be mended');
while ((@repairs || @orders || $busy || $restarting) && !$d->over) {
	chaos();
	$storm->turn(1);
}
$storm->run(2, \&chaos);
measured('%d answers, %d connections lost, %d of %d cancels hit', $storm->{done}, $storm->{lost}, $storm->{hit}, $storm->{cancels});
measured('%s: %d', $_, $storm->{said}{$_}) for sort keys %{ $storm->{said} };
ok($storm->finish(60), 'nobody waits for ever') or diag explain $storm->{hung};
my @wrong = @{ $storm->wrong };
is(scalar @wrong, 0, 'everybody is told what is due') or diag join "\n", @wrong[ 0 .. ($#wrong > 30 ? 30 : $#wrong) ];
is($storm->{rude}, $storm->{cut} // 0, 'whoever is lost is told why') or diag explain $storm->{rudely};
measured('%s: %d', $_, $storm->{shape_done}{$_} // 0) for sort keys %{ $storm->{shapes} };

# What is left when all have gone.
$storm->go_away;
ok(wait_until(sub { !grep { $_->{database} ne 'meridian' } @{ $proxy->console('SHOW SESSIONS FULL') } }), 'all sessions are gone')
  or diag explain $proxy->console('SHOW SESSIONS FULL');
my $servers;
ok(wait_until(sub { $servers = $proxy->console('SHOW SERVERS'); !grep { $_->{state} ne 'idle' } @$servers }), 'all server connections are idle')
  or diag explain $servers;
my $pools = $proxy->console('SHOW POOLS FULL');
diag explain $pools if !ok(!(grep { $_->{cl_waiting} || $_->{cl_active} } @$pools), 'nobody is in a pool');
cmp_ok(descriptors($proxy->pid), '<=', $fresh + @$servers + 12, 'descriptors');
$proxy->stop;
done_testing();
