#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Sessions at work are moved to and fro between two regions, some hundred times: no statement fails,
# none is lost, none runs twice. pgbench with the three ways of asking, with transactions of several
# statements, own connections and session pools; some distance to one of the regions.
use strict;
use warnings;
use IPC::Run ();
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Delay;
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use PostgreSQL::Test::Utils ();
use Test::More;

my $seconds = 8;
my ($east, $west) = regional_clusters('us-east1', 'us-west1');
$_->safe_psql('postgres', 'CREATE TABLE ledger (mode int, client int)') for $east, $west;
my $far   = Meridian::Test::Delay->new($west);
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $east, 'us-west1' => { nodes => $far } ],
	set     => { auth => 'trust', workers => 2, region => 'us-east1', default_pool_size => 100 },
	conf    => "[database own]\ndbname = postgres\npool = off\n[database ses]\ndbname = postgres\npool = session\n");
$proxy->start;
$proxy->wait_up(2);

my $dir    = PostgreSQL::Test::Utils::tempdir();
my %script = (
	one => "INSERT INTO ledger VALUES (:mode, :client_id);\n",
	two => "BEGIN;\nINSERT INTO ledger VALUES (:mode, :client_id);\nSELECT count(*) FROM ledger WHERE client = :client_id;\nCOMMIT;\n");
PostgreSQL::Test::Utils::append_to_file("$dir/$_.sql", $script{$_}) for keys %script;

my (%bench, @keys);
for my $database (qw(own ses)) {
	for my $mode (qw(simple extended prepared)) {
		for my $name (sort keys %script) {
			my $key = "$database-$mode-$name";
			push @keys, $key;
			my %b   = (out => '', err => '');
			$b{run} = IPC::Run::start([ 'pgbench', '-n', '-c', 2, '-R', 100, '-T', $seconds, '-M', $mode, '-D', "mode=$#keys", '-f', "$dir/$name.sql",
					$proxy->connstr($database, user => 'postgres') ],
				'<', \'', '>', \$b{out}, '2>', \$b{err}, run_limit(120));
			$bench{$key} = \%b;
		}
	}
}
$proxy->wait_console('SHOW SESSIONS FULL', sub { 24 == grep { $_->{database} =~ /^(own|ses)$/ } @{ $_[0] } });

# one console keeps on asking
my ($in, $out, $err) = ('', '', '');
my $psql = IPC::Run::start([ 'psql', '-XAtq', '-F', ' ', '-d', $proxy->connstr('meridian', host => $proxy->socket_dir) ],
	'<', \$in, '>', \$out, '2>', \$err, run_limit(120));
my ($end, $moved, $round) = (due_in($seconds - 3), 0, 0);
my @ids = map { $_->{id} } grep { $_->{database} =~ /^(own|ses)$/ } @{ $proxy->console('SHOW SESSIONS FULL') };
is(scalar @ids, 24, 'all are there');
until (is_due($end)) {
	$far->ms($round % 3 == 2 ? 20 : 0);
	my $region = $round++ % 2 ? 'us-east1' : 'us-west1';
	$out = '';
	$in .= "REHOME SESSION $_ TO REGION $region;\n" for @ids;
	$in .= "\\echo done\n";
	$psql->pump until $out =~ /done/;
	$moved += () = $out =~ /^\d+ \Q$region\E /mg;
}
$far->ms(0);
# the last may come too late
is(join('', grep { !/does not exist|has ended/ } split /^/, $err), '', 'every REHOME was done');
$psql->finish;
note "$moved moves in $round rounds";
cmp_ok($moved, '>=', 20, 'sessions have moved');

my %want;
for my $key (sort keys %bench) {
	my $b = $bench{$key};
	$b->{run}->finish;
	is($b->{err} =~ /error|abort/i ? $b->{err} : '', '', "$key: no error");
	($want{$key}) = $b->{out} =~ /transactions actually processed: (\d+)/;
	like($b->{out}, qr/number of failed transactions: 0 /, "$key: none has failed");
}
for my $i (0 .. $#keys) {
	my ($n, $key) = (0, $keys[$i]);
	$n += $_->safe_psql('postgres', "SELECT count(*) FROM ledger WHERE mode = $i") for $east, $west;
	is($n, $want{$key}, "$key: all that was acknowledged is there, once");
}
cmp_ok($west->safe_psql('postgres', 'SELECT count(*) FROM ledger'), '>', 100, 'the west has had its part');
$proxy->stop;
done_testing();
