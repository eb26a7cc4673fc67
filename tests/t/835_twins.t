#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Three clients say what comes to their minds, each on a session of ours and on a connection of its own, and must read the same
# on both: settings, roles, transactions, temporary tables, locks, cursors, notifications, prepared statements, COPY, pipelines
# and mistakes (Meridian::Test::Twins). In a transaction pool they share server connections; with a session pool, and without
# one, their sessions are moved between regions by REHOME. TWINS=seed or TWINS=from-to plays others than the usual ones.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Delay;
use Meridian::Test::Proxy;
use Meridian::Test::Twins;
use Meridian::Test::Wire qw(:build);
use Test::More;

my ($from, $to) = ($ENV{TWINS} // '1-4') =~ /^(\d+)(?:-(\d+))?$/ or die 'TWINS: a seed, or two with a hyphen between';
my $steps = 400;

my ($node) = regional_clusters('us-east1', { conf => "max_connections = 60\n" });
my $west = Meridian::Test::Delay->new($node); # the same server, as another region has it
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $node, 'us-west1' => { nodes => $west } ],
	set     => { auth => 'trust', workers => 1, default_pool_size => 3, region => 'us-east1' },
	conf    => "[database transaction]\npool = transaction\n[database session]\npool = session\n[database off]\npool = off\n");
$proxy->start;

$node->safe_psql('postgres', 'CREATE ROLE reader; CREATE ROLE app LOGIN IN ROLE reader; ALTER ROLE app SET work_mem = \'5MB\'');
$node->safe_psql('postgres', "CREATE ROLE app$_ LOGIN IN ROLE app, reader; ALTER ROLE app$_ SET work_mem = '5MB'") for 1 .. 3;
my $settings = join ', ', map { "coalesce(current_setting('$_', true), '') AS \"$_\"" } Meridian::Test::Twins::settings();
for my $database (qw(own transaction session off)) {
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, <<"SQL");
CREATE VIEW settings AS SELECT $settings, current_user, session_user, current_schemas(false);
CREATE SCHEMA one;
CREATE TABLE public.t (who int, a int);
CREATE TABLE one.t (who int, a int);
CREATE VIEW public.v AS SELECT 'public' AS v;
GRANT SELECT ON settings TO public;
GRANT ALL ON SCHEMA public, one TO app, reader;
GRANT ALL ON public.t, one.t, public.v TO app;
GRANT SELECT ON public.t, one.t TO reader;
SQL
}

my $console = Meridian::Test::Wire->new(path => $proxy->socket_dir . '/.s.PGSQL.' . $proxy->port);
$console->login(database => 'meridian', user => scalar getpwuid $<);

# Sent to the other region, if it can leave. What has come of it, for the log of what was said.
my %moved;
sub move
{
	my ($way, $number) = @_;
	$console->send(query('SHOW SESSIONS'));
	my @messages = $console->until('Z');
	my @names = map { s/\0.*//sr } unpack '(Z*x18)*', substr $messages[0][1], 2;
	my ($session) = grep { $_->{user} eq "app$number" } map { my %row; @row{@names} = row_values($_)->@*; \%row } grep { $_->[0] eq 'D' } @messages;
	my $region = $session->{home} eq 'us-west1' ? 'us-east1' : 'us-west1';
	$console->send(query("REHOME SESSION $session->{id} TO REGION $region"));
	my ($error) = map { error_fields($_)->{M} } grep { $_->[0] eq 'E' } $console->until('Z');
	$moved{$way}++ unless $error;
	return $error // "moved to $region";
}

sub wire
{
	my ($database, $user, %param) = @_;
	my $wire = Meridian::Test::Wire->new($database eq 'own' ? (path => $node->host . '/.s.PGSQL.' . $node->port) : $proxy);
	$wire->login(database => $database, user => $user, %param);
	return $wire;
}

for my $way (qw(transaction session off)) {
	my $pools = $way eq 'transaction';
	my $user = sub { $pools ? 'app' : "app$_[0]" };
	for my $seed ($from .. $to // $from) {
		$node->safe_psql($_, 'TRUNCATE public.t, one.t') for 'own', $way;
		my $twins = Meridian::Test::Twins->new(
			seed    => $seed,
			clients => 3,
			own     => sub { my $n = shift; wire('own', $user->($n), @_) },
			shared  => sub { my $n = shift; wire($way, $user->($n), @_) },
			$pools ? () : (between => sub { move($way, @_) }));
		is($twins->play($steps), undef, "$way, seed $seed: the same for $steps steps");
	}
}
cmp_ok($moved{$_} // 0, '>', 10, "sessions were moved ($_)") for qw(session off);

done_testing();
