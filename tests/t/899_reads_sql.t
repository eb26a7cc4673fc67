#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Tokens of POST /sql: what a request has written or read is in a header of its answer, and a request with that header reads no less,
# through whichever proxy, also where its route leads to a standby.
use strict;
use warnings;
use HTTP::Tiny;
use JSON::PP ();
use Meridian::Test::Cluster qw(regional_clusters regional_standby);
use Meridian::Test::Http;
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Reads;
use Meridian::Test::Wire qw(:build);
use Test::More;

my ($home) = regional_clusters('us-east1', { streaming => 1 });
$home->safe_psql('postgres', 'CREATE TABLE r (v int); INSERT INTO r VALUES (0)');
my $near = regional_standby($home, 'europe-west1');
my $pool = "pool = transaction\nreads = nearest\n";
my @both = map {
	near_proxy($home, $near, name => $_, set => { http => 'on' },
		conf => "[database postgres]\n${pool}consistency_wait = " . span(0.02) . "\n[database fails]\ndbname = postgres\n${pool}lost_wal = fail\n"
		  . "[database waits]\ndbname = postgres\nconsistency_wait = " . NEVER . "\n[database quiet]\ndbname = postgres\n")
} 'main', 'second';
my ($one, $two) = @both;

my $http = HTTP::Tiny->new(timeout => patience(20));
my $json = JSON::PP->new->utf8;
my $read = "SELECT v || ' ' || current_setting('cluster_name') FROM r";

sub uri { my ($database, @set) = @_; return "postgresql://postgres\@h/$database?options=" . join '', map { '%20-c%20meridian.' . s/=/%3D/r } @set }

