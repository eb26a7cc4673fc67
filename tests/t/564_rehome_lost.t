#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# REHOME SESSION while servers and clients are lost, at each of its steps: at the login of the new server, when
# the old one is asked what the session has left there, when the new one is told. A session that has lost the
# new server goes on with the old one, and has lost nothing; who waits for the console's answer gets one.
# And a notification that comes with the old one's answer, in one read.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Delay;
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;

my ($east, $west) = regional_clusters('us-east1', 'us-west1');
for my $c ($east, $west) {
	$c->safe_psql('postgres', "CREATE ROLE app LOGIN PASSWORD 'secret'; CREATE TABLE place AS SELECT '" . $c->name . "' AS name; GRANT ALL ON place TO app");
	my $hba = $c->data_dir . '/pg_hba.conf';
	my $lines = PostgreSQL::Test::Utils::slurp_file($hba);
	unlink $hba;
	PostgreSQL::Test::Utils::append_to_file($hba, "host all app all scram-sha-256\n$lines");
	$c->reload;
}
my ($near, $far) = map { Meridian::Test::Delay->new($_) } $east, $west;
my $users = PostgreSQL::Test::Utils::tempdir() . '/users.txt';
PostgreSQL::Test::Utils::append_to_file($users, "\"app\" \"secret\"\n");
# nothing but sessions has a connection: the proxy sees the nodes by their bare handshakes, once
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => { nodes => $near }, 'us-west1' => { nodes => $far } ],
	set     => { auth => 'scram-sha-256', auth_file => $users, workers => 1, region => 'us-east1', probe_conninfo => undef, probe_interval => NEVER,
		stale_after => NEVER, server_login_retry => '100ms' },
	conf    => Meridian::Test::Proxy::databases_of('postgres'));
$proxy->start;
$proxy->wait_up(2);
ok(wait_until(sub { $near->count + $far->count == 0 }), 'nobody is connected');

my $nth = 0;
sub session
{
	my ($database) = @_;
	my $name = 'session' . ++$nth;
	my $w = Meridian::Test::Wire->session($proxy, database => $database, user => 'app', password => 'secret', application_name => $name);
	$w->ask('SET app.kept = 1');
	$w->send(parse('SELECT name FROM place', 'where') . sync_message());
	$w->until('Z');
	($w->{id}) = map { $_->{id} } grep { $_->{application_name} eq $name } @{ $proxy->console('SHOW SESSIONS FULL') };
	return $w;
}

sub where
{
	my ($w) = @_;
	$w->send(bind_message([], 'where') . execute() . sync_message());
	return $w->answer;
}

sub moving { my ($w) = @_; return $proxy->console_start("REHOME SESSION $w->{id} TO REGION us-west1") }

# When no probe is under way, whose answers would be held, too.
sub hold { my ($relay) = @_; $proxy->console('PROBE'); $proxy->wait_up(2); return $relay->hold }

# What the console says of it in the end.
sub told { my ($c) = @_; $c->{run}->finish; return $c->{err} =~ /ERROR:\s+(.*)/ ? $1 : $c->{err} }

sub goes_on
{
	my ($w, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(where($w), 'us-east1', "... $what: it goes on where it was");
	is($w->ask('SHOW app.kept'), '1', '... with what it had');
	return;
}

# Why the session ends.
sub ends { my ($w) = @_; my ($e) = grep { $_->[0] eq 'E' } $w->until('E'); my $closed = $w->closed; return $e && $closed ? error_fields($e)->{C} : 'not' }

sub nobody_left
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(wait_until(sub { $far->count == 0 }), '... no connection to the new node is left');
}

