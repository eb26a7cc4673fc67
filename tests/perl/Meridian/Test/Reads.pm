# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::Reads - reads of a caller in Paris whose home is in New York.
#
#   my $proxy = near_proxy($home, $near, conf => "[database postgres]\n…", set => { workers => 2 });
#                                    # home in us-east1, a standby in europe-west1, both seen by their probes; name => 'second'
#   my $w = paris($proxy);           # a session (more of its startup packet: application_name => …)
#   calm($proxy);                    # nothing is under way any more: no session has a server
#   calmly($proxy, $w, $sql);        # asked then
#   extended($w, parse(…), …);       # with a Sync: "1 2 europe-west1 C Z"
#   is($w->ask($WHERE), 'europe-west1');
#   my $ran = tally($proxy);           # transactions since it was asked last: { 'near READ' => 12, 'home CHANGES' => 3, … }
#   is(misjudged($ran), '');         # those that were not read nearby at their first attempt
package Meridian::Test::Reads;
use strict;
use warnings;

use Exporter qw(import);
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(error_fields row_values sync_message);
use Test::More;

our @EXPORT = qw(calm calmly extended misjudged near_proxy paris tally $WHERE);
our $WHERE  = "SELECT current_setting('cluster_name')";

sub near_proxy
{
	my ($home, $near, %opt) = @_;
	my $proxy = Meridian::Test::Proxy->new($opt{name} // 'main',
		regions => [ 'us-east1' => { nodes => $home, cities => 'new york' }, 'europe-west1' => { nodes => $near, cities => 'paris' } ],
		set  => { auth => 'trust', workers => 1, region => 'us-east1', probe_interval => '100ms', probe_conninfo => 'user=postgres',
			failback_delay => 0, %{ $opt{set} // {} } },
		conf => $opt{conf});
	$proxy->start;
	ok($proxy->wait_console('SHOW NODES FULL',
			sub { join(' ', sort map { "$_->{region}=$_->{role}" } @{ $_[0] }) eq 'europe-west1=standby us-east1=primary' }),
		'a primary and its standby');
	return $proxy;
}

sub paris { my ($proxy, @more) = @_; return Meridian::Test::Wire->session($proxy, options => '-c meridian.city=paris', @more) }

sub calm
{
	my ($proxy) = @_;
	$proxy->wait_console('SHOW SESSIONS FULL', sub { !grep { $_->{server_pid} ne '' } @{ $_[0] } }) or fail('no session has a server any more');
	return;
}

sub calmly { my ($proxy, $w, @sql) = @_; calm($proxy); return $w->ask(@sql) }

sub extended
{
	my ($w, @messages) = @_;
	$w->send(join '', @messages, sync_message());
	return join ' ', map { $_->[0] eq 'D' ? row_values($_)->[0] : $_->[0] eq 'E' ? error_fields($_)->{C} : $_->[0] } $w->until('Z');
}

sub tally
{
	my ($proxy) = @_;
	my %now = map { ("$_->{runs} $_->{reason}" => $_->{transactions}) } @{ $proxy->console('SHOW READS') };
	my %since = map { ($_ => $now{$_} - ($proxy->{tallied}{$_} // 0)) } keys %now;
	$proxy->{tallied} = \%now;
	return \%since;
}

sub misjudged { my ($ran) = @_; return join ' ', grep { /BEHIND|REFUSED|MISJUDGED/ && $ran->{$_} } sort keys %$ran }

1;
