#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Failed logins: the pair of address and user is throttled, no other is; whoever finds the password
# wrong, Meridian or the node; which address counts; what the client and the console are told.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes qw(time);

my ($node) = regional_clusters('node', { users => { alice => 'wonder', paul => 'plain' } });
$node->safe_psql('postgres', "CREATE ROLE asker LOGIN; CREATE TABLE logins (name text, secret text); GRANT SELECT ON logins TO asker;"
	  . "INSERT INTO logins VALUES ('vera', 'old')");
my $users = PostgreSQL::Test::Utils::tempdir() . '/users.txt';
PostgreSQL::Test::Utils::append_to_file($users, qq("admin" "adminpw"\n"alice" "wonder"\n"paul" "plain"\n));
chmod 0600, $users;
my $wait = patience(8);
my $lb = PostgreSQL::Test::Cluster::get_free_port();
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $node ],
	set => { auth => 'scram-sha-256', auth_file => $users, admin_users => 'admin', auth_throttle_after => 3,
		# time: how long somebody is refused
		auth_throttle_base => int($wait) . 's', auth_throttle_max => NEVER, workers => 4, trusted_proxies => '127.0.0.7/32',
		http => 'on', auth_conninfo => 'user=asker',
		auth_query => 'SELECT name, secret FROM public.logins WHERE name = $1', probe_conninfo => 'dbname=postgres' },
	conf => "[listener lb]\nlisten = 127.0.0.1:$lb\nproxy_protocol = allow\n"
	  . "[database relayed]\ndbname = postgres\nauth = passthrough\n");
delete @ENV{qw(PGPASSWORD PGUSER)};
$proxy->start;

