#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# No descriptor is left: sessions are refused in words, whoever says nothing has to go, administrators
# reach the console all the same, by the unix socket and by TCP, and a reload can still be read. At the
# start and at a reload it is said when the limit does not suffice for the configuration.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Measure qw(:all);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;

my ($node) = regional_clusters('us-east1');
my $limit = 120;
my $users = PostgreSQL::Test::Utils::tempdir() . '/users.txt';
PostgreSQL::Test::Utils::append_to_file($users, qq("admin" "secret"\n"postgres" ""\n));
chmod 0600, $users;
my $proxy = Meridian::Test::Proxy->new('main', regions => [ 'us-east1' => $node ],
	wrapper => [ 'sh', '-c', "ulimit -n $limit; exec \"\$@\"", 'sh' ],
	set => { auth_file => $users, admin_users => 'admin', client_login_timeout => NEVER });
$proxy->start;
my @login = (user => 'postgres', database => 'postgres');

sub wire { return Meridian::Test::Wire->new($proxy) }

sub console_by_tcp
{
	local $ENV{PGPASSWORD} = 'secret';
	return $proxy->console($_[0], connstr => { host => '127.0.0.1', user => 'admin' });
}

sub of_descriptors
{
	my %item = map { $_->{item} => $_->{descriptors} } @{ $proxy->console('SHOW DESCRIPTORS') };
	return \%item;
}

sub refused { return (map { $_->{value} } grep { $_->{counter} eq 'clients_without_descriptors' } @{ $proxy->console('SHOW STATS') })[0] }

# ---------------------------------------------------------------- what is said of the limit

$proxy->log_like(qr/max_client_conn = 1000 may need 2\d\d\d descriptors.*: the limit is $limit \(ulimit/, 'a limit that is too low is said at the start');
my $said = $proxy->reload(set => { max_client_conn => 20 });
unlike($said, qr/descriptors/, 'not where it suffices');
like($proxy->reload(set => { max_client_conn => 2000 }), qr/max_client_conn = 2000 may need 4\d\d\d descriptors/, 'and at a reload');
my $fresh = of_descriptors();
is($fresh->{limit}, $limit, 'SHOW DESCRIPTORS: the limit');
is($fresh->{reserve}, 15, 'a reserve is held');
cmp_ok($fresh->{needed}, '>', 4000, 'and more could be needed');
cmp_ok(abs($fresh->{open} - descriptors($proxy->pid)), '<=', 2, 'those that are open');
my $usual = descriptors($proxy->pid);

# ---------------------------------------------------------------- sessions, until there are no more

# 'in', an SQLSTATE, or 'closed'.
sub fate
{
	my ($w) = @_;
	my @all = eval { $w->login(@login) };
	return 'waits' if $@;
	return @all ? $all[-1][0] eq 'Z' ? 'in' : error_fields($all[-1])->{C} : 'closed';
}

my (@in, %out);
for (1 .. 60) {
	my $w = wire();
	my $fate = fate($w);
	if   ($fate eq 'in') { push @in, $w }
	else                 { $out{$fate}++ }
}
measured('%d are in, others: %s', scalar @in, join ' ', map { "$_:$out{$_}" } sort keys %out);
cmp_ok(scalar @in, '>', 20, 'descriptors are used');
is_deeply([ keys %out ], ['53300'], 'whoever has none is told, and nobody waits');
# One may be left, with which a client is heard whose server connection would find none.
my $spare = wire();
my $w = wire();
my $e = error_fields(($w->login(@login))[-1]);
is($e->{C}, '53300', 'FATAL 53300');
like($e->{D}, qr/no descriptors left/, 'with the reason');
ok($w->closed, 'and is closed');
is_deeply([ grep { $_->ask('SELECT 1') ne '1' } @in ], [], 'who is in does not notice');

# ---------------------------------------------------------------- administrators

my $before = refused();
ok($before > 0, 'the console is reached by the unix socket');
is(console_by_tcp('SHOW DESCRIPTORS')->[0]{descriptors}, $limit, 'and by TCP');
cmp_ok(of_descriptors()->{open}, '>', $limit - 15, 'there are indeed none');
fate(wire()) for 1 .. 5;
is(refused(), $before + 5, 'refusals are counted');
my $from = -s $proxy->logfile;
$proxy->write_conf(set => { max_client_conn => 19 });
console_by_tcp('RELOAD');
like($proxy->log_text($from), qr/configuration reloaded/, 'a configuration can be read');

# ---------------------------------------------------------------- silence

$from = -s $proxy->logfile;
my @silent = map { wire() } 1 .. 40;
my $ticks = cpu_ticks($proxy->pid);
for my $n (1 .. 3) {
	ok($proxy->console('SHOW VERSION'), "beside connections that say nothing the console is reached by the unix socket ($n)");
	let_pass(0.3, 'something spins');
}
ok(console_by_tcp('SHOW VERSION'), 'and by TCP');
cmp_ok(cpu_ticks($proxy->pid) - $ticks, '<', 60 * build_factor(), 'nothing spins meanwhile');
# one of them may have a descriptor that is not of the reserve
ok(wait_until(sub { 1 >= grep { $_->silent(0) } @silent, $spare }), 'who says nothing has to go');
$_->close for @silent, $spare;
is_deeply([ grep { $_->ask('SELECT 1') ne '1' } @in ], [], 'who is in has not noticed that either');

# ---------------------------------------------------------------- and back

$_->close for splice @in, 10;
ok(wait_until(sub { my $x = wire(); my $is = fate($x); $x->close; $is eq 'in' }), 'others get in when some leave');
is(of_descriptors()->{reserve}, 15, 'the reserve is whole again');
$_->close for @in;
ok(wait_until(sub { descriptors($proxy->pid) <= $usual }), 'and nothing is left over')
  or diag descriptors($proxy->pid) . " instead of $usual";
is($proxy->console('SHOW NODES FULL')->[0]{state}, 'up', 'no node was blamed');
$proxy->stop;
done_testing();
