# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::Migrator - the engine of migrations by itself (tests/tools/migrator), on clusters
# that stand for regions "a" and "b".
#
#   my $m = Meridian::Test::Migrator->new(a => $east, b => $west);
#   my ($rc, $out) = $m->run([ 'run', 1, 'prepare' ], id => 'p1', crash => 'one:before', env => {…});
#   my $running = $m->start([ 'run', 1, 'data' ], id => 'p2', lease => 1000, watch => 1);
#   $running->{pid}; $running->{out}; $running->finish
#
# Each call is a process, and stands for a proxy. The kind of migration that it knows leaves a row in
# table `did` of database `app` for everything it does: did('a', 1) are the words of migration 1.
package Meridian::Test::Migrator;
use strict;
use warnings;

use IPC::Run ();
use Meridian::Test::Patience;

sub new
{
	my ($class, %regions) = @_;
	return bless { regions => \%regions }, $class;
}

sub start
{
	my ($self, $command, %opt) = @_;
	my @words = ("$ENV{MERIDIAN_BUILDDIR}/tests/tools/migrator", '-i', $opt{id} || 'p1');
	push @words, '-l', $opt{lease} if $opt{lease};
	push @words, '-w' if $opt{watch};
	push @words, map { "$_=127.0.0.1:" . $self->{regions}{$_}->port } sort keys %{ $self->{regions} };
	my %env = (%{ $opt{env} || {} }, $opt{crash} ? (MERIDIAN_CRASH_AT => $opt{crash}) : ());
	my $run = { out => '' };
	local @ENV{ keys %env } = values %env;
	$run->{run} = IPC::Run::start([ @words, '--', @$command ], '<', \'', '>', \$run->{out}, '2>&1',
		run_limit(300));
	$run->{pid} = $run->{run}{KIDS}[0]{PID};
	return bless $run, 'Meridian::Test::Migrator::Run';
}

sub run
{
	my ($self, @args) = @_;
	my $run = $self->start(@args);
	my $rc  = $run->finish;
	return wantarray ? ($rc, $run->{out}) : $run->{out};
}

sub value
{
	my ($self, $region, $sql) = @_;
	return $self->{regions}{$region}->safe_psql('app', $sql);
}

# What was done there, in order.
sub did
{
	my ($self, $region, $id) = @_;
	return $self->value($region, "SELECT coalesce(string_agg(what || label, ' ' ORDER BY n), '') FROM did WHERE mig = $id");
}

# "name=state …" of the steps, where the migration is at home.
sub steps
{
	my ($self, $region, $id) = @_;
	return $self->value($region, "SELECT string_agg(name || '=' || state, ' ' ORDER BY n) FROM meridian.step WHERE mig = $id");
}

package Meridian::Test::Migrator::Run;
use strict;
use warnings;

# Its exit status; 256 more than a signal that ended it.
sub finish
{
	my ($self) = @_;
	$self->{run}->finish;
	die $self->{out} if $self->{out} =~ /Sanitizer/;
	my $status = ($self->{run}->full_results)[0];
	return $status & 127 ? 256 + ($status & 127) : $status >> 8;
}

sub pump_until
{
	my ($self, $pattern) = @_;
	$self->{run}->pump until $self->{out} =~ $pattern || !$self->{run}->pumpable;
	return $self->{out} =~ $pattern;
}

1;
