# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::Bent - sessions of messages that are bent at random, and what comes back.
#
#   use Meridian::Test::Bent;
#
#   my $bytes = bent_session(42);                         # the same for the same number
#   my $want  = transcript(port => $node->port, $bytes);  # what PostgreSQL itself answers
#   my $got   = transcript(port => $proxy->port, $bytes);
#   is(unlike_transcript($got, $want, $bytes), '', 'the same through Meridian');
#   compare_bent(1 .. 60);                                # such sessions, in passthrough and in a pool
#
# A session is a dozen messages of all types, most as they should be and some with a wrong length,
# type, or body, cut, doubled, or with bytes between them; it ends with Syncs and Terminates, so that
# the server ends it whatever it has made of the rest.
package Meridian::Test::Bent;
use strict;
use warnings;

use Exporter qw(import);
use Meridian::Test::Chaos;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use Test::More;

our @EXPORT = qw(bent_session transcript unlike_transcript compare_bent);

sub pick { return $_[ rand @_ ] }

# In a pool what SQL prepares has no names in common with what Parse does: q1 is not s1.
my @names = ('', '', 's1', 's2');
my @sql = ('SELECT 1', 'SELECT 2; SELECT 3', 'BEGIN', 'COMMIT', 'ROLLBACK', 'SELECT 1/0', 'SELEC', '', ';', 'SAVEPOINT a', 'ROLLBACK TO a',
	'DISCARD PLANS', "SELECT repeat('x', 20000)", 'COPY (SELECT generate_series(1, 3)) TO STDOUT', 'PREPARE q1 AS SELECT 7', 'EXECUTE q1',
	'DEALLOCATE s1', 'DEALLOCATE q1', 'DEALLOCATE ALL');
my @make = (
	(sub { query(pick(@sql)) }) x 4,
	(sub { query('COPY bent FROM STDIN') . join '', copy_end() }) x 1,
	(sub { parse(pick('SELECT $1::int', 'SELECT 5', 'SELEC', 'SELECT $1::text, $2::int', @sql), pick(@names)) }) x 3,
	(sub { bind_message([ (pick('1', 'x', undef)) x int rand 3 ], pick(@names), pick('', '', 'p')) }) x 3,
	(sub { describe(pick('S', 'P', 'X'), pick(@names)) }) x 2,
	(sub { execute(pick('', '', 'p'), pick(0, 1)) }) x 3,
	(sub { close_message(pick('S', 'P', 'X'), pick(@names)) }),
	(sub { sync_message }) x 4,
	sub { flush_message },
	sub { function_call(pick(0, 1598, 89), pick('', 'abcd')) },
	sub { password('x') },
	sub { copy_end() },
	sub { frame(pick('z', 'R', 'Z', "\0", "\xff"), 'what') });

sub copy_end { return (map { copy_data(pick("1\n", "2\n", "x\n", '1')) } 1 .. rand 3), pick(copy_done, copy_done, copy_fail('no'), '') }

my @bend = (
	sub { my ($m) = @_; substr($m, 1, 4) = pack 'N', pick(0, 1, 3, 4, 0x7fffffff, 0x80000000, 0xffffffff, 0x3fffffff); return $m },
	sub { my ($m) = @_; substr($m, 1, 4) = pack 'N', length($m) - 1 + pick(-2, -1, 1, 2, 5, 10); return $m },
	sub { my ($m) = @_; substr($m, 0, 1) = pick('Q', 'P', 'B', 'E', 'D', 'C', 'S', 'H', 'F', 'd', 'c', 'f', 'p', 'X', 'y', "\1"); return $m },
	sub { my ($m) = @_; return $m if length $m < 6; substr($m, 5 + rand(length($m) - 5), 1) = chr rand 256; return $m },
	sub { my ($m) = @_; my $body = substr $m, 5; return frame(substr($m, 0, 1), substr $body, 0, rand 1 + length $body) },
	sub { my ($m) = @_; return frame(substr($m, 0, 1), substr($m, 5) . join '', map { chr rand 256 } 0 .. rand 8) },
	sub { my ($m) = @_; return $m . $m },
	sub { my ($m) = @_; return $m . join '', map { chr rand 256 } 0 .. rand 6 });

sub bent_session
{
	my ($seed) = @_;
	srand $seed;
	while (1) {
		my $bytes = some_messages();
		return $bytes if defined has_bad_length($bytes);
	}
}

