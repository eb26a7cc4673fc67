#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# An application and somebody who guesses its password, behind one address: the application gets in
# at every login, the guesses stay bounded, and who guesses cannot tell a user who logs in there from
# one whom nobody knows. Guesses of one user from many addresses, and of many users from one, are
# bounded too, and nobody who has logged in from there notices.
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
my $users = PostgreSQL::Test::Utils::tempdir() . '/users.txt';
PostgreSQL::Test::Utils::append_to_file($users, qq("alice" "wonder"\n"paul" "plain"\n"late" "x"\n));
chmod 0600, $users;
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $node ],
	# time: one guess in auth_throttle_base is answered
	set => { auth => 'scram-sha-256', auth_file => $users, auth_throttle_after => 3, auth_throttle_base => '1s',
		auth_throttle_max => NEVER, workers => 2 },
	conf => "[database relayed]\ndbname = postgres\nauth = passthrough\n");
delete @ENV{qw(PGPASSWORD PGUSER)};
$proxy->start;

# What a login gets: '' or its SQLSTATE.
sub code
{
	my ($user, $password, $database, $from) = @_;
	my $w = Meridian::Test::Wire->new($proxy, from => $from // '127.0.0.2');
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
	my ($began, $end, $longest, %got) = (time, due_in(12), 0);
	until (is_due($end)) {
		my $at = time;
		$got{ code($user, $password, $database) }++;
		my $took = passed($at);
		$longest = $took if $took > $longest;
		let_pass(0.2, 'others guess');
	}
	my %codes;
	for my $stop (@stop) {
		my $c = $stop->();
		$codes{$_} += $c->{$_} for keys %$c;
	}
	my $seconds = passed($began);
	is_deeply([ keys %got ], [''], "$what: it gets in at every login beside two who guess");
	took($longest, 8, "$what: at most slowly");
	cmp_ok($codes{'28P01'} // 0, '<', 12, "$what: few guesses are answered");
	cmp_ok($codes{28000}, '>', 0, "$what: the others are refused");
	cmp_ok(($codes{'28P01'} // 0) + $codes{28000}, '<=', 4 + $seconds + 10, "$what: one a second");
	is($codes{''}, undef, "$what: and none is let in");
	return;
}

beside('scram', 'alice', 'wonder');
beside('passthrough', 'paul', 'plain', 'relayed');

# ---------------------------------------------------------------- nobody can tell who is there

sub answers { my ($user) = @_; my $at = time; return (join(' ', map { code($user, 'wrong') } 1 .. 6), passed($at)) }

# A throttled pair has a turn every 2 s here.
$proxy->stop;
$proxy->write_conf(set => { auth_throttle_base => '20s' });    # time: a throttled pair has a turn in a tenth of that
$proxy->start;
is(code('paul', 'plain'), '', 'one who has logged in');
my ($unknown, $took) = answers('nobody');
is($unknown, '28P01 28P01 28P01 28P01 28000 28000', 'a user whom nobody knows');
my ($never) = answers('late');
is($never, $unknown, 'one who has not logged in from there gets the same answers');
my ($trusted, $took_trusted) = answers('paul');
is($trusted, $unknown, 'so does one who has');
cmp_ok(abs($took_trusted - $took), '<', patience(1), 'as slowly');
is(code('paul', 'plain'), '', 'who gets in');
is(code('late', 'x'), '28000', 'where the other one does not');

sub delayed { my %n = map { $_->{counter} => $_->{value} } @{ $proxy->console('SHOW STATS') }; return $n{logins_delayed} }
cmp_ok(delayed(), '>', 0, 'SHOW STATS counts who waited');

# ---------------------------------------------------------------- many addresses, many users

# Ten times as many failures as of a pair are free to a user, and to an address.
$proxy->stop;
$proxy->write_conf(set => { auth_throttle_base => '5s' });    # time: there is a turn each 5 s
$proxy->start;
is(code('alice', 'wonder'), '', 'one who has logged in');

# How often each answer comes, of 40 addresses or of 40 users.
sub from_many { my ($user) = @_; my %n; $n{ code($user, 'wrong', undef, "127.0.1.$_") }++ for 1 .. 40; return \%n }
sub at_many   { my ($from) = @_; my %n; $n{ code("x$_", 'wrong', undef, $from) }++ for 1 .. 40; return \%n }

# Three right logins in a row, and that they do not wait.
sub unconcerned
{
	my ($what, @login) = @_;
	my $at = time;
	is_deeply([ map { code(@login) } 1 .. 3 ], [ ('') x 3 ], $what);
	in_time($at, 2, '... without a wait');
	return;
}

is_deeply(from_many('alice'), { '28P01' => 31, 28000 => 9 }, 'guesses from many addresses are bounded in total');
unconcerned('who has logged in from its address gets in', 'alice', 'wonder');
is(code('alice', 'wrong'), '28000', '... and a wrong password from there looks like those of others');
is_deeply(from_many('nobody'), { '28P01' => 31, 28000 => 9 }, 'a user whom nobody knows gets the same answers');
is(code('paul', 'plain', undef, '127.0.1.1'), '', 'the other users of those addresses notice nothing');
my ($row) = grep { $_->{user} eq 'alice' } @{ $proxy->console('SHOW USERS') };
ok($row->{limited_until}, 'SHOW USERS says so');
outlast(5, 'auth_throttle_base');
is(code('alice', 'wonder', undef, '127.0.1.200'), '', 'from a new address it gets in when there is a turn');
is(code('alice', 'wonder', undef, '127.0.1.201'), '', '... which a right login gives back');
is(code('alice', 'wrong', undef, '127.0.1.202'), '28000', 'a wrong password from a new address');
is(code('alice', 'wonder', undef, '127.0.1.203'), '28000', '... has the turn');

is(code('paul', 'plain', undef, '127.0.2.1'), '', 'one of many behind an address');
is_deeply(at_many('127.0.2.1'), { '28P01' => 31, 28000 => 9 }, 'guesses at many users from there are bounded in total');
unconcerned('who has logged in from there gets in', 'paul', 'plain', undef, '127.0.2.1');
is(code('paul', 'plain', 'relayed', '127.0.2.1'), '', '... under passthrough too');
is(code('late', 'x', undef, '127.0.2.1'), '28000', 'who has not waits until there is a turn');
unconcerned('other addresses notice nothing', 'paul', 'plain', undef, '127.0.2.2');
is(delayed(), 0, 'nobody has waited: a limit has no queue');
$proxy->stop;
done_testing();
