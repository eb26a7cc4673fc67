#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# A Query behind messages without a Sync, one of which fails: PostgreSQL discards it without a word,
# CockroachDB says ReadyForQuery all the same, and so has one yet to say when the Sync behind it
# seems to be answered. Nobody else gets that, and the session is not taken for one that is done.
# (PostgreSQL's way: 565_rehome.t, 870_pause.t.)
use strict;
use warnings;
use Meridian::Test::Fake;
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;

my $dir    = PostgreSQL::Test::Utils::tempdir();
my $ready  = frame('Z', 'I');
my $answer = frame('C', "SELECT 42\0") . $ready;

# The second ReadyForQuery comes when it may; behind it every read is a Query.
sub serve_late
{
	my ($fd, $c) = @_;
	syswrite $fd, $ready;
	wait_until(sub { -e "$dir/$c->{param}{database}" }, 'the second ReadyForQuery to be let');
	syswrite $fd, $ready;
	syswrite $fd, $answer while sysread $fd, my $query, 65536;
	return;
}
my $crdb = Meridian::Test::Fake->new(on => {
	'' => sub { return frame('R', pack 'N', 0) . frame('S', "crdb_version\0CockroachDB v23.1.11\0") . substr Meridian::Test::Fake::welcome(), 9 },
	P => sub { $_[2]{failed} = 1; return frame('E', "SERROR\0VERROR\0C42703\0Mcolumn \"nonsense\" does not exist\0\0") },
	Q => sub { return $_[2]{failed} ? '' : $answer },
	S => sub { return \&serve_late } });
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $crdb ],
	set     => { workers => 1, region => 'us-east1', auth => 'trust', default_pool_size => 1, probe_interval => NEVER, query_wait_notify => NEVER },
	conf    => "[database own]\npool = off\n[database ses]\npool = session\n[database tx]\npool = transaction\n");
$proxy->start;

for my $database (qw(own ses tx)) {
	my $w = Meridian::Test::Wire->session($proxy, database => $database);
	$w->send(parse('SELECT nonsense'), query('SELECT 1'), sync_message());
	like($w->answer, qr/^42703/, "$database: a message fails in front of a Query and a Sync");
	like($proxy->console_error("PAUSE DATABASE $database DEADLINE '300ms'"), qr/a transaction was open yet/, 'one ReadyForQuery is still to come');    # time: as the command is given it
	my $other = $database eq 'tx' ? Meridian::Test::Wire->session($proxy, database => $database) : undef;
	if ($other) {
		$other->send(query('SELECT 2'));
		ok($proxy->wait_console("SHOW POOLS FULL DATABASE $database", sub { $_[0][0]{cl_waiting} == 1 }), 'and who wants the connection waits');
	}
	PostgreSQL::Test::Utils::append_to_file("$dir/$database", '');
	is($w->answer, '', 'it comes, and belongs to whom it is for');
	if ($other) {
		is(join(' ', map { $_->[0] } $other->until('Z')), 'C Z', 'and only then the other is served');
		$other->close;
	}
	is($proxy->console_error("PAUSE DATABASE $database DEADLINE '" . span(10) . "'"), '', 'nothing is owed any more');    # time: as the command is given it
	$proxy->console("RESUME DATABASE $database");
	$w->send(query('SELECT 3'));
	is(join(' ', map { $_->[0] } $w->until('Z')), 'C Z', 'the session goes on');
	$w->close;
}
$proxy->stop;
done_testing();
