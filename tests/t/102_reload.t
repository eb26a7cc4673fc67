#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# What a reload says: for every option that there is, which has changed from what to what and when that
# counts, or why it cannot be; that nothing has changed; and at each reload again what waits for a restart.
use strict;
use warnings;
use Meridian::Test::Proxy;
use Test::More;

# No node is needed, and none is there.
my $region = "[region us-east1]\nnodes = 127.0.0.1:1\n";
my $proxy  = Meridian::Test::Proxy->new('main', set => { admin_users => 'one' }, conf => "$region\n[database *]\n");

# A file with these options besides: { meridian => [ "x = 1" ], region => …, database => … }
sub conf
{
	my (%more) = @_;
	my ($text) = $proxy->conf_text =~ /\A(.*?\n)(?=\[region)/s;
	for my $line (@{ $more{meridian} || [] }) {
		my ($name) = $line =~ /^(\w+)/;
		$text =~ s/^$name = .*\n//m;
		$text =~ s/^\[meridian\]\n/[meridian]\n$line\n/;
	}
	return join "\n", $text, $region, @{ $more{region} || [] }, '[database *]', @{ $more{database} || [] }, $more{rest} // '', '';
}

# (psql's status, what it was told)
sub reload
{
	my (%more) = @_;
	open my $out, '>', $proxy->conf_file or die $proxy->conf_file . ": $!";
	print $out conf(%more);
	close $out;
	my ($status, undef, $err) = $proxy->console_raw('RELOAD');
	return ($status, $err);
}

$proxy->start;

# ---------------------------------------------------------------- nothing, something, what waits, what is wrong

my ($status, $said) = reload();
is($status, 0, 'a reload');
like($said, qr/^NOTICE:  00000: no setting has changed$/m, 'nothing has changed: that is said');
$proxy->log_like(qr/configuration reloaded: no setting has changed/, 'in the log, too');

($status, $said) = reload(meridian => [ 'admin_users = one, two', 'max_client_conn = 77' ]);
like($said, qr/^NOTICE:  00000: 2 settings have changed\nDETAIL:  admin_users: one -> one, two \(new sessions\)\nmax_client_conn: \d+ -> 77 \(at once\)$/m,
	'two settings');
($status, $said) = reload(meridian => [ 'admin_users = one, two', 'workers = 3' ]);
like($said, qr/: 1 setting has changed, 1 waits for a restart\nDETAIL:  max_client_conn: 77 -> \d+ \(at once\)\nworkers: 2 -> 3 \(restart\)$/m,
	'one that counts, and one that waits');
($status, $said) = reload(meridian => [ 'admin_users = one, two', 'workers = 3' ]);
like($said, qr/: no setting has changed, 1 waits for a restart\nDETAIL:  workers: 2 -> 3 \(restart\)$/m, 'what waits is said again');
my ($row) = grep { $_->{key} eq 'workers' } @{ $proxy->console('SHOW CONFIG') };
is("$row->{value} $row->{pending}", '2 3', '... SHOW CONFIG has what is in force, and what waits');
is_deeply([ grep { $_->{pending} ne '' && $_->{key} ne 'workers' } @{ $proxy->console('SHOW CONFIG') } ], [], '... of nothing else is that said');
my $listens = join ' ', map { $_->{listen} } @{ $proxy->console('SHOW LISTENERS') };
reload(meridian => [ 'admin_users = one, two', 'workers = 3', 'listen_backlog = 77', 'listen = 127.0.0.1:1, 127.0.0.1:2, ' . $proxy->socket_dir ]);
is($proxy->console('SHOW listen_backlog')->[0]{listen_backlog}, 1024, '... SHOW of one option has what is in force');
is(join(' ', map { $_->{listen} } @{ $proxy->console('SHOW LISTENERS') }), $listens, '... SHOW LISTENERS has where is listened');
reload(meridian => [ 'admin_users = one, two', 'workers = 3' ]);
my $from = -s $proxy->logfile;
kill 'HUP', $proxy->pid;
$proxy->log_like(qr/configuration: workers: 2 -> 3 \(restart\).*configuration reloaded: no setting has changed, 1 waits for a restart/s,
	'by SIGHUP the log says the same', $from);
($status, $said) = reload(meridian => ['admin_users = one, two']);
like($said, qr/: no setting has changed$/m, 'nothing waits any more');
is_deeply([ grep { $_->{pending} ne '' } @{ $proxy->console('SHOW CONFIG') } ], [], '... in SHOW CONFIG neither');

($status, $said) = reload(rest => "[listener other]\nlisten = 127.0.0.1:1\n[listener lb]\nlisten = 127.0.0.1:2");
isnt($status, 0, 'listeners that come');
like($said, qr/55P02: listeners cannot be added or removed without a restart\nDETAIL:  \[listener other\] added \(restart\)\n\[listener lb\] added \(restart\)\nHINT:  Restart/,
	'each is named');
$proxy->log_like(qr/reload failed, the running configuration stays: listeners cannot.*configuration: \[listener lb\] added/s, 'in the log, too');
($status, $said) = reload(meridian => ['max_client_con = 3']);
like($said, qr/meridian\.conf:\d+.*max_client_con\b/, 'an option that is none is named');
($status, $said) = reload(meridian => ['admin_users = one']);
like($said, qr/: 1 setting has changed\nDETAIL:  admin_users: one, two -> one \(new sessions\)$/m, 'what failed has changed nothing');

# ---------------------------------------------------------------- every option

# Values that an option may have, by what the program says of it; those that need something else are refused.
sub values_of
{
	my ($what, $default) = @_;
	return ($default =~ /^on/ ? 'off' : 'on') if $what =~ /^on or off/;
	return (7, 11) if $what =~ /^a whole number/;
	return ('0.25') if $what =~ /^a number/;
	return ('0700') if $what =~ /^an octal number/;
	return ('7s', '8s') if $what =~ /^a time/;
	return ('3MB') if $what =~ /^a size/;
	return grep { $_ ne $default } split /, /, $1 if $what =~ /^one of (.*)/;
	return ('off', '0xe9') if $what =~ /^a type/;
	return ('48.85, 2.35') if $what =~ /degrees|^latitude|location/;
	return ('application_name=other') if $what =~ /keyword=value/;
	return ('10.1.2.0/24') if $what =~ /address block/;
	return ('FR') if $what =~ /country/;
	return ('other');
}

my ($section, @options) = ('');
for my $chunk (split /^(?=\[)|^(?=  \w+ =)/m, (Meridian::Test::Proxy::program_says('--help-config'))[1]) {
	$section = $1 if $chunk =~ /^\[(\w+)/;
	next unless $chunk =~ s/^  (\w+) = ?(.*)\n//;
	my ($name, $default) = ($1, $2);
	$chunk =~ s/\s+/ /g;
	my ($what, $when) = $chunk =~ /.*(?:Value|each item): (.*?)\. Takes effect: (at once|new sessions|restart)\./ or die "$section $name: $chunk";
	push @options, [ $section, $name, $default, $what, $when ];
}
cmp_ok(scalar(@options), '>', 100, scalar(@options) . ' options');
my %is_there = map { ("$_->[0] $_->[1]" => 1) } @options;
my $n = 0;
my ($accepted, $refused) = (0, 0);
for (@options) {
	my ($in, $name, $default, $what, $when) = @$_;
	next if $in eq 'listener' && $is_there{"meridian $name"};
	next if $name eq 'peers_only';    # it would close this way to the console
	my $where = $in eq 'listener' ? 'meridian' : $in;
	my ($changed, @said) = (0);
	for my $value (values_of($what, $default)) {
		($status, $said) = reload($where => ["$name = $value"]);
		push @said, $said;
		next if $status || $said =~ /: no setting has changed$/m;
		$changed = 1;
		last;
	}
	my $prefix = $in eq 'region' ? '\[region us-east1\] ' : $in eq 'database' ? '\[database \*\] ' : '';
	if ($changed) {
		like($said, qr/^(?:DETAIL:  )?$prefix$name: .* -> .* \($when\)$/m, "$in $name: what has changed, and when it counts");
		$accepted++;
	} else {
		like($said[-1], qr/ERROR:.*\b$name\b/s, "$in $name: refused by its name");
		$refused++;
	}
}
cmp_ok($accepted, '>', 2 * $refused, "$accepted were changed, $refused could not be by themselves");
$proxy->stop;
done_testing();
