#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# A thousand SCRAM logins a second, right and wrong ones, beside a session that is there already:
# its queries take as long as when nobody logs in.
use strict;
use warnings;
use List::Util qw(min);
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Measure qw(cpu_ticks);
use Meridian::Test::Proxy;
use PostgreSQL::Test::Utils ();
use Test::More;

my ($node) = regional_clusters('node', { users => { alice => 'wonder', paul => 'plain' } });
my $secret = $node->safe_psql('postgres', "SELECT rolpassword FROM pg_authid WHERE rolname = 'alice'");
my $users  = PostgreSQL::Test::Utils::tempdir() . '/users.txt';
PostgreSQL::Test::Utils::append_to_file($users, qq{"alice" "$secret"\n"paul" "plain"\n});
my $proxy = Meridian::Test::Proxy->new('main', regions => [ 'us-east1' => $node ],
	set => { auth => 'scram-sha-256', auth_file => $users, workers => 1, log_connections => 'off', auth_throttle_base => 0, default_pool_size => 5 },
	conf => "[database pooled]\ndbname = postgres\npool = transaction\n");
$proxy->start;

sub storm
{
	my (@args) = @_;
	my ($out, $err);
	my $port   = $proxy->port;
	my @before = cpu_ticks($proxy->pid);
	PostgreSQL::Test::Utils::run_log([ ($ENV{MERIDIAN_BUILDDIR} || '.') . '/tests/tools/storm',
			@args[ 0, 1 ], $port, @args[ 2 .. $#args ] ], '>', \$out, '2>', \$err)
	  or die "storm: $err";
	my %said = split ' ', $out;
	$said{cpu} = (cpu_ticks($proxy->pid) - $before[0]) / 100;
	note "storm @args[0 .. 3]: $out";
	note sprintf 'CPU of the proxy: %.0f us for each login and its share of queries', 1e6 * $said{cpu} / $said{logins}
	  if $said{logins};
	return \%said;
}

# The quietest of some rounds: what else this machine does is not the question.
my ($idle, $loud) = (9e9, 9e9);
for my $round (1 .. 3) {
	$idle = min($idle, storm(0, 3, 'alice', 'wonder', 'pooled')->{query_p99_us});
	my $storm = storm(1000, 3, 'alice', 'wonder', 'pooled');
	$loud = min($loud, $storm->{query_p99_us});
	is($storm->{refused}, 0, 'a storm of logins: all are let in');
	cmp_ok($storm->{logins}, '>=', 2000, 'and as many came as were meant to');
}
cmp_ok($loud, '<', 3 * $idle + 5000, "queries beside it: p99 of $loud us, and $idle us without it");

$loud = 9e9;
for my $round (1 .. 2) {
	my $storm = storm(1000, 3, 'alice', 'wrong', 'pooled', 'wonder');
	$loud = min($loud, $storm->{query_p99_us});
	is($storm->{refused}, $storm->{logins}, 'a storm of wrong passwords: nobody is let in');
}
cmp_ok($loud, '<', 3 * $idle + 5000, "queries beside it: p99 of $loud us");

# A plain-text secret is hashed for the node once, not at each login.
my $storm = storm(1000, 3, 'paul', 'plain', 'pooled');
is($storm->{refused}, 0, 'the same with a secret in plain text');
cmp_ok($storm->{query_p99_us}, '<', 3 * $idle + 20000, "queries beside it: p99 of $storm->{query_p99_us} us");

$proxy->stop;
done_testing();
