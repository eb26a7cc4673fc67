#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Tokens: what a session has seen, carried to another session and another proxy; and the settings of reads nearby.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters regional_standby);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::WebSocket;
use Meridian::Test::Wire qw(:build);
use Test::More;

my ($home) = regional_clusters('us-east1', { streaming => 1 });
$home->safe_psql('postgres', 'CREATE TABLE r (v int); INSERT INTO r VALUES (0); CREATE ROLE plain LOGIN IN ROLE pg_monitor');
my $near = regional_standby($home, 'europe-west1');
my $far  = regional_standby($home, 'asia-east1');
$far->append_conf('postgresql.conf', "primary_conninfo = '" . $near->connstr . " user=postgres application_name=asia-east1'");
$far->reload;
my $wait = span(0.02);

sub proxy
{
	my ($name, $role) = @_;
	my $proxy = Meridian::Test::Proxy->new($name,
		regions => [ 'us-east1' => { nodes => $home, cities => 'new york' }, 'europe-west1' => { nodes => $near, cities => 'paris' },
			'asia-east1' => { nodes => $far, cities => 'taipei' } ],
		set  => { auth => 'trust', http => 'on', workers => 1, region => 'us-east1', probe_interval => '100ms', probe_conninfo => "user=$role", failback_delay => 0 },
		conf => "[database postgres]\npool = transaction\nreads = nearest\nconsistency_wait = $wait\n"
		  . "[database quiet]\ndbname = postgres\npool = transaction\nconsistency_wait = $wait\n"
		  . "[database single]\ndbname = postgres\npool = session\n");
	$proxy->start;
	ok($proxy->wait_console('SHOW NODES FULL', sub { join(' ', sort map { "$_->{region}=$_->{role}" } @{ $_[0] }) eq 'asia-east1=standby europe-west1=standby us-east1=primary' }),
		"$name: a primary and its standbys");
	return $proxy;
}
my @proxies = (proxy('main', 'postgres'), proxy('second', 'plain'));

sub session { my ($proxy, %set) = @_; return Meridian::Test::Wire->session($proxy, options => '-c meridian.city=paris', %set) }
sub calm { my ($proxy) = @_; $proxy->wait_console('SHOW SESSIONS FULL', sub { !grep { $_->{server_pid} ne '' && $_->{database} ne 'single' } @{ $_[0] } }); return }
sub standby { $near->safe_psql('postgres', "SELECT pg_wal_replay_$_[0]()"); return }
my $where = "SELECT current_setting('cluster_name')";
my $read  = "SELECT v || ' ' || current_setting('cluster_name') FROM r";
my ($one, $two) = @proxies;

# ---------------------------------------------------------------- the settings

my $w = session($one, database => 'quiet');
is($w->ask('SHOW meridian.reads'), 'home', 'a session has what its database has');
is($w->ask('SHOW meridian.consistency'), 'session', '... all of it');
is($w->ask($where), 'us-east1', 'and reads at home');
is($w->ask('SET meridian.reads = nearest'), '', 'unless it says so itself');
is($w->ask('SHOW meridian.reads'), 'nearest', '... which it is told');
ok(wait_until(sub { calm($one); $w->ask($where) eq 'europe-west1' }), '... and which is obeyed');
is($w->ask('SET meridian.reads = home', $where), 'us-east1', 'and taken back');
$w->ask('SET meridian.reads = nearest', "SELECT set_config('meridian.consistency', 'eventual', false)");
is($w->ask('SHOW meridian.consistency'), 'eventual', 'set_config()');
ok(wait_until(sub { calm($one); $w->ask($where) eq 'europe-west1' }), '... is obeyed, too');
standby('pause');
$w->ask('UPDATE r SET v = v + 1');
calm($one);
is($w->ask($read), '0 europe-west1', 'consistency = eventual: it reads less than it has written');
$w->ask('SET meridian.consistency = session', 'UPDATE r SET v = v + 1');
calm($one);
is($w->ask($read), '2 us-east1', 'consistency = session: it does not');
standby('resume');
$w->ask('RESET meridian.reads', 'RESET ALL');
is($w->ask('SHOW meridian.reads') . $w->ask('SHOW meridian.consistency'), 'homesession', 'RESET');
$w->ask('BEGIN', 'SET meridian.reads = nearest');
is($w->ask("SET meridian.reads = far") , '22023 invalid value for parameter "meridian.reads": "far"', 'a word that is none');
is($w->ask('SELECT 1'), '25P02 current transaction is aborted, commands ignored until end of transaction block', '... ends its transaction');
$w->ask('ROLLBACK');
$w->send(parse('SET meridian.consistency = never') . bind_message([]) . execute('') . sync_message);
is($w->answer, '22023 invalid value for parameter "meridian.consistency": "never"', '... also in the extended protocol');
$w->send(query("SELECT 1; SET meridian.lost_wal = 'x'; SELECT 2"));
is($w->answer, '22023 invalid value for parameter "meridian.lost_wal": "x"', '... and among others');

