#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# An application and somebody who guesses its password, behind one address: the application gets in
# at every login, the guesses stay bounded, and who guesses cannot tell a user who logs in there from
# one whom nobody knows.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes qw(time usleep);

my ($node) = regional_clusters('node', { users => { alice => 'wonder', paul => 'plain' } });
my $users = PostgreSQL::Test::Utils::tempdir() . '/users.txt';
PostgreSQL::Test::Utils::append_to_file($users, qq("alice" "wonder"\n"paul" "plain"\n"late" "x"\n));
chmod 0600, $users;
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $node ],
	set => { auth => 'scram-sha-256', auth_file => $users, auth_throttle_after => 3, auth_throttle_base => '1s',
		auth_throttle_max => '60s', workers => 2 },
	conf => "[database relayed]\ndbname = postgres\nauth = passthrough\n");
delete @ENV{qw(PGPASSWORD PGUSER)};
$proxy->start;

sub code
{
	my ($user, $password, $database) = @_;
	my $w = Meridian::Test::Wire->new($proxy, from => '127.0.0.2');
	my @m = $w->login(user => $user, database => $database // 'postgres', password => $password);
	return $m[-1][0] eq 'E' ? error_fields($m[-1])->{C} : '';
}

# Somebody who guesses without a pause, in a process of its own. Returns how to stop it, which tells
# how often each answer came.
sub besiege
{
	my ($user, $database) = @_;
	pipe(my $read, my $write) or die;
	my $pid = fork // die;
	if ($pid == 0) {
		my ($over, %codes) = (0);
		$SIG{TERM} = sub { $over = 1 };
		until ($over) {
			my $code = eval { code($user, 'wrong', $database) };
			$codes{$code}++ if defined $code;
		}
		syswrite $write, join ' ', %codes;
		close $write;
		require POSIX;
		POSIX::_exit(0);
	}
	close $write;
	return sub { kill TERM => $pid; my %codes = split ' ', <$read>; waitpid $pid, 0; return \%codes };
}

# ---------------------------------------------------------------- an application beside who guesses

sub beside
{
	my ($what, $user, $password, $database) = @_;
	is(code($user, $password, $database), '', "$what: the application logs in");
	my @stop = map { besiege($user, $database) } 1 .. 2;
	my ($began, $longest, %got) = (time, 0);
	while (time < $began + 12) {
		my $at = time;
		$got{ code($user, $password, $database) }++;
		$longest = time - $at if time - $at > $longest;
		usleep(200_000);
	}
	my %codes;
	for my $stop (@stop) {
		my $c = $stop->();
		$codes{$_} += $c->{$_} for keys %$c;
	}
	my $seconds = time - $began;
	is_deeply([ keys %got ], [''], "$what: it gets in at every login beside two who guess");
	cmp_ok($longest, '<', 8 * Meridian::Test::Proxy::slow(1), "$what: at most slowly");
	cmp_ok($codes{'28P01'} // 0, '<', 12, "$what: few guesses are answered");
	cmp_ok($codes{28000}, '>', 0, "$what: the others are refused");
	cmp_ok(($codes{'28P01'} // 0) + $codes{28000}, '<=', 4 + $seconds + 10, "$what: one a second");
	is($codes{''}, undef, "$what: and none is let in");
	return;
}

beside('scram', 'alice', 'wonder');
beside('passthrough', 'paul', 'plain', 'relayed');

# ---------------------------------------------------------------- nobody can tell who is there

sub answers { my ($user) = @_; my $at = time; return (join(' ', map { code($user, 'wrong') } 1 .. 6), time - $at) }

# A throttled pair has a turn every 2 s here.
$proxy->stop;
$proxy->write_conf(set => { auth_throttle_base => '20s' });
$proxy->start;
is(code('paul', 'plain'), '', 'one who has logged in');
my ($unknown, $took) = answers('nobody');
is($unknown, '28P01 28P01 28P01 28P01 28000 28000', 'a user whom nobody knows');
my ($never) = answers('late');
is($never, $unknown, 'one who has not logged in from there gets the same answers');
my ($trusted, $took_trusted) = answers('paul');
is($trusted, $unknown, 'so does one who has');
cmp_ok(abs($took_trusted - $took), '<', Meridian::Test::Proxy::slow(1), 'as slowly');
is(code('paul', 'plain'), '', 'who gets in');
is(code('late', 'x'), '28000', 'where the other one does not');
my %stats = map { $_->{counter} => $_->{value} } @{ $proxy->console('SHOW STATS') };
cmp_ok($stats{logins_delayed}, '>', 0, 'SHOW STATS counts who waited');
$proxy->stop;
done_testing();
