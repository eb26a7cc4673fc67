#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Nodes that answer our own questions, those of probes and of auth_query, with more than anybody has asked
# for: rows without end, a message of a gigabyte, notices that keep coming. They are given up, in time
# and before they have cost memory; other nodes, and who logs in, are none the worse.
use strict;
use warnings;
use IO::Select;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Fake;
use Meridian::Test::Measure qw(:all);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;

my $spare = 64 * 1024 * build_factor();    # kB: nothing of what they say
my $node  = regional_clusters('west');
$node->safe_psql('postgres', "CREATE ROLE alice LOGIN PASSWORD 'wonder'");

# Say it again and again until the other side has gone, as fast as it is read or with pauses.
sub again_and_again
{
	my ($fd, $piece, $pause) = @_;
	while (defined syswrite $fd, $piece) { let_pass($pause, 'it is read') if $pause }
	return;
}

my $columns = frame('T', pack('n', 2) . join '', map { "$_\0" . pack 'N n N n N n', 0, 0, 25, 65535, 0xffffffff, 0 } qw(a b));
my $row     = frame('D', pack 'n N/a* N/a*', 2, 'alice', 'x' x 1000);
my $notice  = frame('N', "SNOTICE\0C00000\0Mwait\0\0");
# Of a long message a network brings some 100 MB in a second.
my %says    = (
	'rows without end'       => sub { my ($fd, $head) = @_; syswrite $fd, $head . $columns; again_and_again($fd, $row x 100) },
	'a row of a gigabyte'    => sub { my ($fd, $head) = @_; syswrite $fd, $head . $columns . 'D' . pack 'N n N', 1e9 + 10, 2, 1e9; again_and_again($fd, 'x' x 100_000, 0.001) },
	'notices, and no answer' => sub { my ($fd) = @_; again_and_again($fd, $notice, 0.05) });
my $of_query = frame('1', '') . frame('2', '');

# What one takes whose nodes say what they are asked.
my $quiet = Meridian::Test::Proxy->new('quiet', regions => [ 'europe-west1' => $node ]);
$quiet->start;
is($quiet->safe_psql('postgres', 'SELECT 1'), 1, 'a node that says what it is asked');
my $usual = peak_kb($quiet->pid);
$quiet->stop;

# ---------------------------------------------------------------- probes

for my $what (sort keys %says) {
	my $fake = Meridian::Test::Fake->new(on => {
		Q => sub { return $_[1] eq "\0" ? frame('I', '') . frame('Z', 'I') : sub { $says{$what}->($_[0], '') } } });
	my $proxy = Meridian::Test::Proxy->new('probes', regions => [ 'us-east1' => $fake, 'europe-west1' => $node ],
		set => { probe_interval => '200ms', probe_conninfo => 'user=postgres dbname=postgres', region => 'us-east1' });
	$proxy->start;
	$proxy->wait_console('SHOW NODES FULL', sub { $_[0][0]{state} eq 'down' });
	is($proxy->console('SHOW NODES FULL')->[1]{state}, 'up', "probes, $what: the other node is up");
	cmp_ok(peak_kb($proxy->pid) - $usual, '<', $spare, 'no memory is given for that');
	is($proxy->safe_psql('postgres', 'SELECT 1'), 1, 'a session goes where it is served');
	$proxy->stop;
	$fake->stop;
}

# What is said between two probes, when nothing was asked.
{
	my $fake = Meridian::Test::Fake->new(on => {
		Q => sub {
			my ($type, $body, $c) = @_;
			return frame('I', '') . frame('Z', 'I') if $body eq "\0";
			return sub {
				my ($fd) = @_;
				syswrite $fd, frame('E', "SERROR\0C42501\0Mno\0\0") . frame('Z', 'I') . 'N' . pack 'N', 1 << 30;
				again_and_again($fd, 'Mxxxx' x 20_000, 0.001);
			} } });
	my $proxy = Meridian::Test::Proxy->new('between', regions => [ 'us-east1' => $fake, 'europe-west1' => $node ],
		set => { probe_interval => NEVER, probe_conninfo => 'user=postgres dbname=postgres', region => 'europe-west1' });
	$proxy->start;
	let_pass(3, 'it reads what nobody asked for');
	cmp_ok(peak_kb($proxy->pid) - $usual, '<', $spare, 'between two probes: no memory is given for that either');
	$proxy->stop;
	$fake->stop;
}

# ---------------------------------------------------------------- auth_query

for my $what (sort keys %says) {
	my $fake = Meridian::Test::Fake->new(on => { Q => sub { frame('I', '') . frame('Z', 'I') }, S => sub { sub { $says{$what}->($_[0], $of_query) } } });
	my $proxy = Meridian::Test::Proxy->new('auth', regions => [ 'us-east1' => $fake, 'europe-west1' => $node ],
		set => { probe_conninfo => undef, region => 'us-east1', auth => 'scram-sha-256', auth_conninfo => 'user=postgres',
			server_connect_timeout => span(4), client_login_timeout => NEVER });
	$proxy->start;
	my $w = Meridian::Test::Wire->new($proxy);
	$w->send(startup(user => 'alice', database => 'postgres'));
	my $m = $w->message;
	is($m ? $m->[0] . unpack 'N', $m->[1] : '', 'R10', "auth_query, $what: the next node is asked");
	cmp_ok(peak_kb($proxy->pid) - $usual, '<', $spare, 'no memory is given for that');
	$w->close;
	$proxy->stop;
	$fake->stop;
}
done_testing();
