#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Pools where things happen inside one another: a connection that is given back while it is being
# lent, a launch that fails at once while a query is on its way, questions to Meridian itself where
# there is no server.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Measure qw(:all);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use Test::More;

my ($east, $west) = regional_clusters('us-east1', 'europe-west1');
my $socket = $east->host . '/.s.PGSQL.' . $east->port;

sub proxy
{
	my ($name, %opt) = @_;
	my $proxy = Meridian::Test::Proxy->new($name,
		regions => [ 'us-east1' => { nodes => $east->host . ':' . $east->port, cities => 'new york' }, 'europe-west1' => { nodes => $west, cities => 'paris' } ],
		set     => { auth => 'trust', workers => 1, default_pool_size => 2, region => 'us-east1', probe_interval => NEVER, probe_timeout => span(30),
			max_client_conn => 5000, client_login_timeout => NEVER },
		conf    => "[database postgres]\npool = transaction\n", %opt);
	$proxy->start;
	return $proxy;
}

sub session { my ($proxy, %param) = @_; return Meridian::Test::Wire->session($proxy, %param) }

# ---------------------------------------------------------------- no server is there

my $proxy = proxy('main');
my $new_york = session($proxy);
my $paris = session($proxy, 'meridian.city' => 'paris');
is($new_york->ask('SHOW meridian.region'), 'us-east1', 'SHOW meridian.region before anything else');
is($paris->ask('SHOW meridian.region'), 'europe-west1', 'and far away');
is($paris->ask('SHOW meridian.route'), 'europe-west1, us-east1', 'SHOW meridian.route');

# ---------------------------------------------------------------- another caller, on the same session

# a place that is not much nearer to one of them: who says it is served where who logs in with it is
my $greenland = session($proxy, 'meridian.location' => '64.18,-51.7');
is($greenland->ask('SHOW port'), $west->port, 'a caller in Greenland is served in Europe');
my $pooled = session($proxy, 'meridian.city' => 'new york');
is($pooled->ask('SHOW port'), $east->port, 'a session of New York');
$pooled->ask("SET meridian.location = '64.18,-51.7'");
is($pooled->ask('SHOW port'), $west->port, 'that says it is in Greenland now is, too');
is($pooled->ask('SHOW meridian.region'), 'europe-west1', 'and says so');
$pooled->ask("SET meridian.city = 'new york'");
is($pooled->ask('SHOW port'), $east->port, 'and back');
$_->close for $greenland, $pooled;

# ---------------------------------------------------------------- a launch that fails at once

is($new_york->ask('SHOW port'), $east->port, 'a session has its server at home');
is($paris->ask('SHOW port'), $west->port, 'another leaves one idle far away');
$proxy->console('RECONNECT REGION us-east1');
rename $socket, "$socket.away" or die "$socket: $!";
is($new_york->ask('SHOW port'), $west->port, 'its node cannot be reached at all: the query goes to the other one');
is($new_york->ask('SELECT 2'), 2, 'and so does the next');
rename "$socket.away", $socket or die "$socket: $!";
$proxy->stop;

# ---------------------------------------------------------------- many wait to be greeted

my $many = 1000;
# ThreadSanitizer needs a stack of its own size
my $small = proxy('small', sanitized() eq 'thread' ? () : (wrapper => [ 'prlimit', '--stack=262144' ]));
$small->console('PAUSE');
my @waiting = map { Meridian::Test::Wire->new($small) } 1 .. $many;
$_->send(startup(database => 'postgres', user => 'postgres')) for @waiting;
ok(wait_until(sub { my ($pool) = @{ $small->console('SHOW POOLS FULL') }; $pool && $pool->{cl_waiting} == $many }), "$many logins wait");
$small->console('RESUME');
my $greeted = grep { eval { $_->until('Z'); 1 } } @waiting;
is($greeted, $many, 'they are all greeted, one after the other, with a small stack');
is($waiting[-1]->ask('SELECT 1'), 1, 'and served');
$small->stop;

# ---------------------------------------------------------------- what is never answered holds nothing

my $one = proxy('one', set => { auth => 'trust', workers => 1, default_pool_size => 1, region => 'us-east1', probe_interval => NEVER, query_wait_timeout => span(10) });
my ($copies, $other) = map { session($one) } 1, 2;
$copies->send(query('COPY (SELECT 1) TO STDOUT'));
$copies->until('Z');
$copies->send(query('CREATE TEMP TABLE gone (a int); DROP TABLE gone; CREATE TABLE IF NOT EXISTS copied (a int)'));
$copies->until('Z');
$copies->send(query('COPY copied FROM STDIN'));
$copies->until('G');
$copies->send(copy_data("no number\n") x 20 . copy_data("\\.\n"));
my ($failed) = grep { $_->[0] eq 'E' } $copies->until('Z');
is(error_fields($failed)->{C}, '22P02', 'a COPY fails');
$copies->send(copy_data("1\n") x 100 . copy_done);
is($other->ask('SELECT 8'), 8, 'what its client still sends of it takes no connection from others');
$copies->send(flush_message);
ok($copies->silent, 'nor does a Flush');
is($other->ask('SELECT 9'), 9, 'others are served');
is($copies->ask('SELECT count(*) FROM copied'), 0, 'and so is the client itself');
$copies->send(copy_data('x' x 4_000_000) . flush_message);
is($other->ask('SELECT 10'), 10, 'nor do four megabytes');
is($copies->ask('SELECT 11'), 11, 'behind which it goes on');
$copies->ask('DROP TABLE copied');

# ---------------------------------------------------------------- what no server knows

