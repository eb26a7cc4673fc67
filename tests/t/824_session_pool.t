#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# pool = session: a login is answered before there is a server, the first query attaches, and what was
# attached stays so until the session ends. Cancel, REHOME, PAUSE and the switch of a migration for
# sessions that have no server yet; and what a session leaves behind is gone in one round trip.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Gate;
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use Test::More;

my ($east, $west) = regional_clusters('us-east1', 'us-west1');
$_->safe_psql('postgres', 'CREATE DATABASE app; CREATE ROLE bob; CREATE ROLE eve LOGIN') for $east, $west;
my $gate  = Meridian::Test::Gate->new;
my $proxy = Meridian::Test::Proxy->new('main', $gate->proxy_options,
	regions => [ 'us-east1' => $east, 'us-west1' => { nodes => $west, cities => 'paris' } ],
	set     => { auth => 'trust', workers => 1, region => 'us-east1', default_pool_size => 1 },
	conf    => "[database ses]\ndbname = app\npool = session\n");
$proxy->start;
$proxy->wait_console('SHOW NODES FULL', sub { 2 == grep { $_->{state} eq 'up' } @{ $_[0] } });

my $nth = 0;
my $where = "SELECT current_setting('cluster_name')";
my $pid = 'SELECT pg_backend_pid()';

sub session { return Meridian::Test::Wire->session($proxy, database => 'ses', @_) }

sub facts { my ($name) = @_; return (grep { $_->{application_name} eq $name } @{ $proxy->console('SHOW SESSIONS FULL') })[0] }

