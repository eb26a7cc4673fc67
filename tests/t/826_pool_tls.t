#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# A region's sslmode, authority or certificate changes by a reload: no connection that a pool has
# opened under the old one is lent again, and those that are lent go when they come back.
use strict;
use warnings;
use Meridian::Test::Cluster qw(certificate regional_clusters);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use Test::More;

my ($node) = regional_clusters('us-east1', { tls => 1 });
my $ca = certificate('other')->{ca};
my $rotating = PostgreSQL::Test::Utils::tempdir() . '/authority.pem';

sub authority
{
	my ($more) = @_;
	open my $from, '<', $ca or die "$ca: $!";
	open my $to, '>', $rotating or die "$rotating: $!";
	print $to (<$from>), $more;
	close $to;
	return;
}

sub region { my (%tls) = @_; return [ 'us-east1' => { nodes => 'localhost:' . $node->port, %tls } ] }

my %set = (auth => 'trust', workers => 1, default_pool_size => 4, server_lifetime => 0, server_idle_timeout => 0);
my $proxy = Meridian::Test::Proxy->new('main',
	regions => region(sslmode => 'disable'),
	set     => \%set,
	conf    => "[database *]\npool = transaction\n[database template1]\npool = session\n");
$proxy->start;

my $how = "SELECT pid || ' ' || ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
sub session { return Meridian::Test::Wire->session($proxy, @_) }
sub how { my ($w) = @_; return split / /, $w->ask($how) }

# What the console says of the leg to the node: of a server connection, and of the node.
sub leg
{
	my ($server) = grep { $_->{server_pid} eq $_[0] } @{ $proxy->console('SHOW SERVERS') };
	my ($shown) = @{ $proxy->console('SHOW NODES FULL') };
	return map { $_ // 'NULL' } @$server{qw(tls tls_cipher)}, @$shown{qw(tls tls_cipher)};
}

my @many = map { session() } 1 .. 3;
$_->ask('BEGIN') for @many;
my %first = map { (how($_))[0] => 1 } @many;
is(scalar(keys %first), 3, 'a pool has three connections');
is_deeply([ map { (how($_))[1] } @many ], [ ('false') x 3 ], 'without TLS');
is_deeply([ leg((how($many[0]))[0]) ], [ '', '', 'off', '' ], 'SHOW SERVERS and SHOW NODES say so');
$_->ask('COMMIT') for @many[ 1, 2 ];
my $kept = session(database => 'template1');
is((how($kept))[1], 'false', 'and a session of a session pool has one');

$proxy->reload(regions => region(sslmode => 'require'));
is_deeply([ map { (how($_))[1] } @many[ 1, 2 ] ], [ ('true') x 2 ], 'sslmode = require: what is lent has TLS now');
is((how($many[0]))[1], 'false', 'a transaction keeps what it has');
$many[0]->ask('COMMIT');
is((how($many[0]))[1], 'true', 'until its end');
is((how($kept))[1], 'false', 'a session of a session pool to its own');
my ($pid, $version, $cipher) = split / /, $many[1]->ask("SELECT pid || ' ' || version || ' ' || cipher FROM pg_stat_ssl "
	. 'WHERE pid = pg_backend_pid()');
is_deeply([ leg($pid) ], [ ($version, $cipher) x 2 ], 'they say the version and the cipher that PostgreSQL has');
$kept->send(terminate());
ok($kept->closed, 'it ends');
is((how(session(database => 'template1')))[1], 'true', 'the next has TLS');
my $left = join ',', keys %first;
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid IN ($left)"), 'none of the first is left');

# What does not change closes nothing.
sub lent { return (how($many[0]))[0] }
$pid = lent();
$proxy->reload(set => { %set, server_check_delay => NEVER });
is(lent(), $pid, 'a reload of something else keeps the connections');
for my $case (
	[ 'an authority', 1, sub { authority('') }, sslmode => 'verify-ca', sslrootcert => $rotating ],
	[ 'the same', 0, sub { }, sslmode => 'verify-ca', sslrootcert => $rotating ],
	[ 'the name, too', 1, sub { }, sslmode => 'verify-full', sslrootcert => $rotating ],
	[ 'another content of that file', 1, sub { authority("\n# another\n") }, sslmode => 'verify-full', sslrootcert => $rotating ],
	[ 'the same again', 0, sub { }, sslmode => 'verify-full', sslrootcert => $rotating ],
	[ 'no TLS', 1, sub { }, sslmode => 'disable' ]) {
	my ($name, $changes, $prepare, %tls) = @$case;
	$prepare->();
	$proxy->reload(regions => region(%tls));
	my ($now, $ssl) = how($many[0]);
	($changes ? \&isnt : \&is)->($now, $pid, $name . ($changes ? ': another connection' : ': the same connection'));
	is($ssl, $tls{sslmode} eq 'disable' ? 'false' : 'true', "$name: as it is to be");
	$pid = $now;
}

# A node that has not what is asked for now: the old connection does not help.
$node->safe_psql('postgres', 'ALTER SYSTEM SET ssl = off');
$node->reload;
ok($node->poll_query_until('postgres', "SELECT current_setting('ssl') = 'off'"), 'the node has TLS no more');
$proxy->reload(regions => region(sslmode => 'require'), set => { %set, query_wait_timeout => '2s' });    # time: query_wait_timeout ends the wait
$many[0]->send(query('SELECT 1'));
my $said = $many[0]->message;
is($said->[0], 'E', 'and no session is served in clear');
like(error_fields($said)->{C}, qr/^(?:53300|08006)$/, 'it is told so');

$proxy->stop;
done_testing();
