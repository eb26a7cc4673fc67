#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# A server connection that does not answer what Meridian asks of it between two sessions is nobody's:
# who waits gets another, and it is lent again once it has answered.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use Test::More;

my ($east) = regional_clusters('us-east1');
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $east ],
	set     => {
		workers => 1, region => 'us-east1', auth => 'trust', default_pool_size => 2, query_wait_timeout => span(20),
		query_wait_notify => NEVER, server_idle_timeout => 0, server_check_query => 'SELECT 1', server_check_delay => 0,
		server_connect_timeout => span(2), probe_interval => NEVER
	},
	conf => "[database ses]\ndbname = postgres\npool = session\n[database tx]\ndbname = postgres\npool = transaction\n");
$proxy->start;

my %stopped;
END { kill 'CONT', keys %stopped }

sub halt { my @pids = @_; @stopped{@pids} = @pids; return kill('STOP', @pids) == @pids }
sub go_on { my @pids = @_; delete @stopped{@pids}; return kill('CONT', @pids) == @pids }

my $which = 'SELECT pg_backend_pid()';

sub session { my ($database) = @_; return Meridian::Test::Wire->session($proxy, database => $database) }

sub leave { my ($w) = @_; $w->send(terminate); return $w->closed }

# How many are in use, idle, and asked something.
sub servers
{
	my ($database) = @_;
	my ($p) = @{ $proxy->console("SHOW POOLS FULL DATABASE $database") };
	return "$p->{sv_active} $p->{sv_idle} $p->{sv_reset}";
}

sub become { my ($database, $want) = @_; return wait_until(sub { servers($database) eq $want }) }

# ---------------------------------------------------------------- a reset

my $first = session('ses');
my $stuck = $first->ask($which);
ok(halt($stuck), 'a server stops');
ok(leave($first), 'its client leaves');
ok(become('ses', '0 0 1'), 'it is to reset itself, and does not');
my $second = session('ses');
my $other = $second->ask($which);
like($other, qr/^\d+$/, 'the next client is served all the same');
isnt($other, $stuck, 'by another');
is(servers('ses'), '1 0 1', 'SHOW POOLS has both');
ok(go_on($stuck), 'it goes on');
ok(become('ses', '1 1 0'), 'answers after all, and is to be had');
my $third = session('ses');
is($third->ask($which), $stuck, 'it is lent again');
is($second->ask($which), $other, 'both are at work');

# ---------------------------------------------------------------- a check, with another idle, in a pool that is full

my @two = map { session('tx') } 1, 2;
$_->ask('BEGIN') for @two;
my @pids = map { $_->ask($which) } @two;
$_->ask('COMMIT') for @two;
ok(become('tx', '0 2 0'), 'two idle ones, more there may not be');
ok(halt($pids[1]), 'the one that would be lent next stops');
is($two[0]->ask($which), $pids[0], 'the other is');
is(servers('tx'), '0 1 1', 'SHOW POOLS has both');
ok(go_on($pids[1]), 'it goes on');
ok(become('tx', '0 2 0'), 'and is to be had');

# ---------------------------------------------------------------- all of them

ok(halt(@pids), 'both stop');
my $new = $two[1]->ask($which);
like($new, qr/^\d+$/, 'who waits is served all the same');
ok(!grep({ $_ == $new } @pids), 'by a new one');
is(servers('tx'), '0 1 1', 'in the place of one of them');
ok(go_on(@pids), 'they go on');
ok(become('tx', '0 2 0'), 'one is to be had');
ok($east->poll_query_until('postgres', 'SELECT count(*) = 1 FROM pg_stat_activity WHERE pid IN (' . join(',', @pids) . ')'),
	'the other is left');
# ---------------------------------------------------------------- what no driver says

# A Flush with a body is an error, behind which the server discards what comes; Syncs that go into a COPY it ignores, and an end of
# a COPY where there is none. None of that leaves the session waiting for an answer that will not come, and its server with it.
my $reset = query("SELECT set_config('work_mem', '2MB', false)");
my $use   = bind_message([], 'nothing');
my %said = (
	'a Flush with a body in front of a Query' => frame('H', 'x') . $reset . $use . function_call(0, '') . $use,
	'the same in a message of its own'        => frame('H', 'x') . '|' . $reset . $use . function_call(0, '') . $use,
	'a Sync behind a COPY in a Query'         => $use . sync_message . query('COPY stuck FROM STDIN') . sync_message . copy_done . $reset . $use,
	'the same, and a name behind it'          => query('COPY stuck FROM STDIN') . sync_message . copy_fail('no') . $use . sync_message
	  . parse('SELECT 1') . close_message('S', 'nothing'),
	'two of them, and a name'                 => (query('COPY stuck FROM STDIN') . sync_message . sync_message . copy_done) x 2
	  . parse('SELECT 1') . close_message('S', 'nothing'),
	'the same in an extended query'           => parse('COPY stuck FROM STDIN') . bind_message([]) . execute . sync_message . copy_done
	  . sync_message . parse('SELECT 1') . close_message('S', 'nothing'),
	'ends of none, and none where one is due' => parse('SELECT 1') . bind_message([]) . execute . copy_done . copy_done
	  . query('COPY stuck FROM STDIN') . describe('S') . $use,
	'an end of a COPY in front of one'        => $use . sync_message . copy_fail('no') . query('COPY stuck FROM STDIN') . sync_message . copy_done . $reset . $use);
$east->safe_psql('postgres', 'CREATE TABLE stuck (a text)');
for my $what (sort keys %said) {
	my ($w, $direct) = (session('tx'), Meridian::Test::Wire->new(port => $east->port));
	$direct->login(database => 'postgres', user => 'postgres');
	my @read;
	for my $wire ($w, $direct) {
		for my $part (split /\|/, $said{$what} . sync_message . sync_message . query("SELECT 'end'")) {
			$wire->send($part);
			$wire->until('E') if $part eq frame('H', 'x');
		}
		my ($types, $value) = ('', '');
		until ($value eq 'end') {
			my $m = eval { $wire->message } or last;
			$types .= $m->[0] if $m->[0] ne 'S';
			$value = row_values($m)->[0] if $m->[0] eq 'D';
		}
		$wire->until('Z') if $value eq 'end';
		push @read, "$types $value";
	}
	is($read[0], $read[1], "$what: answered as PostgreSQL does");
	leave($_) for $w, $direct;
	ok($proxy->wait_console('SHOW POOLS FULL DATABASE tx', sub { $_[0][0]{sv_active} == 0 }), 'and the server connection is free again');
}

$proxy->stop;
done_testing();
