#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# The watcher, and a database that takes what it is asked and never answers: the other databases of its
# region are looked at as before, it is said once, and once more when it answers again. A proxy that is
# told to stop does not wait for it for ever.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Migrator;
use Meridian::Test::Patience;
use Test::More;
use Time::HiRes qw(time);

use constant ANSWERED_WITHIN => 5;    # seconds that the watcher gives a database

my ($east, $west) = regional_clusters('us-east1', 'us-west1');
my @databases = qw(app mail shop);
for my $database (@databases) {
	$_->safe_psql('postgres', "CREATE DATABASE $database") for $east, $west;
}
my $m = Meridian::Test::Migrator->new(a => $east, b => $west);
$m->run([ 'create', $_, "of_$_" ]) for @databases;

my %frozen;
END { kill 'CONT', keys %frozen if %frozen }

# The connection that the watcher has there.
sub backend
{
	my ($database) = @_;
	return $east->safe_psql('postgres', "SELECT max(pid) FROM pg_stat_activity WHERE datname = '$database' AND application_name = 'meridian-console'");
}

sub freeze
{
	my ($database) = @_;
	my $pid = backend($database);
	kill 'STOP', $pid;
	$frozen{$pid} = $database;
	return $pid;
}

# Waits until that database has heard from the watcher anew; the seconds that it took.
sub heard_after
{
	my ($database, $id) = @_;
	my $since = time;
	ok($east->poll_query_until($database, "SELECT count(*) = 1 FROM meridian.proxy WHERE id = '$id' AND heartbeat > to_timestamp($since)"),
		"database $database hears from $id");
	return passed($since);
}

my $watcher = $m->start([ 'hold', int patience(600) ], id => 'one', watch => 1);
heard_after($_, 'one') for @databases;

# ---- one that answers no more ----
# Whatever the order in which they are looked at is: one of the two has one behind it.
my @victims = @databases[ 0, -1 ];
for my $database (@victims) {
	my $pid = freeze($database);
	my @others = grep { $_ ne $database } @databases;
	let_pass(1.2, 'it is asked');
	took(heard_after($_, 'one'), ANSWERED_WITHIN - 1.5, "$database is frozen: $_ does not wait for it") for @others, @others;
	ok($watcher->pump_until(qr/database $database on \S+ does not say what its migrations need: no answer within @{[ANSWERED_WITHIN]} s/), '... and it is said');
	heard_after($database, 'one');
	ok($watcher->pump_until(qr/database $database on \S+ answers again/), '... by another connection it is asked again');
	kill 'CONT', $pid;
	delete $frozen{$pid};
}
$watcher->{run}->signal('KILL');
$watcher->finish;
is(() = $watcher->{out} =~ /does not say/g, scalar @victims, 'each of that was said once');

# ---- and a proxy that stops ----
my $begun = time;
$watcher = $m->start([ 'hold', 4 ], id => 'two', watch => 1);
heard_after('app', 'two');
freeze('app');
is($watcher->finish, 0, 'a proxy stops beside a frozen database');
in_time($begun, 4 + 4 * ANSWERED_WITHIN, '... soon');
like($east->safe_psql('mail', "SELECT count(*) FROM meridian.proxy WHERE id = 'two'"), qr/^0$/, '... and takes leave of the others');

done_testing;
