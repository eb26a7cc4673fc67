#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Cancel requests that come while a pooled session has nothing running on a server: it waits for a
# connection that is being reset, it waits with half a pipeline, or Meridian puts its settings back.
# None is lost, none hits anybody else, and none ends a session. Storms are 855.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Delay;
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use Test::More;

my ($node) = regional_clusters('us-east1');
my $far = Meridian::Test::Delay->new($node);
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => { nodes => $far, sslmode => 'disable' } ],
	set     => { auth => 'trust', workers => 1, default_pool_size => 1, probe_interval => NEVER, server_connect_timeout => NEVER },
	conf    => "[database postgres]\npool = transaction\n[database template1]\npool = session\n");
$proxy->start;

sub session { return Meridian::Test::Wire->session($proxy, @_) }
sub words { return join ' ', map { $_->[0] eq 'E' ? 'E=' . error_fields($_)->{C} : $_->[0] eq 'D' ? 'D=' . row_values($_)->[0] : $_->[0] } grep { $_->[0] !~ /[TtSNn]/ } @_ }

sub waits_in_queue
{
	my ($n) = @_;
	$proxy->wait_console('SHOW POOLS FULL', sub { my $sum = 0; $sum += $_->{cl_waiting} for @{ $_[0] }; $sum == $n });
	return;
}

# ---------------------------------------------------------------- a reset is under way

{
	my ($x, $y) = map { session(database => 'template1') } 1 .. 2;
	is($_->[0]->ask($_->[1]), 1, 'a session of a session pool has the server') for [ $x, 'SELECT 1' ];
	$far->hold;
	$x->send(terminate());
	ok($x->closed, 'and leaves');
	$y->send(query("SELECT 'y'"));
	waits_in_queue(1);
	ok($y->cancel, 'another, which waits for the reset, is cancelled');
	like($y->answer, qr/^57014/, 'and hears it');
	$y->send(query("SELECT 'y2', pg_sleep(0.1)"));
	$far->pass;
	is($y->answer, 'y2,', 'its next query is not hit');

	# A request that was sent for the one who left arrives with the reset.
	my $z = session(database => 'template1');
	$far->hold;
	$y->send(query("SELECT 'y3'"));
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE query = 'SELECT ''y3''' AND state = 'idle'"), 'a query ends');
	my $open = $far->count;
	$far->ms(200);
	my $asking = Meridian::Test::Wire->new($proxy);
	$asking->send(cancel_request($y->{pid}, $y->{secret}));
	ok(wait_until(sub { $far->count > $open }), 'a request for it is under way');
	$far->pass;
	is($y->answer, 'y3', '... when its session hears so');
	$y->send(terminate());
	$z->send(query("SELECT 'z', pg_sleep(0.5)"));
	is($z->answer, 'z,', 'and does not hit the next session');
	ok($asking->closed, 'the request was answered');
	$far->ms(0);
	$z->send(terminate());
	ok($z->closed, 'the last has left');
}

# ---------------------------------------------------------------- half a pipeline waits

{
	my ($holder, $w) = map { session() } 1 .. 2;
	my $pipeline = parse('SELECT 1', 'one') . bind_message([], 'one') . execute . flush_message;
	my @cases = (
		[ 'a pipeline without a Sync', $pipeline, sync_message, 'E=57014 Z' ],
		[ 'more behind it', $pipeline, parse('SELECT 2') . bind_message([]) . execute . sync_message, 'E=57014 Z' ],
		[ 'a Query behind it', $pipeline, query('SELECT 3') . sync_message, 'E=57014 Z' ],
		[ 'a long message behind it', $pipeline, query('SELECT ' . '1' x 300_000) . sync_message, 'E=57014 Z' ],
		[ 'half a message', $pipeline . substr(parse('SELECT 4'), 0, 7), substr(parse('SELECT 4'), 7) . sync_message, 'E=57014 Z' ],
	);
	for my $case (@cases) {
		my ($name, $before, $behind, $want) = @$case;
		for my $step (0, 1) {
			$holder->ask('BEGIN');
			$w->send($before);
			waits_in_queue(1);
			ok($w->cancel, "$name: cancelled while it waits");
			is(words($w->until('E')), 'E=57014', "$name: it hears so at once");
			$step && length $behind < 1000 ? $w->send_split($behind, 1) : $w->send($behind);
			is(words($w->until('Z')), 'Z', "$name: and is ready behind the Sync");
			$w->send(query("SELECT 'next'"));
			waits_in_queue(1);
			$holder->ask('COMMIT');
			is($w->answer, 'next', "$name: what comes next runs");
		}
	}
	$holder->ask('BEGIN');
	$w->send($pipeline);
	waits_in_queue(1);
	ok($w->cancel, 'once more');
	is(words($w->until('E')), 'E=57014', 'cancelled');
	$w->send(parse('SELECT 5') . terminate());
	ok($w->closed, 'the client leaves');
	$holder->ask('COMMIT');
}

# ---------------------------------------------------------------- settings are put back

{
	my $w = session(database => 'template1', application_name => 'mine', options => '-c work_mem=1MB');
	is($w->ask('SELECT 1'), 1, 'a session with settings of its own');
	my $lost = 0;
	for my $i (1 .. 6) {
		$far->ms(30);
		$w->send(query('RESET ALL'));
		let_pass(0.01 * $i, 'it gets as far as that');
		my $asking = Meridian::Test::Wire->new($proxy);
		$asking->send(cancel_request($w->{pid}, $w->{secret}));
		my $said = eval { $w->answer } // "lost: $@";
		ok($said eq '' || $said =~ /^57014/, "RESET ALL, cancelled after ${\ (10 * $i)} ms") or diag $said;
		ok($asking->closed, 'the request was answered');
		is(eval { $w->ask('SHOW application_name') } // "lost: $@", 'mine', 'the session goes on, with its settings');
		$far->ms(0);
	}
}

# A late request hits our own question of what a reset has left; what the client has said meanwhile waits.
{
	my $w = session(application_name => 'mine');
	my $locker = Meridian::Test::Wire->session($node, database => 'postgres', user => $ENV{PGUSER} // 'postgres');
	my $waits  = "FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid <> pg_backend_pid()";
	my $count  = sub { return $node->safe_psql('template1', "SELECT count(*) $waits") };
	is($w->ask("SET TimeZone = 'Asia/Tokyo'"), '', 'a session of a transaction pool with settings of its own');
	$locker->ask('BEGIN; LOCK TABLE pg_catalog.pg_settings IN ACCESS EXCLUSIVE MODE');
	$w->ask('DISCARD ALL');
	$w->send(query('SHOW application_name'));
	for my $i (1 .. 3) {
		ok(wait_until(sub { $count->() == 1 }), "our question waits, $i");
		is($node->safe_psql('template1', "SELECT count(*) FILTER (WHERE pg_cancel_backend(pid)) $waits"), 1, 'and is cancelled');
	}
	$locker->ask('COMMIT');
	is($w->answer, 'mine', 'the query behind it finds the settings of its session');
	is($w->ask('SHOW TimeZone') ne 'Asia/Tokyo', 1, 'and none that was discarded');
	$w->send(terminate());
	ok($w->closed, 'the session ends');
}

$proxy->stop;
done_testing();
