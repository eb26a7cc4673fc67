#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# A storm: many clients on few server connections of a transaction pool, each of which knows message
# by message what it must be told (Meridian::Test::Storm), while servers are killed, the network
# fails, the operator turns every knob, and clients cancel and vanish. Nobody gets what is another's,
# nobody waits for ever, whoever is lost is told why, and nothing is left over.
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

my $long = $ENV{MERIDIAN_TEST_STORM} || 1;    # so many times as long
my ($node) = regional_clusters('us-east1', { conf => "restart_after_crash = on\n" });
my $far    = Meridian::Test::Delay->new($node);
my $proxy  = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => { nodes => $far } ],
	set     => { auth => 'trust', workers => 2, default_pool_size => 8, max_prepared_statements => 10, probe_interval => '200ms',
		server_login_retry => '200ms', query_wait_timeout => NEVER },
	conf    => "[database postgres]\npool = transaction\n");
$node->safe_psql('postgres', 'CREATE UNLOGGED TABLE storm (n text)');
$proxy->start;
my $seed = $ENV{MERIDIAN_TEST_SEED} // 42;

sub backends
{
	return split /\n/, $node->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name <> '880_storm.t'");
}

sub sessions { return grep { $_->{database} ne 'meridian' } @{ $proxy->console('SHOW SESSIONS FULL') } }

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

my %count;

# A storm while something is done to the system every so many seconds.
sub under
{
	my ($name, $seconds, $every, $do, %opt) = @_;
	my $storm = Meridian::Test::Storm->new($proxy, clients => 60, seed => $seed++, pause => 0.02, %opt);
	my $next = due_in($every);
	$storm->run(
		$seconds * $long * build_factor(),
		sub {
			return unless is_due($next);
			$do->($storm);
			$count{$name}++;
			$next = due_in($every);
		});
	$opt{after}->($storm) if $opt{after};
	report($storm, $name);
	cmp_ok($count{$name}, '>=', 1, "$name: $count{$name} times");
	cmp_ok($storm->{done}, '>', 100, "$name: most of it goes on");
	is($storm->{rude}, $storm->{cut} // 0, "$name: whoever is lost is told why") or diag explain $storm->{rudely};
	$storm->go_away;
	return $storm;
}

sub all_gone
{
	ok(wait_until(sub { !sessions() }), 'all sessions are gone') or diag explain sessions();
	return;
}

my $storm = Meridian::Test::Storm->new($proxy, clients => 60, seed => $seed++, pause => 0.02);
$storm->run(3 * $long * build_factor());
report($storm, 'quiet');
is($storm->{lost}, 0, 'quiet: no connection is lost') or diag explain $storm->{rudely};
$storm->go_away;

under('a backend is ended', 3, 0.3, sub { my @all = backends(); kill 'TERM', $all[ rand @all ] if @all });
my $crash = under('a backend is killed', 6, 2.5, sub { my @all = backends(); kill 'KILL', $all[ rand @all ] if @all });
under('the network is cut', 3, 0.5, sub { $far->cut });
under('bytes come one by one', 3, 1, sub { $far->split(($count{'bytes come one by one'} // 0) % 2 ? 0 : 1) });
$far->split(0);
under('clients cancel', 4, 1, sub { }, targets => 5);
under('the configuration is read', 3, 0.4, sub { $proxy->reload(set => { default_pool_size => 2 + int rand 8, max_prepared_statements => 1 + int rand 6 }) });
under('RECONNECT', 3, 0.3, sub { $proxy->console('RECONNECT') });

# PAUSE is answered when all transactions are over, for which the storm has to go on meanwhile.
my $operator = Meridian::Test::Wire->new(path => $proxy->socket_path);
$operator->login(database => 'meridian', user => (getpwuid $>)[0]);
my $paused = 'RESUME';
under(
	'PAUSE', 4, 0.2,
	sub {
		return if $paused eq 'PAUSE' && $operator->silent(0);
		$operator->until('Z') if $paused eq 'PAUSE';
		$paused = $paused eq 'PAUSE' ? 'RESUME' : 'PAUSE';
		$operator->send(query($paused));
		$operator->until('Z') if $paused eq 'RESUME';
	},
	after => sub {
		my ($storm) = @_;
		if ($paused eq 'PAUSE') {
			$storm->turn(0) while $operator->silent(0);
			$operator->until('Z');
		}
		$operator->send(query('RESUME'));
		$operator->until('Z');
	});
# A session keeps its names, whatever becomes of the option.
my $old = Meridian::Test::Wire->new($proxy);
$old->login(database => 'postgres', user => 'postgres');
$old->send(parse('SELECT 1', 'mine') . sync_message);
$old->until('Z');
$proxy->reload(set => { max_prepared_statements => 0 });
$old->send(parse('SELECT 2', 'mine') . sync_message);
is(($old->until('Z'))[0][0], 'E', 'a name is known after max_prepared_statements = 0');
$old->close;

my @servers = grep { $_->{state} ne '' } @{ $proxy->console('SHOW SERVERS') };
cmp_ok(scalar @servers, '<=', 8, 'as many server connections as the pool may have');
ok(wait_until(sub { !sessions() }), 'all sessions are gone') or diag explain sessions();
$proxy->stop;
done_testing();
