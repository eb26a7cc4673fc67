#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# The console's everyday listings in a terminal of 120 columns: measured as psql aligns them, with names
# as long as they may be, and what FULL has beside them.
use strict;
use warnings;
use utf8;
use Encode ();
use IPC::Run ();
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use Test::More;

use constant WIDTH => 120;

my ($node) = regional_clusters('northamerica-northeast1');
my $far    = 'primary-7.database.asia-southeast1.internal.example.invalid:5432';
my $long   = 'inventory_of_the_north_american_warehouses';
$node->safe_psql('postgres', qq(CREATE DATABASE "$long"; CREATE ROLE "$long" LOGIN SUPERUSER));
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [
		'northamerica-northeast1' => { nodes => $node, cities => 'san francisco, saint-germain-en-laye', location => '45.5, -73.6' },
		'asia-southeast1'         => { nodes => $far, location => '1.3, 103.8' }
	],
	set  => { auth => 'trust', workers => 2, probe_interval => '200ms', migration_conninfo => 'user=postgres' },
	conf => "[database $long]\npool = transaction\n");
$proxy->start;
$proxy->wait_console('SHOW NODES FULL', sub { "$_[0][0]{state} $_[0][1]{state}" eq 'up down' });

# Lines as psql writes them for people.
sub lines_of
{
	my ($sql) = @_;
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'psql', '-Xq', '-P', 'pager=off', '-d', $proxy->connstr('meridian', host => $proxy->socket_dir), '-c', $sql ],
		'<', \'', '>', \$out, '2>', \$err, run_limit(60));
	is($err, '', "$sql answers") if $err ne '' || $sql =~ /^SHOW/;
	return split /\n/, Encode::decode('UTF-8', $out);
}

sub widest { return (sort { $b <=> $a } map { length } @_)[0] }

# One in a transaction that has failed, one that is idle, in a pool and without one.
my @sessions;
for my $city ('San Francisco', 'Saint-Germain-en-Laye') {
	for my $database ($long, 'postgres') {
		my $w = Meridian::Test::Wire->session($proxy, database => $database, user => $long,
			'meridian.city' => $city, application_name => 'nightly report of the warehouses, part two');
		$w->ask("BEGIN", "SELECT 1/0") if $city eq 'San Francisco';
		push @sessions, $w;
	}
}
wait_until(sub { 2 == grep { $_->{state} =~ /aborted/ } @{ $proxy->console('SHOW SESSIONS FULL') } });

my %has = (
	NODES    => [ qr/northamerica-n…/, qr/primary-7\.database\.a…/, qr/\| down/ ],
	SESSIONS => [ qr/San Francisco/, qr/inventory_o…/, qr/idle in transactio…/ ],
	POOLS    => [ qr/inventory_of…/, qr/127\.0\.0\.1/ ]);
for my $what (sort keys %has) {
	my @lines = lines_of("SHOW $what");
	cmp_ok(scalar(@lines), '>', 3, 'there are rows');
	cmp_ok(widest(@lines), '<=', WIDTH, "SHOW $what fits a terminal") or diag explain \@lines;
	like(join("\n", @lines), $_, 'and shows what it is about') for @{ $has{$what} };
	my ($few)  = map { [ split /\s*\|\s*/, s/^\s+|\s+$//gr ] } $lines[0];
	my @full = lines_of("SHOW $what FULL");
	my %all  = map { $_ => 1 } split /\s*\|\s*/, $full[0] =~ s/^\s+|\s+$//gr;
	is_deeply([ grep { !$all{$_} } @$few ], [], 'FULL has the same columns by the same names');
	cmp_ok(scalar(keys %all), '>', scalar(@$few), 'and more');
	unlike(join("\n", @full), qr/…/, 'and cuts nothing');
}
like((join "\n", lines_of('SHOW NODES FULL')), qr/\Q$far\E/, 'SHOW NODES FULL has names in full');
is(scalar(@{ $proxy->console("SHOW SESSIONS USER $long") }), 4, 'filters compare what is not cut');

# ---------------------------------------------------------------- HELP

my @help = lines_of('HELP');
cmp_ok(widest(@help), '<=', WIDTH, 'HELP fits a terminal') or diag explain \@help;
my %words;
$words{ $_->{command} =~ s/[ ]*[\[(<].*//r } = 1 for @{ $proxy->console('HELP FULL') };
cmp_ok(scalar(keys %words), '>', 40, 'there are commands');
is_deeply([ grep { widest(lines_of("HELP $_")) > WIDTH } sort keys %words ], [], 'and so does HELP of each');

# ---------------------------------------------------------------- examples

# Of HELP <command>: its example, and the columns that its answer shows.
sub example_of
{
	my ($words) = @_;
	my %of;
	push @{ $of{ $_->{section} } }, $_->{text} for @{ $proxy->console("HELP $words") };
	my @answer = @{ $of{answer} || [] };
	my @names  = ($answer[0] // '') =~ /^-\[ RECORD/ ? map { /^(\w+) +\|/ ? $1 : () } @answer
	  : map { s/^\s+|\s+$//gr } split /\|/, $answer[0] // '';
	my %once;
	my @columns = grep { !$once{$_}++ } @names; # of each record again
	return ($of{example}[0], \@columns, \@answer);
}

my ($example, $columns, $answer) = example_of('SHOW SESSIONS');
like($example, qr/^SHOW SESSIONS/, 'HELP SHOW SESSIONS has an example');
cmp_ok(scalar(@$answer), '>', 2, '... and its answer, as psql shows it');
like($answer->[1], qr/^-+\+-+/, '... with a line below the columns');

# What changes something, or asks for a migration or a session that is not here, is not said.
my $ran = 0;
for my $words (sort keys %words) {
	my ($said, $want) = example_of($words);
	next unless $said && $said =~ /^(SHOW|HELP|EXPLAIN)\b/;
	my ($status, $out, $err) = $proxy->console_raw($said);
	if ($said =~ /MIGRATION \w|SESSION \d/) {
		like($err, qr/^ERROR:  (42704|55000)|no (session|migration)/m, "$said is understood") if $status != 0;
		next;
	}
	is($status, 0, $said) or do { diag $err; next };
	my $rows = $proxy->console($said);
	is_deeply([ sort keys %{ $rows->[0] } ], [ sort @$want ], "... $said: its columns are those of the answer in HELP") if @$rows;
	$ran++ if @$rows;
}
cmp_ok($ran, '>', 10, 'many of them had rows');

$_->close for @sessions;
$proxy->stop;
done_testing();
