#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# TLS files that are no good, each in each way in which it can be: --check and the start end with a word for
# it; a reload says it, and what was in force stays.
use strict;
use warnings;
use Meridian::Test::Cluster qw(certificate);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Tls;
use Fcntl                   ();
use POSIX                   ();
use PostgreSQL::Test::Utils ();
use Test::More;

my ($old, $new) = (certificate('old'), certificate('new'));
my $dir = PostgreSQL::Test::Utils::tempdir();
my %file = (map { $_ => "$dir/$_" } qw(empty text half));
my $pem = PostgreSQL::Test::Utils::slurp_file($old->{cert});
PostgreSQL::Test::Utils::append_to_file($file{empty}, '');
PostgreSQL::Test::Utils::append_to_file($file{text},  "no certificate\n");
PostgreSQL::Test::Utils::append_to_file($file{half},  substr $pem, 0, length($pem) / 2);

my %listener = (tls_cert_file => $old->{cert}, tls_key_file => $old->{key}, tls_ca_file => $old->{ca});
my %region = (sslmode => 'verify-full', sslrootcert => $old->{ca}, sslcert => $old->{cert}, sslkey => $old->{key});

# [ section, option, what it is set to, what is said ]
my @cases;
for my $bad (qw(empty text half)) {
	push @cases, [ 'listener', 'tls_cert_file', $file{$bad}, qr/listener "\w+": could not load certificate file "?\Q$file{$bad}\E/ ],
	  [ 'listener', 'tls_key_file', $file{$bad}, qr/listener "\w+": could not load private key file "?\Q$file{$bad}\E/ ],
	  [ 'listener', 'tls_ca_file',  $file{$bad}, qr/listener "\w+": could not load CA file "?\Q$file{$bad}\E/ ],
	  [ 'region', 'sslrootcert', $file{$bad}, qr/region "us-east1": could not load root certificate file "?\Q$file{$bad}\E/ ],
	  [ 'region', 'sslcert',     $file{$bad}, qr/region "us-east1": could not load certificate file "?\Q$file{$bad}\E/ ],
	  [ 'region', 'sslkey',      $file{$bad}, qr/region "us-east1": could not load private key file "?\Q$file{$bad}\E/ ];
}
push @cases, [ 'listener', 'tls_key_file', $new->{key}, qr/listener "\w+": .*private key.*\Q$new->{key}\E.*key values mismatch/ ],
  [ 'region', 'sslkey', $new->{key}, qr/region "us-east1": .*private key.*\Q$new->{key}\E.*key values mismatch/ ],
  [ 'listener', 'tls_cert_file', $old->{key}, qr/listener "\w+": could not load certificate file/ ];
push @cases, map { [ 'listener', $_, "$dir/none", qr/$_.*\Q$dir\E\/none.*No such file/s ] } sort keys %listener;
push @cases, map { [ 'region', $_, "$dir/none", qr/$_.*\Q$dir\E\/none.*No such file/s ] } grep { $_ ne 'sslmode' } sort keys %region;
POSIX::mkfifo("$dir/pipe", 0600) or die "mkfifo: $!";
for my $not ([ pipe => "$dir/pipe" ], [ 'device', '/dev/zero' ], [ 'folder', $dir ]) {
	push @cases, map { [ 'listener', $_, $not->[1], qr/$_.*is not a regular file/s ] } sort keys %listener;
	push @cases, map { [ 'region', $_, $not->[1], qr/$_.*is not a regular file/s ] } grep { $_ ne 'sslmode' } sort keys %region;
}

sub conf
{
	my ($section, $option, $value) = @_;
	my %l = (%listener, $section && $section eq 'listener' ? ($option => $value) : ());
	my %r = (%region,   $section && $section eq 'region'   ? ($option => $value) : ());
	return (set => {%l}, regions => [ 'us-east1' => { nodes => '127.0.0.1:1', %r } ]);
}

# ---------------------------------------------------------------- at the start

my $unfit = Meridian::Test::Proxy->new('unfit', conf());
for my $case (@cases) {
	my ($section, $option, $value, $said) = @$case;
	my $name = "$option = " . ($value =~ s{.*/}{}r);
	$unfit->write_conf(conf(@$case));
	my $err = '';
	IPC::Run::run([ 'timeout', patience(30), $unfit->command('--check') ], '>', \my $out, '2>', \$err);
	isnt($?, 0, "$name: --check fails");
	like($err, $said, '... and says why');
}
$unfit->write_conf(conf(@{ $cases[0] }));
is($unfit->start(fail_ok => 1), 0, 'nor does it start with one of them');
$unfit->log_like($cases[0][3], '... for the same reason');

# ---------------------------------------------------------------- at a reload

my $proxy = Meridian::Test::Proxy->new('main', conf());
$proxy->start;

# Whose certificate is shown to who comes.
sub shown
{
	my $t = Meridian::Test::Tls->new($proxy, '-starttls', 'postgres', '-cert', $old->{cert}, '-key', $old->{key});
	my $whose;
	wait_until(sub { ($whose) = $t->said =~ /Peer certificate: CN ?= ?(\S+)/ }, 'a certificate');
	return $whose // $t->said;
}
is(shown(), 'old', 'a good one is shown');
for my $case (@cases) {
	my ($section, $option, $value, $said) = @$case;
	my $name = "$option = " . ($value =~ s{.*/}{}r);
	$proxy->write_conf(conf(@$case));
	my $from = length $proxy->log_text;
	my ($status, undef, $err) = $proxy->console_raw('RELOAD');
	isnt($status, 0, "$name: a reload fails");
	like($err, $said, '... and says why');
	like($proxy->log_text($proxy->{log_from} + $from), $said, '... in the log as well') if $option eq 'tls_key_file';
	my ($row) = grep { $_->{key} eq 'tls_cert_file' } @{ $proxy->console('SHOW CONFIG') };
	is($row->{value}, $old->{cert}, '... what is in force is what was') if $option eq 'tls_cert_file';
}
is(shown(), 'old', 'after all of them the good one is shown as before');
$proxy->write_conf(conf());
$proxy->write_conf(set => { tls_cert_file => $new->{cert}, tls_key_file => $new->{key} });
is($proxy->console_error('RELOAD'), '', 'another good one');
is(shown(), 'new', '... counts at once');

# ---------------------------------------------------------------- the configuration itself

# It was a file, and is a pipe: nobody waits for whoever may write to it, or not.
my $conf = $proxy->conf_file;
rename $conf, "$dir/conf" or die "rename: $!";
POSIX::mkfifo($conf, 0600) or die "mkfifo: $!";
like($proxy->console_error('RELOAD'), qr/no region is configured/, 'a pipe without a writer is no configuration');
sysopen my $writer, $conf, Fcntl::O_RDWR or die "$conf: $!";
like($proxy->console_error('RELOAD'), qr/could not read configuration file .*timed out/, 'nor is one whose writer says nothing');
is(shown(), 'new', 'and all is as it was');
close $writer;
unlink $conf;
rename "$dir/conf", $conf or die "rename: $!";
is($proxy->console_error('RELOAD'), '', 'a file again');
my $err = '';
IPC::Run::run([ 'bash', '-c', 'exec "$@" <(cat "$0")', $conf, grep { $_ ne $conf } $proxy->command('--check') ], '>', \my $out, '2>', \$err);
is($?, 0, 'what a shell makes of <(...) is read to its end') or diag $err;
$proxy->stop;
done_testing();