my $started = session($one, database => 'quiet', options => '-c meridian.city=paris -c meridian.reads=nearest -c meridian.consistency=eventual');
is($started->ask($where), 'europe-west1', 'in the startup packet');
is($started->ask('SET meridian.reads = home', 'RESET meridian.reads', 'SHOW meridian.reads'), 'nearest', '... to which RESET leads back');

sub refused
{
	my ($proxy, %param) = @_;
	my $w = Meridian::Test::Wire->new($proxy);
	my @all = $w->login(database => 'postgres', user => 'postgres', %param);
	return $all[-1][0] eq 'E' ? join ' ', map { $_ // '' } @{ error_fields($all[-1]) }{qw(C M)} : $all[-1][0];
}
is(refused($one, options => '-c meridian.reads=far'), '22023 invalid value for parameter "meridian.reads": "far"', 'a wrong one is refused');
is(refused($one, database => 'single', 'meridian.reads' => 'nearest'), '55P02 parameter "meridian.reads" cannot be set in this session', 'so is one without a transaction pool');
is(refused($one, database => 'single', 'meridian.reads' => 'home'), 'Z', '... unless it asks for nothing');
is(refused($one, 'meridian.read' => 'home') =~ s/^(\S+) .*/$1/r, '42704', 'so is an unknown one');
my $single = session($one, database => 'single');
is($single->ask('SET meridian.reads = nearest'), '55P02 parameter "meridian.reads" cannot be set in this session', 'or with one that is not');
is($single->ask('SHOW meridian.reads'), 'home', '... which stays as it is');

# ---------------------------------------------------------------- tokens

my $token = qr/^m1\.[0-9a-f]{1,16}\.1\.[0-9a-f]+$/;
my $caught_up = sub { $near->poll_query_until('postgres', "SELECT v = $_[0] FROM r") };
my ($writer, $reader) = (session($one), session($one));
$writer->ask('UPDATE r SET v = 10');
my $first = $writer->ask('SHOW meridian.token');
like($first, $token, 'a token, directly behind a write');
$caught_up->(10);
standby('pause');
$writer->ask('UPDATE r SET v = 11');
my $t = $writer->ask('SHOW meridian.token');
cmp_ok(hex(($t =~ /(\w+)$/)[0]), '>', hex(($first =~ /(\w+)$/)[0]), 'it grows with the next');
calm($one);
is($writer->ask('SHOW meridian.token'), $t, '... and says the same when its server has told it');
for my $proxy (@proxies) {
	my $name = $proxy == $one ? 'another session' : 'another proxy';
	my $w    = session($proxy);
	is($w->ask($read), '10 europe-west1', "$name reads what the standby has");
	calm($proxy);
	is($w->ask("SET meridian.token = '$t'"), '', '... takes the token');
	calm($proxy);
	is($w->ask($read), '11 us-east1', '... and reads no less than that');
	is(session($proxy, options => "-c meridian.city=paris -c meridian.token=$t")->ask($read), '11 us-east1', 'so it does with a token in its startup packet');
	$w = session($proxy, 'meridian.token' => $first);
	is($w->ask($read), '10 europe-west1', 'one that the standby has replayed is read there');
	is($w->ask('SHOW meridian.token') =~ $token, 1, '... and it has a token of its own');
}
for my $how ([ 'a query', sub { $_[0]->ask($_[1]) } ], [ 'Parse', sub { $_[0]->send(parse($_[1]) . bind_message([]) . execute('') . sync_message); $_[0]->answer } ],
	[ 'a query, byte by byte', sub { $_[0]->send_split(query($_[1]), 1); $_[0]->answer } ]) {
	my ($name, $ask) = @$how;
	my $w = session($two);
	is($ask->($w, "$read /*action='show',meridian_token='$first',route='%2Fr'*/"), '10 europe-west1', "$name with a token in its comment, which the standby has replayed");
	calm($two);
	is($ask->($w, "$read /*meridian_token='$t'*/"), '11 us-east1', '... and one which it has not');
	calm($two);
	is($ask->($w, $read), '11 us-east1', '... which the session has seen from then on');
	calm($two);
	is($ask->($w, "$read /*meridian_token='m2.1.1.1'*/"), '22023 invalid value for parameter "meridian.token": "m2.1.1.1"', '... and one that is none');
	calm($two);
	like($ask->($w, "$read /*meridian_token='m1.1.1.1'*/"), qr/^22023 invalid value/, '... and one of another cluster');
	is($ask->($w, $read), '11 us-east1', '... which leave the session as it is');
}
is(session($two)->ask("SELECT '/*meridian_token=''$t''*/' <> '', v || current_setting('cluster_name') FROM r"), 't,10europe-west1', 'a string is no comment');
sub in_websocket
{
	my ($said, %set) = @_;
	my $w = Meridian::Test::WebSocket->new($two, headers => ["Meridian-Token: $said"]);
	my @all = $w->login(database => 'postgres', user => 'postgres', options => '-c meridian.city=paris', %set);
	return $all[-1][0] eq 'Z' ? $w->ask($read) : join ' ', @{ error_fields($all[-1]) }{qw(C M)};
}
is(in_websocket($first), '10 europe-west1', 'a WebSocket with a token in its header, which the standby has replayed');
is(in_websocket($t), '11 us-east1', '... and one which it has not');
is(in_websocket($first, 'meridian.token' => $t), '11 us-east1', '... and one beside that of its startup packet');
is(in_websocket('m1.' . '1' x 200), '22023 invalid value for parameter "meridian.token": "m1.' . '1' x 61 . '"', '... and one that is none');
like(in_websocket('m1.1.1.1'), qr/^22023 invalid value/, '... and one of another cluster');
is(in_websocket($t, database => 'single'), '55P02 parameter "meridian.token" cannot be set in this session', '... and a session that cannot obey it');
$reader->ask("SET meridian.token = '$t'", "SET meridian.token = '$first'");
calm($one);
is($reader->ask($read), '11 us-east1', 'an older token does not take back a newer one');
standby('resume');
$caught_up->(11);
is(session($two, 'meridian.token' => $t)->ask($read), '11 europe-west1', 'and nearby, once the standby has it');

$writer->send(query('UPDATE r SET v = 12') . query('SHOW meridian.token'));
$writer->answer;
standby('pause');
is(session($two, 'meridian.token' => $writer->answer)->ask($read) =~ /^12 /, 1, 'a token that is asked for in one go with the write');
standby('resume');
$writer->send(parse('SHOW meridian.token', 'p') . bind_message([], 'p') . execute('') . sync_message);
$t = $writer->answer;
$writer->ask('UPDATE r SET v = 13');
$writer->send(bind_message([], 'p') . execute('') . sync_message);
isnt($writer->answer, $t, 'one that is prepared is asked for each time');
like($single->ask('SHOW meridian.token'), $token, 'a session that does not read nearby has a token');
like(session($one, user => 'plain')->ask('UPDATE r SET v = 1', 'SHOW meridian.token'), $token, '... and so has a role without rights');

# ---------------------------------------------------------------- reported

$w = session($one, database => 'quiet', 'meridian.report_token' => 'on');
my %reported;
sub reported { my ($w) = @_; return $w->{told} =~ /^meridian\.token=([^;]+);$/ ? $1 : $w->{told} }
for ('UPDATE r SET v = 14', 'UPDATE r SET v = 15; SELECT 1', 'CREATE TEMP TABLE mine (i int)', 'DROP TABLE mine', 'COMMIT') {
	$w->ask('BEGIN', 'UPDATE r SET v = 16') if $_ eq 'COMMIT';
	$w->ask($_);
	like(reported($w), $token, "$_: the client is told the token in front of ReadyForQuery");
	$reported{ reported($w) } = 1;
}
is(keys %reported, 5, 'each time another one');
$w->send(parse('UPDATE r SET v = 17') . bind_message([]) . execute('') . sync_message . query('UPDATE r SET v = 18') . query('UPDATE r SET v = 19'));
$w->answer for 1 .. 3;
my $told = reported($w);
like($told, $token, 'a pipeline tells it at its end');
standby('pause');
is(session($two, 'meridian.token' => $told)->ask($read) =~ /^19 /, 1, '... and that is a token of all of it');
standby('resume');
$w->ask('SET meridian.report_token = off', 'UPDATE r SET v = 13');
is($w->{told}, '', 'off');
$w->ask('SET meridian.report_token = yes', 'UPDATE r SET v = 13');
like(reported($w), $token, 'and on');

# ---------------------------------------------------------------- carried at random

# What was written last, by whichever session and proxy, and its token; readers have it in one way or another, or not at all. How often
# a reader has read less.
sub carried
{
	my ($steps, $with) = @_;
	my @w = map { session($_) } @proxies, @proxies;
	my ($paused, $wrong) = (0, 0);
	for (1 .. $steps) {
		my $writer = $w[int rand @w];
		my $v      = $writer->ask('UPDATE r SET v = v + 1 RETURNING v');
		my $token  = $writer->ask('SHOW meridian.token');
		if (rand() < 0.3) { standby($paused ? 'resume' : 'pause'); $paused = !$paused }
		my $reader = rand() < 0.3 ? session($proxies[ rand @proxies ], $with ? ('meridian.token' => $token) : ()) : $w[int rand @w];
		$reader->ask("SET meridian.token = '$token'") if $with;
		calm($_) for rand() < 0.5 ? @proxies : ();
		$wrong++ if $reader->ask('SELECT v FROM r') < $v;
	}
	standby('resume') if $paused;
	return $wrong;
}
my $seed = $ENV{READS_SEED} // int rand 1e9;
srand $seed;
note "READS_SEED=$seed";
is(carried(60, 1), 0, "no reader with a token reads less than what that is of (READS_SEED=$seed)");
ok(wait_until(sub { carried(20, 0) > 0 }), 'without, the checker finds that');

# ---------------------------------------------------------------- what is refused

my ($id, $rest) = $t =~ /^m1\.(\w)\w*?(\..*)$/;
my $foreign = 'm1.' . ($t =~ /^m1\.(\w+)\./)[0] =~ s/^(\w)/$1 eq '7' ? '6' : '7'/er . '.1.1';
my $invalid = '22023 invalid value for parameter "meridian.token": ';
is($reader->ask("SET meridian.token = '$foreign'"), qq($invalid"$foreign"), 'a token of another cluster is refused');
is(refused($one, 'meridian.token' => $foreign), qq($invalid"$foreign"), '... in a startup packet, too');
is($reader->ask("SET meridian.token = 'x'"), qq($invalid"x"), 'so is what is none');
is(refused($one, 'meridian.token' => 'x'), qq($invalid"x"), '... in a startup packet, too');
is($reader->ask("SELECT set_config('meridian.token', 'x', false)"), qq($invalid"x"), '... and in set_config()');
is($single->ask("SET meridian.token = '$t'") =~ s/ .*//r, '55P02', 'and any where no session can keep it');
ok(wait_until(sub { calm($one); $reader->ask($read) =~ / europe-west1$/ }), 'nothing of them counts');

# ---------------------------------------------------------------- a fail-over

# The last that the standbys get, and what they do not.
$w = session($one, database => 'quiet');
$w->ask('UPDATE r SET v = 20');
my $kept = $w->ask('SHOW meridian.token');
$caught_up->(20);
ok($far->poll_query_until('postgres', 'SELECT v = 20 FROM r'), 'both standbys have it');
my $shown = session($one);
is($shown->ask($read), '20 europe-west1', 'a session reads nearby') for 1, 2;
$near->stop;
ok($one->wait_console('SHOW NODES FULL', sub { grep { $_->{region} eq 'europe-west1' && $_->{state} eq 'down' } @{ $_[0] } }), 'that standby is known to be down');
$w->ask('UPDATE r SET v = 21');
my $lost = $w->ask('SHOW meridian.token');
my %living = map { ($_ => session($one, 'meridian.lost_wal' => /fail/ ? 'fail' : 'home')) } 'a read', 'a write', 'BEGIN', 'fails', 'waits', 'waits and fails';
$_->ask('UPDATE r SET v = 21') for values %living;
calm($one);    # how far they have written has been said
$home->stop('immediate');
$living{$_}->send(query($read)) for 'waits', 'waits and fails';
$near->start;
$near->promote;
for my $proxy (@proxies) {
	ok($proxy->wait_console('SHOW NODES FULL', sub { join(' ', sort map { "$_->{region}=$_->{role}/" . ($_->{timeline} // '') } grep { $_->{region} ne 'us-east1' } @{ $_[0] }) eq 'asia-east1=standby/2 europe-west1=primary/2' }),
		'another primary, on another timeline');
}

# What the answer to a read says, with the warning in front of it.
sub heard
{
	my ($w) = @_;
	return join ' ', map { my $f = $_->[0] =~ /[NE]/ && error_fields($_); $_->[0] eq 'D' ? row_values($_)->[0] : $f && $f->{S} ne 'NOTICE' ? "$f->{S} $f->{C}" : () } $w->until('Z');
}
sub told { my ($w, $sql) = @_; $w->send(query($sql // $read)); return heard($w) }
sub taipei { my ($proxy, %set) = @_; return session($proxy, options => '-c meridian.city=taipei', %set) }

ok(wait_until(sub { told(taipei($one)) eq '20 asia-east1' }), 'a caller in Taipei reads there');
is(told(taipei($one, 'meridian.token' => $kept)), '20 asia-east1', 'a token of the timeline that was left, from before that');
$w = taipei($one, 'meridian.token' => $lost);
is(told($w), 'WARNING 01000 20 europe-west1', 'one of what was lost: at home, with a warning');
calm($one);
ok(wait_until(sub { calm($one); told($w) eq '20 asia-east1' }), '... and what home has is what it has seen from then on');
$w = taipei($one);
$w->ask($where);
for my $sql ("SET meridian.token = '$lost'", "SELECT set_config('meridian.token', '$lost', false)") {
	like(told($w, $sql), qr/^WARNING 01000/, "$sql: with a warning, at once");
}
is(told($shown), '20 europe-west1', 'who has only read at the new primary, before it was started again, is told nothing');
is(heard($living{waits}), 'WARNING 01000 20 europe-west1', 'a session that lives on, and has waited for a home: with a warning');
like(heard($living{'waits and fails'}), qr/^(?:ERROR 55000|WARNING 01000 20 europe-west1)$/, '... or an error, where it is known that it was lost');
is(told($living{'a read'}), 'WARNING 01000 20 europe-west1', 'one that has said nothing meanwhile: a read is with a warning');
is(told($living{'a read'}), '20 europe-west1', '... once');
is(told($living{'a write'}, 'UPDATE r SET v = v'), 'WARNING 01000', '... and so is a write');
is(told($living{BEGIN}, 'BEGIN'), 'WARNING 01000', '... and a transaction');
$living{BEGIN}->ask('ROLLBACK');
is(told($living{fails}), 'ERROR 55000', '... or it is an error');

# What is to fail does, wherever it stands, and however it comes.
my $pieces = taipei($one, 'meridian.lost_wal' => 'fail', 'meridian.token' => $lost);
my %unit   = (
	read        => [ query($read), '55000' ],
	write       => [ query('UPDATE r SET v = 20 RETURNING 0'), '0' ],
	extended    => [ parse($read) . bind_message([]) . execute('') . sync_message, '55000' ],
	both        => [ parse('UPDATE r SET v = 20') . bind_message([]) . execute('') . parse('SELECT 1') . bind_message([]) . execute('') . sync_message, '1' ],
	transaction => [ query('BEGIN') . query('SELECT 2') . query('COMMIT'), '', '2', '' ]);
my $wrong = 0;
for (1 .. 200) {
	my @said = map { (sort keys %unit)[ rand keys %unit ] } 0 .. rand 5;
	$pieces->send_split(join('', map { $unit{$_}[0] } @said), 5 + int rand(rand() < 0.5 ? 40 : 300));
	my @want = map { @{ $unit{$_} }[ 1 .. $#{ $unit{$_} } ] } @said;
	my @got  = map { $pieces->answer =~ s/^55000 .*/55000/r } @want;
	next if "@got" eq "@want";
	diag "@said: @got";
	$wrong++;
}
is($wrong, 0, "what reads is an error, and nothing else, in whatever pieces it comes (READS_SEED=$seed)");

$w = taipei($one, 'meridian.token' => $lost, 'meridian.lost_wal' => 'fail');
is(told($w), 'ERROR 55000', 'lost_wal = fail: an error');
$w->send(parse($read) . bind_message([]) . execute('') . sync_message . query('SELECT 7'));
like($w->answer, qr/^55000 /, '... in the extended protocol, too');
like($w->answer, qr/^55000 /, '... for each read');
is($w->ask('UPDATE r SET v = 22 RETURNING v'), '22', '... and for no write');
$w->send(query("BEGIN") . query('SELECT 1') . query('COMMIT'));
is(join(' ', map { $w->answer } 1 .. 3), ' 1 ', '... nor in a transaction');
$w->send(parse("UPDATE r SET v = 22 WHERE false RETURNING v") . bind_message([]) . execute('') . flush_message);
$w->until('C');
$w->send_split(sync_message . query("SELECT 1 FROM r FOR UPDATE"), 3);
is($w->answer . $w->answer, '1', '... nor in what the client goes on with');
calm($one);
is(told($w), 'ERROR 55000', '... which changes nothing');
$w->ask('RESET meridian.token');
like(told($w), qr/^22 /, '... until the session forgets it');
$w = taipei($two, 'meridian.token' => $kept);
is(told($w), 'WARNING 01000 22 europe-west1', 'where the end of the timeline is not known: at home, with a warning');
$w = taipei($two);
is(told($w, 'UPDATE r SET v = 22 RETURNING v'), '22', 'who has written on the new timeline ...');
calm($two);
like(told($w, "SET meridian.token = '$lost'"), qr/^WARNING 01000/, '... and is given a token of the one before is warned, too');
like(told($w), qr/^22 (?:europe-west1|asia-east1)$/, '... and reads no less, wherever that has been replayed by then');

$_->stop for @proxies;
done_testing();