sub some_messages
{
	my $bytes = '';
	for (1 .. 4 + rand 12) {
		my $m = join '', pick(@make)->();
		$m = pick(@bend)->($m) if length $m > 4 && rand 6 < 1;
		$bytes .= $m;
	}
	return $bytes . sync_message() x 20 . terminate() x 4;
}

# What came, message by message: its type, and of an error its severity and SQLSTATE, of others what
# they say. How the connection ended is the last.
sub transcript
{
	my ($how, $where, $bytes, %login) = @_;
	my $w = Meridian::Test::Wire->new($how => $where);
	$w->login(database => 'postgres', user => 'postgres', %login);
	my @said;
	$w->send($bytes);
	while (1) {
		my $m = eval { $w->message };
		return [ @said, $@ ? 'silence' : 'closed' ] if !$m;
		push @said, join ' ', grep { defined } word($m) if $m->[0] ne 'S';
	}
}

sub word
{
	my ($m) = @_;
	my ($type, $body) = @$m;
	if ($type eq 'E' || $type eq 'N') {
		my $e = error_fields($m);
		return ($type, @$e{qw(V C)});
	}
	return ($type, $type eq 'T' ? length $body : $body =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ger);
}

# Whether there is a message that no server reads, for its length. Undefined where the last one is not
# whole: everybody would wait for the rest of it.
sub has_bad_length
{
	my ($bytes) = @_;
	my $at = 0;
	while ($at < length $bytes) {
		return undef if $at + 5 > length $bytes;
		my ($type, $len) = unpack 'a1 N', substr $bytes, $at, 5;
		return 1 if $len < 4 || $len > ($type =~ /[CDEHScfX]/ ? 10000 : 0x3ffffffe);
		$at += 1 + $len;
	}
	return $at == length $bytes ? 0 : undef;
}

# '', or how they differ. With a message whose length is none Meridian says so, and need not wait for
# the answers to those before it; and where a server leaves without a word it says that.
sub unlike_transcript
{
	my ($got, $want, $bytes) = @_;
	my $i = 0;
	$i++ while $i < @$got && $i < @$want && $got->[$i] eq $want->[$i];
	return '' if $i == @$got && $i == @$want;
	my ($rest, $due) = map { join ', ', @$_[ $i .. $#$_ ] } $got, $want;
	return '' if $rest eq 'E FATAL 08P01, closed' && has_bad_length($bytes);
	return '' if $rest eq 'E FATAL 57P01, closed' && $due eq 'closed';
	return sprintf "after %d the same: got (%s), want (%s)", $i, map { join ', ', map { substr $_, 0, 60 } @$_[ $i .. ($#$_ < $i + 6 ? $#$_ : $i + 6) ] } $got, $want;
}

# ---------------------------------------------------------------- the test

sub proxy
{
	my ($kind, $node) = @_;
	my $proxy = Meridian::Test::Proxy->new($kind, regions => [ 'us-east1' => $node ],
		set  => { workers => 1, auth => $kind eq 'passthrough' ? $kind : 'trust', default_pool_size => 3 },
		conf => $kind eq 'passthrough' ? '' : "[database postgres]\npool = transaction\n");
	$proxy->start;
	return $proxy;
}

sub compare_bent
{
	my (@seeds) = @_;
	my ($node) = regional_clusters('us-east1');
	$node->safe_psql('postgres', 'CREATE UNLOGGED TABLE bent (n int)');
	my %proxy   = map { $_ => proxy($_, $node) } qw(passthrough pool);
	my %chaos   = map { $_ => Meridian::Test::Chaos->new($proxy{$_}) } keys %proxy;
	my %differs = map { $_ => [] } keys %proxy;
	for my $seed (@seeds) {
		my $bytes = bent_session($seed);
		my $want  = transcript(port => $node->port, $bytes);
		for my $kind (sort keys %proxy) {
			my $how = unlike_transcript(transcript(port => $proxy{$kind}->port, $bytes), $want, $bytes);
			push @{ $differs{$kind} }, "session $seed: $how" if $how;
		}
	}
	for my $kind (sort keys %proxy) {
		is(scalar @{ $differs{$kind} }, 0, "$kind: " . @seeds . ' sessions are answered as PostgreSQL answers them')
		  or diag join "\n", @{ $differs{$kind} };
		$chaos{$kind}->all_is_back("after them ($kind)");
		is($proxy{$kind}->console('SHOW NODES FULL')->[0]{state}, 'up', 'no word against the node');
		$proxy{$kind}->stop;
	}
	return;
}

1;
