#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# A Patroni cluster by one address of its REST API: its members are found, in the regions that their tags name; a killed
# leader's heir takes the writes; a member that is lost with its API is asked for elsewhere.
# timeout: 300
use strict;
use warnings;
use Meridian::Test::Patience;
use Meridian::Test::Patroni;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(error_fields query);
use Test::More;

plan skip_all => Meridian::Test::Patroni::missing() if Meridian::Test::Patroni::missing();

my $patroni = Meridian::Test::Patroni->new('pg-a' => { region => 'us-east1' }, 'pg-b' => { region => 'europe-west1' },
	'pg-c' => { region => 'us-east1', noloadbalance => JSON::PP::true });
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => { nodes => '', cities => 'new york', discover => 'patroni', patroni_api => $patroni->api('pg-a') },
		'europe-west1' => { nodes => '', cities => 'paris' } ],
	set => { auth => 'trust', workers => 1, region => 'us-east1', probe_interval => '100ms', probe_conninfo => 'user=postgres dbname=postgres',
		failback_delay => 0, discover_interval => '200ms', discover_grace => span(1) },
	conf => "[database postgres]\n[database template1]\naccess = any\n");
$proxy->start;

sub row
{
	my ($rows, $column, $name) = @_;
	my ($row) = grep { ($_->{$column} // '') eq $patroni->address($name) } @$rows;
	return $row // {};
}

sub becomes
{
	my ($name, $column, $value, $what) = @_;
	return ok($proxy->wait_console('SHOW NODES FULL', sub { (row($_[0], 'node', $name)->{$column} // '') eq $value }), $what);
}

sub verdict
{
	my ($name) = @_;
	return row($proxy->console('SHOW DISCOVERY'), 'node', $name);
}

# ---------------------------------------------------------------- found

becomes('pg-a', 'role', 'primary', 'the leader is found');
becomes($_, 'role', 'standby', "so is $_") for 'pg-b', 'pg-c';
ok($proxy->wait_console('SHOW DISCOVERY', sub { row($_[0], 'node', 'pg-b')->{verdict} eq 'used' }), 'a replica is used');
is(row($proxy->console('SHOW NODES FULL'), 'node', 'pg-b')->{region}, 'europe-west1', 'in the region of its tag');
is(row($proxy->console('SHOW NODES FULL'), 'node', 'pg-b')->{origin}, 'patroni of ' . $patroni->api('pg-a'), 'with its origin');
is(verdict('pg-a')->{said}, 'leader', 'SHOW DISCOVERY says what Patroni does');
like(verdict('pg-c')->{reason}, qr/takes no queries: noloadbalance/, 'a replica with noloadbalance gets none');
my $port = 'SELECT inet_server_port()';
is($proxy->psql_from({ city => 'paris' }, 'template1', $port), $patroni->address('pg-b') =~ s/.*://r, 'a caller in Paris lands at the replica there');
is($proxy->psql_from({ city => 'paris' }, 'postgres', $port), $patroni->address('pg-a') =~ s/.*://r, 'a writer at the leader');

# ---------------------------------------------------------------- a fail-over

$proxy->safe_psql('postgres', 'CREATE TABLE t (n int)');

# Writes through the proxy, each on the session of the one before where that lives; sessions and errors are counted.
sub write_on
{
	my ($writer) = @_;
	$writer->{wire} //= eval { Meridian::Test::Wire->session($proxy) } // return 0;
	my @answer = eval { $writer->{wire}->send(query("INSERT INTO t VALUES ($writer->{n})")); $writer->{wire}->until('Z') };
	return ++$writer->{n} if @answer && !grep { $_->[0] eq 'E' } @answer;
	push @{ $writer->{errors} }, map { error_fields($_)->{C} } grep { $_->[0] eq 'E' } @answer;
	delete $writer->{wire};
	return 0;
}

sub fails_over
{
	my ($how, $what) = @_;
	my $writer = { n => 0, errors => [] };
	write_on($writer) or die 'no write before the fail-over';
	my $old   = $patroni->leader;
	my $begin = Time::HiRes::time();
	$patroni->$how($old);
	ok(wait_until(sub { write_on($writer) }, 'writes to flow'), "$what: writes flow again");
	note sprintf '%s: %.1f s until writes flow; errors: %s', $what, passed($begin), "@{ $writer->{errors} }";
	delete $writer->{wire};
	my $new = $patroni->leader;
	isnt($new, $old, "$what: at another leader");
	becomes($new, 'role', 'primary', "$what: which is the primary");
	return ($old, $new);
}

my ($first, $second) = fails_over('kill_server', 'a killed server');
becomes($first, 'role', 'standby', 'the one before is a standby when Patroni has started it again');
is($patroni->leader, $second, 'with the same leader');

my ($lost) = fails_over('lose', 'a member that is lost');
ok($proxy->wait_console('SHOW DISCOVERY', sub { !row($_[0], 'node', $lost)->{verdict} }), 'Patroni tells of it no more, at the API of another member');
ok($proxy->wait_console("SHOW NODES FULL", sub { !%{ row($_[0], "node", $lost) } }), "and it is forgotten");
$proxy->stop;

done_testing();