# What a login gets: '' or the fields of its error. `from`: the client's address; `lb`: by a load
# balancer, `src` the address that it tells.
sub attempt
{
	my ($user, $password, %opt) = @_;
	my @where = $opt{lb} ? (port => $lb) : $opt{path} ? (path => $opt{path}) : ($proxy);
	my $w = Meridian::Test::Wire->new(@where, from => $opt{from} // '127.0.0.2');
	$w->send(proxy_v2(src => $opt{src})) if $opt{src};
	my @m = $w->login(user => $user, database => $opt{database} // 'postgres', password => $password);
	return '' if $m[-1][0] ne 'E';
	return error_fields($m[-1]);
}

sub code { my $f = attempt(@_); return ref $f ? $f->{C} : '' }

sub exhaust { my ($user, %opt) = @_; return join ' ', map { code($user, 'wrong', %opt) } 1 .. 4 }

my $four = '28P01 28P01 28P01 28P01';

# ---------------------------------------------------------------- the pair

is(exhaust('alice'), $four, 'three failures are free, the fourth is not');
my $began = time;
my $f = attempt('alice', 'wonder');
is($f->{C}, '28000', 'then even the right password does not help, where nobody has logged in before');
is($f->{S}, 'FATAL', 'FATAL');
like($f->{M}, qr/^too many failed logins of user "alice"$/, 'the client is told why');
like($f->{H}, qr/^Try again in \d+ s\.$/, 'and for how long');
is(code('alice', 'wonder'), '28000', 'nor does it slowly') for 1 .. 2;
is(code('paul', 'plain'), '', 'another user from there gets in');
is(code('alice', 'wonder', from => '127.0.0.3'), '', 'and the same user from elsewhere');
is(code('alice', 'wonder', path => $proxy->socket_path), '', 'or over the unix socket');
my ($row) = grep { $_->{user} eq 'alice' } @{ $proxy->console('SHOW USERS') };
like($row->{throttled_until}, qr/^20\d\d-/, 'SHOW USERS says until when');
is_deeply([ @$row{qw(throttled_addresses trusted_addresses)} ], [ 1, 1 ], 'from how many addresses, and where it has logged in');
ok(wait_until(sub { code('alice', 'wonder') eq '' }, $wait + 30), 'after the wait it gets in');
cmp_ok(passed($began), '>', $wait - 1, 'not before');
($row) = grep { $_->{user} eq 'alice' } @{ $proxy->console('SHOW USERS') };
is($row->{throttled_until}, '', 'and SHOW USERS says so');
is(join(' ', map { code('alice', 'wrong') } 1 .. 2), '28P01 28000', 'a login wipes no slate');
is(code('alice', 'wonder'), '', 'but who has logged in from there gets in');

is(exhaust('nobody'), $four, 'nobody is counted like anybody');
is(code('nobody', 'x'), '28000', 'and waits');

# ---------------------------------------------------------------- many at once

# They all ask before the first has failed: only so many may guess.
my @crowd = map { Meridian::Test::Wire->new($proxy, from => '127.0.0.4') } 1 .. 30;
$_->send(startup(user => 'alice', database => 'postgres')) for @crowd;
$_->message for @crowd;
my %codes;
for my $w (@crowd) {
	$w->scram_first("SCRAM-SHA-256\0");
	my $m = $w->message;
	if ($m->[0] eq 'R') {
		$w->scram_final(substr($m->[1], 4), 'wrong');
		$m = $w->message;
	}
	$codes{ error_fields($m)->{C} }++;
}
is_deeply(\%codes, { '28P01' => 4, 28000 => 26 }, 'of thirty logins that were begun together four could guess');
undef @crowd;

# ---------------------------------------------------------------- a password that was changed

$node->safe_psql('postgres', "CREATE ROLE vera LOGIN");
is(code('vera', 'old'), '', 'a user of auth_query');
outlast(1, 'the second in which an answer is not asked for again');
$node->safe_psql('postgres', "UPDATE logins SET secret = 'new'");
@crowd = map { Meridian::Test::Wire->new($proxy, from => '127.0.0.2') } 1 .. 20;
$_->send(startup(user => 'vera', database => 'postgres')) for @crowd;
$_->message for @crowd;
$_->scram_first("SCRAM-SHA-256\0") for @crowd;
$_->scram_final(substr($_->message->[1], 4), 'new') for @crowd;
my %told;
$told{ error_fields($_->message)->{C} }++ for @crowd;
is_deeply(\%told, { '28P01' => 20 }, 'twenty logins with the new password are held against the old one');
is(code('vera', 'new'), '', 'that does not count against them');
is(exhaust('vera', from => '127.0.0.11'), $four, 'wrong passwords');
is(code('vera', 'new', from => '127.0.0.11'), '28000', 'do');
outlast(1, 'the second in which an answer is not asked for again');
is(exhaust('vera', from => '127.0.0.10'), $four, 'also against an answer that was kept for a while');
ok(wait_until(sub { code('vera', 'new', from => '127.0.0.10') eq '28000' }), 'once it is known to be still true');

# ---------------------------------------------------------------- the console

is(join(' ', map { code('admin', 'wrong', database => 'meridian') } 1 .. 4), $four, 'a login to the console');
is(code('admin', 'adminpw', database => 'meridian'), '28000', 'waits too');
is(code('admin', 'adminpw', database => 'meridian', from => '127.0.0.5'), '', 'but not from elsewhere');
is($proxy->console_error('SHOW VERSION'), '', 'and our own user is let in over the unix socket');

# ---------------------------------------------------------------- passthrough

is(exhaust('paul', database => 'relayed', from => '127.0.0.12'), $four, 'passwords that the node finds wrong');
is(code('paul', 'plain', database => 'relayed', from => '127.0.0.12'), '28000', 'count as well');
is(code('paul', 'plain', database => 'relayed', from => '127.0.0.6'), '', 'for the pair alone');
is($proxy->console('SHOW NODES FULL')->[0]{state}, 'up', 'and not against the node');

# ---------------------------------------------------------------- which address

is(exhaust('alice', lb => 1, from => '127.0.0.7', src => '192.0.2.1'), $four, 'through a load balancer');
is(code('alice', 'wonder', lb => 1, from => '127.0.0.7', src => '192.0.2.1'), '28000', 'the address counts that it tells');
is(code('alice', 'wonder', lb => 1, from => '127.0.0.7', src => '192.0.2.2'), '', 'not its own');
is(exhaust('alice', lb => 1, from => '127.0.0.7', src => '2001:db8:1:2::1'), $four, 'IPv6');
is(code('alice', 'wonder', lb => 1, from => '127.0.0.7', src => '2001:db8:1:2::2'), '28000', 'counts by networks');
is(code('alice', 'wonder', lb => 1, from => '127.0.0.7', src => '2001:db8:1:3::1'), '', 'of 64 bits');
is(join(' ', map { code('alice', 'wrong', from => '127.0.0.7') } 1 .. 8), "$four $four", 'one that does not tell is never throttled');
is(code('alice', 'wonder', from => '127.0.0.7'), '', 'or it would be throttled for all');

# ---------------------------------------------------------------- the rest

my %stats = map { $_->{counter} => $_->{value} } @{ $proxy->console('SHOW STATS') };
cmp_ok($stats{logins_throttled}, '>=', 30, 'SHOW STATS counts what was refused');
my ($why) = grep { $_->{reason} eq 'throttled' } @{ $proxy->console('SHOW ERRORS') };
cmp_ok($why->{sessions}, '>=', 30, 'and SHOW ERRORS');
$proxy->log_like(qr/too many failed logins of user "alice"/, 'the log has it');
is(exhaust('alice', from => '127.0.0.8'), $four, 'four more');
$proxy->reload(set => { auth_throttle_base => 0 });
is(code('alice', 'wonder', from => '127.0.0.8'), '', 'auth_throttle_base = 0 lets everybody try');
is(join(' ', map { code('alice', 'wrong', from => '127.0.0.8') } 1 .. 8), "$four $four", 'as often as they like');
$proxy->stop;
done_testing();