sub backends { return $_[0]->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE datname = 'app'") }

sub pool
{
	my ($row) = grep { $_->{database} eq 'ses' && $_->{region} eq 'us-east1' && $_->{user} eq 'postgres' } @{ $proxy->console('SHOW POOLS FULL') };
	return $row;
}

sub leave
{
	my ($w) = @_;
	$w->send(terminate);
	return $w->closed;
}

sub extended { my ($w, @messages) = @_; $w->send(join '', @messages, sync_message()); return $w->answer }

# ---------------------------------------------------------------- a login needs no server, but the first of all

my $first = session();
is($first->ask('SELECT 1'), 1, 'the first session of all has learnt what servers report');
my @others = map { session(application_name => "other $_") } 1 .. 5;
is($_->{last}[0], 'Z', 'a login is answered while the only connection of the pool is somebody\'s') for @others;
is($others[0]{parameters}{application_name}, 'other 1', 'with its own settings');
is(backends($east), 1, 'no server was wanted');
is(pool()->{sv_active}, 1, 'SHOW POOLS: one connection is in use');
is(pool()->{cl_waiting}, 0, 'nobody waits');
my $seen = facts('other 1');
is("$seen->{state} $seen->{home} $seen->{move_block}", 'idle us-east1 ', 'SHOW SESSIONS says where it will be');
ok(leave($others[4]), 'one leaves again');
is($first->ask('SELECT 2'), 2, 'without any');

# ---------------------------------------------------------------- the first query attaches, and for good

$others[0]->send(query($pid));
ok($others[0]->silent, 'its first query waits');
is(facts('other 1')->{state}, 'waiting', 'SHOW SESSIONS says so');
ok(leave($first), 'the connection comes back');
my $backend = $others[0]->answer;
like($backend, qr/^\d+$/, 'the query is answered');
isnt($others[0]{pid}, $backend, 'its cancel key is not the server\'s');
$others[1]->send(query($pid));
ok($others[1]->silent, 'between two transactions nobody else gets it');
is($others[0]->ask($pid), $backend, 'it stays');
is($others[0]->ask('BEGIN', $pid), $backend, 'in a transaction');
is($others[0]->ask('COMMIT', $pid), $backend, 'and behind it');
is($others[0]->ask('SHOW application_name'), 'other 1', 'with the settings of the startup packet');

# ---------------------------------------------------------------- cancel

ok($others[2]->cancel, 'a cancel request for a session that has no server and asks nothing');
ok($others[1]->cancel, 'one that waits for its first');
like($others[1]->answer, qr/^57014/, 'is cancelled');
$others[0]->send(query('SELECT pg_sleep(60)'));
ok($east->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%sleep(60)%' AND pid = $backend"), 'a query runs');
$others[2]->cancel;
ok($others[0]->silent, 'the key of another does nothing to it');
$others[0]->cancel;
like($others[0]->answer, qr/^57014/, 'its own does');
leave($others[0]);
is($others[1]->ask($pid), $backend, 'the one that was cancelled waiting gets the connection later');
leave($_) for @others[1 .. 3];

# ---------------------------------------------------------------- the statement without a name

my $s = session(application_name => 'unnamed');
is(extended($s, parse('SELECT $1 + 1', '', 23)), '', 'the first message is a Parse without a name');
is(extended($s, bind_message([41]), execute()), '42', 'which is there with the next');
is($s->ask('RESET application_name', 'SHOW application_name'), 'unnamed', 'RESET leads to what the session began with');
$s->send(frame('F', pack('N n n', 2078, 0, 3) . pack('N/a* N N/a* n', 'application_name', 0xffffffff, 'f', 0)));
is($s->answer, '', 'so does set_config() to NULL, as a FunctionCall');
is($s->ask('SHOW application_name'), 'unnamed', '…');
leave($s);

# ---------------------------------------------------------------- what is left behind

$s = session(application_name => 'untidy');
$s->ask("SET work_mem = '9MB'", 'SET ROLE bob', 'PREPARE p AS SELECT 1', 'LISTEN news', 'SELECT pg_advisory_lock(7)');
extended($s, parse('SELECT 2', 'q'));
leave($s);
$s = session(application_name => 'untidy');
is($s->ask($pid), $backend, 'the next one gets the same connection');
is($s->ask("SELECT current_setting('work_mem'), current_user, current_setting('application_name'), (SELECT count(*) FROM pg_prepared_statements), "
	. '(SELECT count(*) FROM pg_listening_channels()), (SELECT count(*) FROM pg_locks WHERE locktype = \'advisory\')'), '4MB,postgres,untidy,0,0,0',
	'and nothing of its predecessor');
leave($s);
my $idle = "SELECT query FROM pg_stat_activity WHERE pid = $backend AND state = 'idle'";
ok($east->poll_query_until('app', "SELECT ($idle) = 'SET application_name TO ''untidy'''"), 'what the next one will want is set behind the reset');
is($east->safe_psql('app', "SELECT application_name FROM pg_stat_activity WHERE pid = $backend"), 'untidy', 'and is there');
$s = session(application_name => 'other', 'app.x' => 'y');
is($s->ask("SELECT current_setting('application_name'), current_setting('app.x'), pg_backend_pid()"), "other,y,$backend", 'another has its own settings');
leave($s);
$s = session();
is($s->ask("SELECT current_setting('application_name'), current_setting('app.x', true), pg_backend_pid()"), ",,$backend", 'and one without has none');
leave($s);

# A reset of the operator's own that leaves settings as they are.
$proxy->reload(set => { server_reset_query => 'DEALLOCATE ALL' });
$s = session(application_name => 'other');
$s->ask("SET work_mem = '9MB'", 'SET ROLE bob', 'SET app.x = 1', 'PREPARE p AS SELECT 1');
leave($s);
$s = session(application_name => 'other');
is($s->ask("SELECT current_setting('work_mem'), current_user, current_setting('app.x', true), current_setting('application_name'), pg_backend_pid()"),
	"4MB,postgres,,other,$backend", 'server_reset_query that does not reset settings: they are reset all the same');
leave($s);
$proxy->reload(set => { server_reset_query => 'SELECT 1/0' });
$s = session();
is($s->ask($pid), $backend, 'server_reset_query that fails');
leave($s);
$s = session();
isnt($s->ask($pid), $backend, 'is the end of the connection');
leave($s);
$proxy->reload(set => { server_reset_query => 'DISCARD ALL' });

# What was set for the next one is refused behind the reset: nobody is told, and it is known that it is not there.
sub bob_is_taken_away
{
	$east->safe_psql('postgres', 'GRANT bob TO eve');
	my $eve = session(user => 'eve', role => 'bob', search_path => 'side, public');
	my $backend = $eve->ask($pid);
	is($eve->ask('SELECT current_user'), 'bob', 'a role in the startup packet');
	$east->safe_psql('postgres', 'REVOKE bob FROM eve');
	leave($eve);
	return $backend;
}

$backend = bob_is_taken_away();
my $eve = session(user => 'eve');
is($eve->ask("SELECT current_user, current_setting('search_path'), pg_backend_pid()"), qq{eve,"\$user", public,$backend},
	'which is taken away meanwhile: the next one has nothing of it');
leave($eve);
bob_is_taken_away();
$eve = session(user => 'eve', role => 'bob', search_path => 'side, public');
$eve->send(query('SELECT current_user'));
my ($error) = grep { $_->[0] eq 'E' } $eve->until('E');
is($error && error_fields($error)->{C}, '42501', 'and who wants it is refused by the server');
$eve = session(user => 'eve', search_path => 'side, public');
is($eve->ask("SELECT current_user, current_setting('search_path')"), 'eve,side, public', 'others are not');
leave($eve);

# ---------------------------------------------------------------- REHOME of one that has no server

$s = session();
is($s->ask('SELECT 1'), 1, 'what servers report is known');
leave($s);
ok(wait_until(sub { pool()->{sv_idle} == 1 }), 'the only connection is idle');
$s = session(application_name => 'mover');
is(pool()->{sv_active}, 0, 'and stays so');
is($proxy->console_error('REHOME SESSION ' . facts('mover')->{id} . ' TO REGION us-west1'), '', 'a session without a server moves');
is(facts('mover')->{home}, 'us-west1', 'SHOW SESSIONS says so');
is($s->ask($where), 'us-west1', 'its first query is answered there');
is($proxy->console_error('REHOME SESSION ' . facts('mover')->{id} . ' TO REGION us-east1'), '', 'with one it moves as before');
is($s->ask($where), 'us-east1', 'there it is');
my $t = session(application_name => 'waiter');
$t->send(query($where));
ok($t->silent, 'one that waits for its first server');
is($proxy->console_error('REHOME SESSION ' . facts('waiter')->{id} . ' TO REGION us-west1'), '', 'is sent where there is one');
is($t->answer, 'us-west1', 'and is answered');
leave($_) for $s, $t;
$s = session();
is($s->ask("SET meridian.city = 'paris'"), '', 'one that says where it is before its first query');
is($s->ask($where), 'us-west1', 'is served there');
leave($s);

# ---------------------------------------------------------------- PAUSE and RESUME

$s = session(application_name => 'paused');
$proxy->console('PAUSE DATABASE ses');
is(facts('paused')->{state}, 'paused', 'PAUSE: a session without a server is paused');
ok(wait_until(sub { backends($east) == 0 }), 'and no server is left');
$s->send(query('SELECT 3'));
ok($s->silent, 'its first query waits');
$proxy->console('RESUME DATABASE ses');
is($s->answer, 3, 'for RESUME');
leave($s);

# ---------------------------------------------------------------- a migration's switch

my @way = qw(1 app us-east1 us-west1 -);
sub order { my ($answer) = $gate->order(@_); return $answer }
$proxy->reload(set => { default_pool_size => 5 });
my ($fresh, $asks, $has) = map { session(application_name => $_) } qw(fresh asks has);
is($has->ask($where), 'us-east1', 'one session has a server, two have none');
like(order('prewarm', @way, 5000), qr/^ok/, 'prewarmed');
is(order('freeze', @way, 2000, 30000), 'ok sessions=3 open=0 kept=0 closed=0 aborted=0', 'frozen');
$asks->send(query($where));
ok($asks->silent, 'a first query waits');
order(qw(serve app us-west1 - 1));
is(order('switch', @way), 'ok sessions=0 open=0 kept=3 closed=0 aborted=0', 'all three are taken along');
is($asks->answer, 'us-west1', 'the query that waited is answered in the new region');
is($fresh->ask($where), 'us-west1', 'and so is the first of who had said nothing');
is($has->ask($where), 'us-west1', 'and the next of who had a server');
is(session()->ask($where), 'us-west1', 'as are new ones');
ok(wait_until(sub { backends($east) == 0 }), 'nobody is left in the old one');

$proxy->stop;
done_testing();