# Ask; said() makes "10 europe-west1", or "22023 invalid …", of the answer. token: the header, undef for none.
sub ask
{
	my ($proxy, $body, %opt) = @_;
	my %headers = ('Neon-Connection-String' => uri($opt{database} // 'postgres', 'city=paris', @{ $opt{set} // [ 'access=any' ] }), 'Neon-Array-Mode' => 'true');
	$headers{'Meridian-Token'} = $opt{token} if defined $opt{token};
	my $a = $http->post('http://127.0.0.1:' . $proxy->port . '/sql', { headers => \%headers, content => $json->encode(ref $body ? $body : { query => $body }) });
	$a->{json}  = eval { $json->decode($a->{content}) };
	$a->{token} = $a->{headers}{'meridian-token'};
	return $a;
}
sub said { my ($a) = @_; return $a->{status} == 200 ? join ' ', map { @$_ } @{ $a->{json}{rows} } : "$a->{status} $a->{json}{code} $a->{json}{message}" }
sub reads { return said(ask($_[0], $read, @_[ 1 .. $#_ ])) }
sub standby { $near->safe_psql('postgres', "SELECT pg_wal_replay_$_[0]()"); return }
sub position { return hex(($_[0] =~ /(\w+)$/)[0]) }

# ---------------------------------------------------------------- what a request has seen

my $token = qr/^m1\.[0-9a-f]{1,16}\.1\.[0-9a-f]+$/;
my @write = (set => []);
my $a = ask($one, 'UPDATE r SET v = 10', @write);
is($a->{status}, 200, 'a write');
like($a->{token}, $token, 'its answer has a token');
is($a->{headers}{'access-control-expose-headers'}, 'Meridian-Token', '... that a page may read');
like($http->request('OPTIONS', 'http://127.0.0.1:' . $one->port . '/sql')->{headers}{'access-control-allow-headers'}, qr/\bMeridian-Token\b/, '... and send');
my $first = $a->{token};
$near->poll_query_until('postgres', 'SELECT v = 10 FROM r');
standby('pause');
my $t = ask($one, { queries => [ map { { query => $_ } } 'UPDATE r SET v = 11', 'SELECT 1' ] }, @write)->{token};
cmp_ok(position($t), '>', position($first), 'so has that of a batch, a later one');

for my $proxy (@both) {
	my $name = $proxy == $one ? 'the same proxy' : 'another proxy';
	is(reads($proxy), '10 europe-west1', "$name, without a token: what the standby has");
	$a = ask($proxy, $read, token => $t);
	is(said($a), '11 us-east1', '... with it: no less, so at home');
	cmp_ok(position($a->{token}), '>=', position($t), '... and nor does the next that goes by the token of that');
	is(reads($proxy), '10 europe-west1', '... a token counts for one request');
	is(reads($proxy, set => [ 'access=any', "token=$t" ]), '11 us-east1', '... so does one in the connection string');
	ok(wait_until(sub { reads($proxy, token => $first) eq '10 europe-west1' }), '... what the standby has replayed is read there');
	is(said(ask($proxy, $read, token => $first, set => [ 'access=any', "token=$t" ])), '11 us-east1', '... and the later of two counts');
}
$a = ask($two, $read, token => $first);
is(said($a), '10 europe-west1', 'a read nearby');
cmp_ok(position($a->{token}), '>=', position($first), '... has a token, too, of all that it has shown');
is(Meridian::Test::Wire->session($two, options => '-c meridian.city=paris', 'meridian.token' => $a->{token})->ask($read), '10 europe-west1',
	'... which the standby that it comes from has replayed');
is(Meridian::Test::Wire->session($two, options => '-c meridian.city=paris', 'meridian.token' => $t)->ask($read), '11 us-east1',
	'a token of /sql is one of any session');

# ---------------------------------------------------------------- who may go nowhere else

is(reads($two, token => $t, set => ['access=standby']), '400 55000 the standby has not replayed what the request is to show', 'a request that may run at a standby alone: an error');
my $w = Meridian::Test::Wire->new($two);
$w->send(http_request(POST => '/sql', 'Neon-Connection-String' => uri('waits', 'city=paris', 'access=standby'), 'Meridian-Token' => $t, body => $json->encode({ query => $read })));
ok($near->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(0.002)%' AND pid <> pg_backend_pid()}), '... behind consistency_wait: it waits');
standby('resume');
like(http_answer($w)->{body}, qr/11 europe-west1/, '... until the standby has it');

# ---------------------------------------------------------------- who has one

is(ask($one, $read, database => 'quiet')->{token}, undef, 'without reads = nearest there is none');
like(ask($one, $read, database => 'quiet', token => '')->{token}, $token, '... unless the request asks for it, by an empty one');
$a = ask($one, { queries => [ map { { query => $_ } } 'UPDATE r SET v = 99', 'SELECT 1/0' ] }, @write);
is(said($a), '400 22012 division by zero', 'a batch that fails');
is($a->{token}, undef, '... has none');
is(said(ask($one, $read, @write)), '11 us-east1', '... nor done anything');
is(said(ask($one, "COPY r $_", @write)), '400 0A000 COPY is not supported over HTTP', "COPY r $_") for 'TO STDOUT', 'FROM STDIN';
is(said(ask($one, 'SELECT pg_terminate_backend(pg_backend_pid())', @write)), '400 57P01 terminating connection due to administrator command', 'a server that ends');
is(said(ask($one, 'BEGIN', @write)), '', 'a transaction without an end');
is(said(ask($one, 'SELECT 1/0', @write)), '400 22012 division by zero', 'one statement that fails');

sub transactions { return $one->counter('transactions') }
my $before = transactions();
is(said(ask($one, $read, token => $first, set => ['access=standby'])), '11 europe-west1', 'what Meridian asks beside');
is(transactions() - $before, 1, '... is no transaction of its caller');

# ---------------------------------------------------------------- what is refused

my $foreign = 'm1.' . ($t =~ /^m1\.(\w+)\./)[0] =~ s/^(\w)/$1 eq '7' ? '6' : '7'/er . '.1.1';
for my $said ('x', $foreign) {
	is(said(ask($one, 'UPDATE r SET v = 99', token => $said, @write)), qq(400 22023 invalid value for parameter "meridian.token": "$said"), "a token $said");
	is(said(ask($one, 'UPDATE r SET v = 99', set => ["token=$said"])), qq(400 22023 invalid value for parameter "meridian.token": "$said"), '... in a connection string');
}
is(said(ask($one, $read, @write)), '11 us-east1', 'nothing of that has run');
my $blind = Meridian::Test::Proxy->new('blind', regions => [ 'us-east1' => $home ], set => { auth => 'trust', http => 'on', probe_conninfo => '' });
$blind->start;
is(said(ask($blind, $read, token => $t, @write)), '400 55P02 parameter "meridian.token" cannot be set in this session', 'without a probe no session can obey it');
like(ask($blind, $read, token => '', @write)->{token}, $token, '... but have one');
$blind->stop;

# ---------------------------------------------------------------- a fail-over

ok($near->poll_query_until('postgres', 'SELECT v = 11 FROM r'), 'the standby has all');
$near->stop;
my $lost = ask($one, 'UPDATE r SET v = 12', @write)->{token};
$home->stop('immediate');
$near->start;
$near->promote;
ok($one->wait_console('SHOW NODES FULL', sub { grep { $_->{region} eq 'europe-west1' && $_->{state} eq 'up' && $_->{role} eq 'primary' && ($_->{timeline} // '') eq '2' } @{ $_[0] } }), 'another primary, on another timeline');
is(reads($one, token => $t), '11 europe-west1', 'a token of the timeline that was left, from before that');
$a = ask($one, $read, token => $lost);
is(said($a), '11 europe-west1', 'one of what was lost: what there is');
like($a->{token}, qr/^m1\.[0-9a-f]+\.2\.[0-9a-f]+$/, '... and a token of that');
is(reads($one, token => $lost, database => 'fails'), '400 55000 what the request is to show was lost in a fail-over', 'lost_wal = fail: an error');
is(reads($one, token => $t, database => 'fails'), '11 europe-west1', '... which is none for what was kept');

$_->stop for @both;
done_testing();