my $strange = session($one);
$strange->send(frame('!', 'what'));
is($other->ask('SELECT 12'), 12, 'a message of a type that there is not meets nobody else');
my ($fatal) = eval { $strange->until('Z') };
is($fatal && error_fields($fatal)->{M}, 'invalid frontend message type 33', 'and its client hears what the server says of it');

# PostgreSQL closes the connection on one of more than 10,000 bytes, without a word.
for my $type (qw(f c)) {
	my $long = session($one);
	my $pid  = $other->ask('SELECT pg_backend_pid()');
	$long->send(frame($type, 'x' x 20_000));
	my ($why) = $long->until('Z');
	is(error_fields($why)->{C}, '08P01', "a CopyFail or CopyDone ($type) that is too long is refused");
	is($other->ask('SELECT pg_backend_pid()'), $pid, 'and meets nobody else');
}

# ---------------------------------------------------------------- more settings than can be carried

# What is within the bound is carried whatever it is made of, and however much longer that makes the text.
my $carries = session($one);
$carries->ask("SELECT set_config('my.v$_', repeat('\xc3\xa9', 8000), false)") for 1 .. 4;
is($other->ask("SELECT coalesce(current_setting('my.v4', true), '')"), '', 'settings of 64,000 bytes stay with their session');
is($carries->ask("SELECT length(current_setting('my.v1') || current_setting('my.v4'))"), 16_000, 'which has them back');
is($other->ask('SELECT 13'), 13, 'and lets go of its connection again');

# More than is carried: the session keeps its connection, and everything.
sub set_many
{
	my ($s, $n) = @_;
	for (my $i = 0; $i < $n; $i += 100) {
		my $last = $i + 99 < $n ? $i + 99 : $n - 1;
		$s->send(query(join ';', map { "SET my.n$_ = $_" } $i .. $last));
		$s->until('Z');
	}
	return;
}

sub is_pinned
{
	my ($name) = @_;
	my ($row) = grep { $_->{application_name} eq $name } @{ $one->console('SHOW SESSIONS FULL') };
	return $row && $row->{move_block} eq 'setting';
}

my %too_much = (
	'settings of more than 64 kB' => sub { my ($s) = @_; $s->ask("SELECT set_config('my.v$_', repeat('\xc3\xa9', 8000), false)") for 1 .. 5 },
	'more than 1,024 settings'    => sub { my ($s) = @_; set_many($s, 1025) },
);
for my $what (sort keys %too_much) {
	my $loaded = session($one, application_name => 'loaded');
	$too_much{$what}->($loaded);
	ok(wait_until(sub { is_pinned('loaded') }), "$what keep their session on its connection");
	my ($first, $last) = $what =~ /kB/ ? qw(v1 v5) : qw(n0 n1024);
	is($loaded->ask("SELECT current_setting('my.$first') <> '' AND current_setting('my.$last') <> ''"), 't', 'and nothing is lost');
	$loaded->ask('DO $$ BEGIN PERFORM 1; END $$');
	is($loaded->ask("SELECT current_setting('my.$last') <> ''"), 't', 'nor behind a DO');
	$loaded->send(terminate);
	is($other->ask("SELECT coalesce(current_setting('my.$last', true), '')"), '', 'nor has anybody else something of it');
	is($other->ask('SHOW exit_on_error'), 'off', 'nor is anything else left');
}

# A list of a SELECT may have 1,664 entries; 1,024 settings are all there may be.
my $rich = session($one);
set_many($rich, 1024);
is($other->ask("SELECT coalesce(current_setting('my.n1023', true), '')"), '', 'a thousand settings are not for others');
is($rich->ask("SELECT current_setting('my.n0') || current_setting('my.n1023')"), '01023', 'and whoever has them has them again');
$one->stop;

# ---------------------------------------------------------------- more to be kept warm than there is room for

$east->safe_psql('postgres', "CREATE ROLE app$_ LOGIN") for 1 .. 4;
my $tight = proxy('tight', set => { auth => 'trust', workers => 1, region => 'us-east1', probe_interval => NEVER, max_db_connections => 2, min_pool_size => 2 });
my @users = map { session($tight, user => "app$_") } 1 .. 4;
my $served = 0;
for (1 .. 5) {
	$_->send(query('SELECT 1')) for @users;
	$served += eval { $_->answer eq '1' } ? 1 : last for @users;
}
is($served, 20, 'sessions of four users share two connections, though each pool would have two');
cmp_ok($east->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE usename ~ '^app'"), '<=', 2, 'and there are no more');
$tight->stop;

# ---------------------------------------------------------------- a drain, while a query waits its turn

my $drained = proxy('drained', set => { auth => 'trust', workers => 1, default_pool_size => 1, region => 'us-east1', probe_interval => NEVER });
my ($holder, $waiter, $idle) = map { session($drained) } 1 .. 3;
$holder->ask('BEGIN');
$waiter->send(query('SELECT 7'));
ok(wait_until(sub { my ($pool) = @{ $drained->console('SHOW POOLS FULL') }; $pool->{cl_waiting} == 1 }), 'a query waits for the connection of a transaction');
kill 'TERM', $drained->pid;
ok($idle->closed, 'SIGTERM ends the session that is idle');
ok($waiter->silent, 'not the one that waits');
is($holder->ask('SELECT 6'), 6, 'nor the transaction');
$holder->send(query('COMMIT'));
is(join(' ', map { $_->[0] eq 'D' ? row_values($_)->[0] : () } $waiter->until('Z')), '7', 'which ends: the other is answered');
$drained->wait_exit;
done_testing();
