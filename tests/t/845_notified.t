#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Sessions that listen, and are told more than they read, or than a question of Meridian's own is
# answered in front of: every notification arrives, once and in its order, memory stays bounded, and
# nobody waits for who does not read.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Delay;
use Meridian::Test::Gate;
use Meridian::Test::Measure qw(measured peak_kb peak_reset sanitized);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use Test::More;

my ($east) = regional_clusters('us-east1');
my $far = Meridian::Test::Delay->new($east);
my $gate  = Meridian::Test::Gate->new;
my $proxy = Meridian::Test::Proxy->new('main', $gate->proxy_options,
	regions => [ 'us-east1' => { nodes => $far } ],
	set     => { auth => 'trust', workers => 1, region => 'us-east1' },
	conf    => Meridian::Test::Proxy::databases_of('postgres'));
$proxy->start;

sub session
{
	my ($database) = @_;
	return Meridian::Test::Wire->session($proxy, database => $database, application_name => "l_$database");
}

sub row
{
	my ($database) = @_;
	my ($row) = grep { $_->{application_name} eq "l_$database" } @{ $proxy->console('SHOW SESSIONS FULL') };
	return $row // {};
}

# So many notifications of 7.5 kB, from somebody who is not in the way.
sub notify
{
	my ($n) = @_;
	return $east->safe_psql('postgres',
		"SELECT count(pg_notify('news', to_char(i, 'FM00000') || repeat('x', 7500))) FROM generate_series(1, $n) i");
}

# How many notifications of so many come, one after the other; other messages are passed over.
sub hears
{
	my ($w, $n) = @_;
	my $heard = 0;
	while ($heard < $n) {
		my ($note) = grep { $_->[0] eq 'A' } $w->until('AE') or last;
		my ($channel, $i, $rest) = unpack 'x4 Z* a5 a*', $note->[1];
		last if $channel ne 'news' || $i != $heard + 1 || $rest ne 'x' x 7500 . "\0";
		$heard++;
	}
	return $heard;
}

# It has not read what it was told: no more goes out to it.
sub is_stuck
{
	my ($database) = @_;
	return wait_until(sub { settles(sub { row($database)->{tx_bytes} }) > 1_000_000 }, 'the client to be sent no more');

}

# ---------------------------------------------------------------- in front of an answer to ourselves

# What a question meets on its way: everything that the server says for two seconds.
sub set_and_be_told
{
	my ($w, $value, $n) = @_;
	$far->ms(1000);
	$w->send(query("SET work_mem = '$value'"));
	ok($east->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE state = 'idle' AND query = 'SET work_mem = ''$value'''"),
		'a session has set something, and Meridian is going to ask what');
	notify($n);
	is($w->answer, '', 'which is asked as soon as that was answered, and meets what the server says meanwhile');
	return;
}

my $l = session('tx');
$l->ask('LISTEN news');
ok(wait_until(sub { row('tx')->{move_block} eq 'listen' }), 'a session of a transaction pool listens');
set_and_be_told($l, '5MB', 300);
is(hears($l, 300), 300, 'more notifications than an answer may be long: all of them come');
$far->ms(0);
is($l->ask('SHOW work_mem'), '5MB', 'and the session goes on');

peak_reset($proxy->pid);
my $before = peak_kb($proxy->pid);
set_and_be_told($l, '6MB', 2500);
$far->ms(0);
ok(is_stuck('tx'), 'far more, for one that does not read');
my $more = peak_kb($proxy->pid) - $before;
measured("%d kB of memory for 19 MB of notifications that are not read", $more);
cmp_ok($more, '<', 4000, 'are not kept') unless sanitized();
is(hears($l, 2500), 2500, 'all of them come when it does');
is($l->ask('SHOW work_mem'), '6MB', 'and the session goes on');
$l->ask('UNLISTEN *');
ok(wait_until(sub { row('tx')->{move_block} eq '' }), 'whose connection is shared again');
$l->close;

# ---------------------------------------------------------------- half a notification, and PAUSE, and a migration's freeze

my $m = 0;
for my $database (qw(own ses tx)) {
	$l = session($database);
	$l->ask('LISTEN news');
	notify(2500);
	ok(is_stuck($database), "$database: a session listens and does not read");
	is($proxy->console_error("PAUSE DATABASE $database DEADLINE '" . span(30) . "'"), '', 'PAUSE does not wait for it');
	my ($held) = grep { $_->{held} } @{ $proxy->console('SHOW PAUSES') };
	is("@$held{qw(database held open)}", "$database 1 0", 'and holds it') if $held;
	$proxy->console("RESUME DATABASE $database");
	is(hears($l, 2500), 2500, 'which has lost nothing');
	is($l->ask('SELECT 1'), '1', 'and goes on');

	notify(2500);
	ok(is_stuck($database), 'it does not read again');
	my ($frozen) = $gate->order('freeze', ++$m, 'postgres', 'us-east1', 'us-east1', 'elsewhere', 5000, 30000);
	like($frozen, qr/^ok .*\bopen=0\b/, 'it is in no transaction that a migration has to end');
	is(($gate->order('resume', $m, 'postgres', 'us-east1'))[0], 'ok', 'the freeze is given up');
	is(hears($l, 2500), 2500, 'nothing is lost');
	is($l->ask('SELECT 1'), '1', 'it goes on');
	$l->close;
}
$proxy->stop;
done_testing();
