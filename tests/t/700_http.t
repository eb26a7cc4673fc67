#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# HTTP on a listener: requests whole and in pieces, limits, keep-alive, deadlines, CONNECT; and
# PostgreSQL beside it on the same port.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters certificate);
use Meridian::Test::Proxy;
use Meridian::Test::Tls;
use Meridian::Test::Wire qw(:build);
use Test::More;
use Time::HiRes qw(time);

my ($node) = regional_clusters('us-east1');
my $proxy = Meridian::Test::Proxy->new('main', regions => [ 'us-east1' => $node ], set => { http => 'on', client_login_timeout => '2s' });
$proxy->start;
my @login = (user => (getpwuid $>)[0], database => 'postgres');

# An answer: { status, headers (lower case), body }; undef where the connection is closed instead.
sub answer
{
	my ($w, %opt) = @_;
	while ($w->{in} !~ /\r\n\r\n/) { return undef unless $w->fill }
	my ($head, $body) = split /\r\n\r\n/, $w->{in}, 2;
	my ($first, @lines) = split /\r\n/, $head;
	my %headers = map { /^([^:]+): (.*)/ ? (lc $1 => $2) : () } @lines;
	my ($status) = $first =~ m{^HTTP/1\.1 (\d{3}) };
	my $n = $opt{head} ? 0 : $headers{'content-length'} // 0;
	while (length $body < $n) { $w->fill or last; $body = (split /\r\n\r\n/, $w->{in}, 2)[1] }
	$w->{in} = substr $body, $n;
	return { status => $status, headers => \%headers, body => substr $body, 0, $n };
}

sub wire { return Meridian::Test::Wire->new(@_ ? @_ : $proxy) }

sub ask
{
	my ($bytes, %opt) = @_;
	my $w = wire();
	$opt{split} ? $w->send_split($bytes, $opt{split}) : $w->send($bytes);
	my $a = answer($w, %opt);
	$a->{wire} = $w;
	return $a;
}

my $a = ask("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
is($a->{status}, 200, '/healthz');
is($a->{body}, "ok\n", 'with its body');
is($a->{headers}{connection}, 'keep-alive', 'and the connection stays');
is(ask("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")->{status}, 404, 'an unknown path');
$a = ask("DELETE /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
is($a->{status}, 405, 'an unknown method');
is($a->{headers}{allow}, 'GET, HEAD', 'with those that there are');

my $connect = "CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\n\r\n";
my $w = wire();
$w->send($connect);
is($w->bytes(19), "HTTP/1.1 200 OK\r\n\r\n", 'CONNECT');
is(($w->login(@login))[-1][0], 'Z', 'a session in the tunnel');
$w->send(query('SELECT 42'));
is(row_values(($w->until('Z'))[1])->[0], '42', 'and a query');
is($proxy->safe_psql('postgres', 'SELECT 1'), 1, 'a plain client on the same port');
$proxy->stop;
done_testing();
