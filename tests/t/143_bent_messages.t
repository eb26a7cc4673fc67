#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Sessions of bent messages (Meridian::Test::Bent): through Meridian the client reads what PostgreSQL
# itself answers to the same bytes, in passthrough and in a pool; nobody else notices, and nothing is
# left behind. 953 has more of them. MERIDIAN_TEST_SEED says which sessions, MERIDIAN_TEST_SESSIONS how many.
use strict;
use warnings;
use Meridian::Test::Bent;
use Meridian::Test::Chaos;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Proxy;
use Test::More;

my $seed = $ENV{MERIDIAN_TEST_SEED}     // 1;
my $many = $ENV{MERIDIAN_TEST_SESSIONS} // 60;
my ($node) = regional_clusters('us-east1');
$node->safe_psql('postgres', 'CREATE UNLOGGED TABLE bent (n int)');
my %proxy = map { ($_ => Meridian::Test::Proxy->new($_, regions => [ 'us-east1' => $node ],
		set => { workers => 1, auth => $_ eq 'passthrough' ? $_ : 'trust', default_pool_size => 3 },
		conf => $_ eq 'passthrough' ? '' : "[database postgres]\npool = transaction\n")) } qw(passthrough pool);
$_->start for values %proxy;
my %chaos = map { $_ => Meridian::Test::Chaos->new($proxy{$_}) } keys %proxy;
my %differs = map { $_ => [] } keys %proxy;
for my $n ($seed .. $seed + $many - 1) {
	my $bytes = bent_session($n);
	my $want  = transcript(port => $node->port, $bytes);
	for my $kind (sort keys %proxy) {
		my $how = unlike_transcript(transcript(port => $proxy{$kind}->port, $bytes), $want, $bytes);
		push @{ $differs{$kind} }, "session $n: $how" if $how;
	}
}
for my $kind (sort keys %proxy) {
	is(scalar @{ $differs{$kind} }, 0, "$kind: $many sessions are answered as PostgreSQL answers them")
	  or diag join "\n", @{ $differs{$kind} };
	$chaos{$kind}->all_is_back("after them ($kind)");
	is($proxy{$kind}->console('SHOW NODES')->[0]{state}, 'up', 'no word against the node');
	$proxy{$kind}->stop;
}
done_testing();