for my $database (qw(own ses)) {
	# ---------------------------------------------------------------- the login of the new server

	my $w = session($database);
	hold($far);
	my $c = moving($w);
	ok(wait_until(sub { $far->held > 0 }), "$database: the new node asks for a password, and is not heard");
	$far->cut;
	like(told($c), qr/^08006: /, '... and is lost: that is said');
	$far->pass;
	goes_on($w, 'the new server lost at its login');

	hold($far);
	$c = moving($w);
	ok(wait_until(sub { $far->held > 0 }), "$database: once more");
	$near->cut;
	is(ends($w), '57P01', '... and the old server is lost: the client hears that');
	is(told($c), '08006: the session has ended', '... and so does who wanted it moved');
	$far->pass;
	nobody_left() if $database eq 'own';

	$w = session($database);
	hold($far);
	$c = moving($w);
	ok(wait_until(sub { $far->held > 0 }), "$database: and again");
	$w->abort;
	is(told($c), '08006: the session has ended', '... and the client leaves');
	$far->pass;
	nobody_left() if $database eq 'own';

	# ---------------------------------------------------------------- the question to the old one

	$w = session($database);
	hold($near);
	$c = moving($w);
	ok(wait_until(sub { $near->held > 0 }), "$database: the old server is asked what is there, and not heard");
	$near->cut;
	is(ends($w), '08006', '... and is lost: the session is');
	is(told($c), '08006: the session has ended', '... which is said');
	$near->pass;

	$w = session($database);
	hold($near);
	$c = moving($w);
	ok(wait_until(sub { $near->held > 0 }), "$database: the same");
	$far->cut;
	$near->pass;
	is(told($c), '08006: server closed the connection unexpectedly', '... and the new one is lost meanwhile: that is said');
	goes_on($w, 'the new server lost while the old one is asked');

	# ---------------------------------------------------------------- what the new one is told

	my $lock = $west->background_psql('postgres');
	$lock->query_safe('BEGIN');
	$lock->query_safe('LOCK place');
	for my $how (qw(cut ended)) {
		$c = moving($w);
		my $waits = "FROM pg_stat_activity WHERE usename = 'app' AND wait_event_type = 'Lock'";
		ok($west->poll_query_until('postgres', "SELECT count(*) = 1 $waits"), "$database: the new server prepares what the session has prepared");
		$how eq 'cut' ? $far->cut : $west->safe_psql('postgres', "SELECT pg_terminate_backend(pid) $waits");
		like(told($c), qr/^55000: the new server refuses it: (?:server closed the connection|terminating connection)/, "... and is $how: that is said");
		goes_on($w, 'the new server lost while it was told');
		$west->safe_psql('postgres', "SELECT pg_terminate_backend(pid) $waits");
	}
	$lock->quit;
	$c = moving($w);
	is(told($c), '', "$database: and when nobody is lost it moves");
	is(where($w), 'us-west1', '... with all it had');
	is($w->ask('SHOW app.kept'), '1', '... indeed');
	$w->close;

	# ---------------------------------------------------------------- a notification right behind the answer

	$w = session($database);
	$w->ask('LISTEN news');
	hold($near);
	$c = moving($w);
	ok(wait_until(sub { $near->held > 0 }), "$database: a server that the client listens to is asked what is there");
	my $answer = $near->held;
	$east->safe_psql('postgres', "NOTIFY news, 'late'");
	ok(wait_until(sub { $near->held > $answer }), '... and a notification follows its answer');
	$near->pass;
	is(told($c), '', '... the session moves');
	like(($w->until('A'))[-1][1], qr/news\0late\0/, '... the client hears the notification');
	is(where($w), 'us-west1', '... and the new server has what the old one had');
	is($w->ask('SELECT count(*) FROM pg_prepared_statements'), 1, '... once');
	$west->safe_psql('postgres', "NOTIFY news, 'there'");
	like(($w->until('A'))[-1][1], qr/news\0there\0/, '... and it listens there');
	$w->close;
}
unlike(PostgreSQL::Test::Utils::slurp_file($west->logfile), qr/already exists/, 'nothing was prepared twice');
is($proxy->console('SHOW SESSIONS FULL')->@*, 1, 'nobody is left but who asks');
$proxy->stop;
done_testing();
