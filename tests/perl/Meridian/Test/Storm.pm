# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::Storm - many clients at once that know, message by message, what they must be told.
#
#   use Meridian::Test::Storm;
#
#   my $storm = Meridian::Test::Storm->new($proxy, clients => 100, seed => 42,
#       databases => ['postgres'], user => 'postgres', shapes => { pipeline => 8, simple => 2 });
#   $storm->run(5);                             # seconds
#   $storm->run(5, sub { … });                  # … and this is called a hundred times a second
#   ok($storm->finish, 'all have had their answers');
#   is_deeply($storm->wrong, []);               # answers that are not what the question was
#   is($storm->{rude}, 0);                      # connections that ended without an error
#   $storm->{done}, $storm->{lost}, $storm->{codes}{'57P01'}
#
# Each client asks in random shapes: simple queries, transactions, pipelines of prepared statements
# with mistakes in them, settings, COPY, what pins; in pieces of any size; some leave in the middle.
# What a client asks has its own number in it, so that the answer to another's question is not taken
# for its own. A model of what PostgreSQL keeps for a session (prepared statements, settings, the
# state of the transaction) says which messages are due. The server may go at any time, in one of the
# ways in `mortal`: the client comes back then as a new session.
#
# The table storm(n text) must be there for the shape copy_in.
package Meridian::Test::Storm;
use strict;
use warnings;

use Errno qw(EAGAIN EINTR EWOULDBLOCK);
use IO::Select;
use Meridian::Test::Patience;
use Meridian::Test::Wire qw(:build);
use Time::HiRes qw(time);

# How a session may end: shutdown, crash, starting up, connection failure, no room, waited too long.
my %mortal = map { $_ => 1 } qw(57P01 57P02 57P03 08006 08001 08004 53300);

my %shapes = (
	simple => 20, multi => 5, empty => 1, pipeline => 40, transaction => 15, setting => 6, zone => 4, local => 3,
	copy_out => 3, copy_in => 3, large => 2, sleep => 3, discard => 1, listen => 1, temp => 1, lock => 1, hold => 1,
	sql_prepare => 1, leave => 1);
my @zones = qw(UTC Europe/Paris America/New_York Asia/Tokyo);

sub new
{
	my ($class, $proxy, %opt) = @_;
	my $self = bless {
		proxy => $proxy, databases => ['postgres'], user => 'postgres', clients => 50, mortal => {%mortal}, shapes => {%shapes},
		%opt,
		wrong => [], rude => 0, done => 0, lost => 0, codes => {}, cancels => 0, hit => 0,
	}, $class;
	srand($opt{seed} // 42);
	$self->{bag} = [ map { ($_) x $self->{shapes}{$_} } sort keys %{ $self->{shapes} } ];
	$self->{select}  = IO::Select->new;
	$self->{all}     = [ map { { id => $_, seq => 0, due => 0 } } 1 .. $self->{clients} ];
	return $self;
}

sub wrong { return $_[0]{wrong} }

# ---------------------------------------------------------------- one client

sub come
{
	my ($self, $c) = @_;
	my $w = eval { Meridian::Test::Wire->new($self->{proxy}) };
	return $self->again($c) unless $w;
	$w->{fd}->blocking(0);
	%$c = (
		id => $c->{id}, seq => $c->{seq}, wire => $w, out => '', names => {}, tag => undef, zone => undef, status => 'I',
		target => $self->{targets} && $c->{id} % $self->{targets} == 0, param => {});
	$self->{by_fd}{ fileno $w->{fd} } = $c;
	$self->{select}->add($w->{fd});
	$self->steps($c, 'login', [
		startup(user => $self->{user}, database => $self->{databases}[ $c->{id} % @{ $self->{databases} } ], application_name => "c$c->{id}"),
		[ 'R', 'K', 'Z:I' ] ]);
	return;
}

sub leave
{
	my ($self, $c, $how) = @_;
	my $w = delete $c->{wire} or return;
	$self->{select}->remove($w->{fd});
	delete $self->{by_fd}{ fileno $w->{fd} };
	$how && $how eq 'abort' ? $w->abort : $w->close;
	return $self->again($c);
}

sub again { my ($self, $c) = @_; $c->{due} = due_in(0.05 + rand 0.1); delete $c->{shape}; return }

sub steps
{
	my ($self, $c, $shape, @steps) = @_;
	@$c{qw(shape steps since)} = ($shape, \@steps, time);
	return $self->next_step($c);
}

sub next_step
{
	my ($self, $c) = @_;
	my $step = shift @{ $c->{steps} };
	if (!$step) {
		$self->{done}++ if $c->{shape} ne 'login';
		$self->{shape_done}{ $c->{shape} }++;
		delete $c->{shape};
		$c->{due} = due_in($self->{pause} ? rand $self->{pause} : 0);
		return;
	}
	(my $bytes, $c->{expect}) = @$step;
	$c->{asked} = $bytes;
	$c->{out} .= $bytes;
	$c->{piece} = rand() < 0.1 ? 1 + int rand 30 : 65536;
	return $self->push_out($c);
}

sub push_out
{
	my ($self, $c) = @_;
	my $n = syswrite $c->{wire}{fd}, $c->{out}, $c->{piece};
	substr($c->{out}, 0, $n) = '' if $n;
	return;
}

sub token
{
	my ($m) = @_;
	my ($type, $body) = @$m;
	return 'D:' . join '|', map { $_ // '~' } @{ row_values($m) } if $type eq 'D';
	return 'C:' . substr $body, 0, -1 if $type eq 'C';
	return "$type:$body" if $type eq 'Z' || $type eq 'd';
	return 'E:' . error_fields($m)->{C} if $type eq 'E';
	return $type;
}

sub complain
{
	my ($self, $c, $got) = @_;
	my $want = $c->{expect} ? $c->{expect}[0] // 'nothing' : 'nothing';
	(my $asked = substr($c->{asked} // '', 0, 300)) =~ s/[^\x20-\x7e]/./g;
	push @{ $self->{wrong} }, sprintf '%.3f client %d, %s %d: wants %.80s, gets %.200s; asked %s', time, $c->{id},
	  $c->{shape} // 'idle', $c->{seq}, $want, $got, $asked;
	return $self->leave($c, 'abort');
}

sub take
{
	my ($self, $c, $m) = @_;
	my ($type) = @$m;
	if ($type eq 'S') { my ($k, $v) = parameter($m); $c->{param}{$k} = $v; return }
	if ($type eq 'A') {
		my (undef, $channel) = unpack 'N Z*', $m->[1];
		return $channel eq "ch$c->{id}" ? undef : $self->complain($c, "a notification of $channel");
	}
	return if $type eq 'N';
	@{ $c->{wire} }{qw(pid secret)} = unpack 'N a*', $m->[1] if $type eq 'K';
	my $token = token($m);
	my $want  = $c->{shape} ? $c->{expect}[0] : undef;
	if (defined $want && (ref $want ? $token =~ $want : $token eq $want)) {
		shift @{ $c->{expect} };
		$self->next_step($c) if !@{ $c->{expect} } && $c->{out} eq '';
		return;
	}
	if ($type eq 'E') {
		my $e = error_fields($m);
		$self->{codes}{ $e->{C} }++;
		$self->{said}{"$e->{C} $e->{M}"}++;
		return $c->{told} = "$e->{C} $e->{M}" if $e->{S} eq 'FATAL' && $self->{mortal}{ $e->{C} };
		if ($e->{C} eq '57014' && $c->{target} && $c->{shape} && $c->{shape} ne 'login') {
			# whatever else this cycle was to say: a new session knows what it has
			$self->{hit}++;
			return $self->leave($c);
		}
		return $self->complain($c, "$token $e->{S} $e->{M} " . ($e->{D} // ''));
	}
	return $self->complain($c, $token);
}

sub readable
{
	my ($self, $c) = @_;
	my $w = $c->{wire};
	my $n = sysread $w->{fd}, $w->{in}, 65536, length $w->{in};
	return if !defined $n && ($! == EAGAIN || $! == EINTR || $! == EWOULDBLOCK);
	while ($c->{wire} && $c->{wire} == $w && length $w->{in} >= 5) {
		my ($type, $len) = unpack 'a1 N', $w->{in};
		last if length $w->{in} < 1 + $len;
		my $body = substr $w->{in}, 5, $len - 4;
		substr($w->{in}, 0, 1 + $len) = '';
		$self->take($c, [ $type, $body ]);
	}
	return if $n || !$c->{wire} || $c->{wire} != $w;
	$self->{lost}++;
	# whom nobody has accepted when the proxy stops listening is told nothing
	if (!$c->{told} && !($self->{leaving} && $c->{shape} && $c->{shape} eq 'login')) {
		$self->{rude}++;
		# part of an answer has come: no error can follow
		$self->{cut}++ if length $w->{in};
		push @{ $self->{rudely} }, sprintf '%.3f client %d, %s %d: %d bytes left', time, $c->{id}, $c->{shape} // 'idle',
		  $c->{seq}, length $w->{in};
	}
	return $self->leave($c);
}

# ---------------------------------------------------------------- the loop

sub turn
{
	my ($self, $begin) = @_;
	my $now = time;
	my $pushing = 0;
	for my $c (@{ $self->{all} }) {
		if ($c->{wire} && $c->{out} ne '') {
			$self->push_out($c);
			$self->next_step($c) if $c->{out} eq '' && !@{ $c->{expect} };
			$pushing++ if $c->{wire} && $c->{out} ne '';
		}
		if (!$c->{shape} && $now >= $c->{due}) {
			if    (!$c->{wire}) { $self->come($c)      if $begin }
			elsif (!$c->{told}) { $self->begin($c)     if $begin }
		} elsif ($c->{target} && $c->{shape} && $c->{wire}{secret} && rand() < 0.05) {
			$self->cancel($c);
		}
	}
	for my $fd ($self->{select}->can_read($pushing ? 0 : 0.005)) {
		my $c = $self->{by_fd}{ fileno $fd // next } or next;
		$self->readable($c);
	}
	return;
}

sub run
{
	my ($self, $seconds, $chaos) = @_;
	my $end  = due_in($seconds);
	my $next = 0;
	until (is_due($end)) {
		$self->turn(1);
		next unless $chaos && is_due($next);
		$next = due_in(0.01);
		$chaos->();
	}
	return;
}

# No new questions: whoever has asked is waited for. False: somebody waits for ever.
sub finish
{
	my ($self, $seconds) = @_;
	my $d = deadline($seconds // 20, 'the last answers');
	$self->turn(0) while !$d->over && grep { $_->{shape} } @{ $self->{all} };
	$self->{hung} = [ map { sprintf 'client %d, %s %d: wants %s for %.1f s', $_->{id}, $_->{shape}, $_->{seq}, $_->{expect}[0] // 'to send', passed($_->{since}) }
		  grep { $_->{shape} } @{ $self->{all} } ];
	return !@{ $self->{hung} };
}

sub go_away { my ($self) = @_; $self->leave($_) for @{ $self->{all} }; return }

sub cancel
{
	my ($self, $c) = @_;
	my $w = eval { Meridian::Test::Wire->new($self->{proxy}) } or return;
	$self->{cancels}++;
	$w->send(cancel_request($c->{wire}{pid}, $c->{wire}{secret}));
	push @{ $self->{requests} }, $w;
	shift @{ $self->{requests} } while @{ $self->{requests} } > 100;
	return;
}

# ---------------------------------------------------------------- shapes

sub begin
{
	my ($self, $c) = @_;
	my $shape = $self->{bag}[ rand @{ $self->{bag} } ];
	my $n     = "$c->{id}-" . ++$c->{seq};
	return $self->depart($c, $n) if $shape eq 'leave';
	my @steps = $self->can("shape_$shape")->($c, $n);
	return $self->steps($c, $shape, @steps);
}

# Ends in the middle of something, or in order.
sub depart
{
	my ($self, $c, $n) = @_;
	my $w = $c->{wire};
	my @last = (
		'', terminate, query("SELECT '$n', pg_sleep(0.01)"), query('BEGIN'), query("SET my.tag TO '$n'") . terminate,
		substr(query("SELECT '$n'"), 0, 9), parse("SELECT '$n'", 'gone'), parse("SELECT '$n'", 'gone') . sync_message . terminate,
		query("SELECT repeat('$n', 100000)"), query('COPY storm FROM STDIN') . copy_data("$n\n"), query("LISTEN ch$c->{id}"),
		query('BEGIN') . query("SELECT '$n'") . query('COMMIT') . terminate, bind_message([$n], 'never') . execute . sync_message);
	syswrite $w->{fd}, $last[ rand @last ];
	return $self->leave($c, rand() < 0.5 ? 'abort' : 'close');
}

sub ask { my ($sql, @tokens) = @_; return [ query($sql), [@tokens] ] }
sub row { my ($value) = @_; return ('T', "D:$value", 'C:SELECT 1') }

# One question, as a simple query or an extended one.
sub either
{
	my ($c, $sql, @tokens) = @_;
	delete $c->{names}{''};
	return ask($sql, @tokens, 'Z:I') if rand() < 0.5;
	$c->{names}{''} = -1;    # something else than a text of ours
	return [
		parse($sql) . bind_message([]) . describe('P') . execute . sync_message,
		[ '1', '2', $tokens[0] eq 'T' ? () : 'n', @tokens, 'Z:I' ] ];
}

sub shape_simple { my ($c, $n) = @_; return either($c, "SELECT '$n'", row($n)) }
sub shape_sleep  { my ($c, $n) = @_; return either($c, "SELECT '$n', pg_sleep(0.02)", row("$n|")) }
sub shape_large  { my ($c, $n) = @_; return either($c, "SELECT '$n', repeat('x', 100000)", row("$n|" . 'x' x 100000)) }
sub shape_multi
{
	my ($c, $n) = @_;
	delete $c->{names}{''};
	return ask("SELECT '$n.1'; SELECT '$n.2'", row("$n.1"), row("$n.2"), 'Z:I') if rand() < 0.4;
	return ask("SELECT '$n.1'; SELECT 1/0; SELECT '$n.2'", row("$n.1"), 'E:22012', 'Z:I') if rand() < 0.3;
	return [
		query("SELECT '$n.1'") . query("SELECT '$n.2'") . query("SELECT '$n.3'"),
		[ row("$n.1"), 'Z:I', row("$n.2"), 'Z:I', row("$n.3"), 'Z:I' ] ];
}
sub shape_empty { my ($c) = @_; delete $c->{names}{''}; return ask('', 'I', 'Z:I') }

sub shape_setting
{
	my ($c, $n) = @_;
	my $look = either($c, "SELECT current_setting('my.tag', true), current_setting('application_name')",
		row(defined $c->{tag} ? "$c->{tag}|c$c->{id}" : '|'));
	$look->[1] = [ map { !ref && $_ eq 'D:|' ? qr/^D:~?\|c$c->{id}$/ : $_ } @{ $look->[1] } ];
	return $look if rand() < 0.5;
	$c->{tag} = $n;
	my $set = rand() < 0.5 ? either($c, "SET my.tag TO '$n'", 'C:SET') : either($c, "SELECT set_config('my.tag', '$n', false)", row($n));
	return ($look, $set, either($c, "SELECT current_setting('my.tag')", row($n)));
}

sub shape_local
{
	my ($c, $n) = @_;
	delete $c->{names}{''};
	my @set = (ask('BEGIN', 'C:BEGIN', 'Z:T'), ask(rand() < 0.5 ? "SET LOCAL my.tag TO '$n'" : "SET my.tag TO '$n'", 'C:SET', 'Z:T'),
		ask("SELECT current_setting('my.tag')", row($n), 'Z:T'), ask('ROLLBACK', 'C:ROLLBACK', 'Z:I'));
	return @set if !defined $c->{tag};
	return (@set, ask("SELECT current_setting('my.tag')", row($c->{tag}), 'Z:I'));
}

# A setting that is reported: what the client was told is what the server has.
sub shape_zone
{
	my ($c, $n) = @_;
	delete $c->{names}{''};
	my $known = $c->{zone} // $c->{param}{TimeZone};
	my $look = ask('SHOW TimeZone', 'T', "D:$known", 'C:SHOW', 'Z:I');
	$look->[1][1] = "D:$known (was told $c->{param}{TimeZone})" if $c->{param}{TimeZone} ne $known;
	return $look if rand() < 0.5;
	$c->{zone} = $zones[ rand @zones ];
	return ($look, either($c, "SET TimeZone TO '$c->{zone}'", 'C:SET'));
}

sub shape_copy_out { my ($c, $n) = @_; delete $c->{names}{''}; return ask("COPY (SELECT '$n') TO STDOUT", 'H', "d:$n\n", 'c', 'C:COPY 1', 'Z:I') }
sub shape_copy_in
{
	my ($c, $n) = @_;
	delete $c->{names}{''};
	my ($begin, $data) = (query('COPY storm FROM STDIN'), copy_data("$n\n"));
	return ([ $begin, ['G'] ], [ $data . copy_done, [ 'C:COPY 1', 'Z:I' ] ]) if rand() < 0.4;
	return ([ $begin, ['G'] ], [ $data . copy_fail('no'), [ 'E:57014', 'Z:I' ] ]) if rand() < 0.3;
	return [ $begin . $data . copy_done . query("SELECT '$n'"), [ 'G', 'C:COPY 1', 'Z:I', row($n), 'Z:I' ] ];
}

sub shape_discard
{
	my ($c) = @_;
	my $all = ask('DISCARD ALL', 'C:DISCARD ALL', 'Z:I');
	$c->{names} = {};
	@$c{qw(tag zone)} = ();
	return ($all, either($c, 'SHOW application_name', 'T', "D:c$c->{id}", 'C:SHOW'));
}

sub shape_listen
{
	my ($c, $n) = @_;
	delete $c->{names}{''};
	return (ask("LISTEN ch$c->{id}", 'C:LISTEN', 'Z:I'), ask("NOTIFY ch$c->{id}, '$n'", 'C:NOTIFY', 'Z:I'),
		ask("SELECT '$n'", row($n), 'Z:I'), ask('UNLISTEN *', 'C:UNLISTEN', 'Z:I'));
}

sub shape_temp
{
	my ($c, $n) = @_;
	delete $c->{names}{''};
	return (ask("CREATE TEMP TABLE mine AS SELECT '$n' AS v", 'C:SELECT 1', 'Z:I'), ask('SELECT v FROM mine', row($n), 'Z:I'),
		ask('DROP TABLE mine', 'C:DROP TABLE', 'Z:I'));
}

sub shape_lock
{
	my ($c, $n) = @_;
	delete $c->{names}{''};
	my $held = "SELECT count(*), '$n' FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()";
	return (ask($held, row("0|$n"), 'Z:I'), ask("SELECT pg_advisory_lock($c->{id})", row(''), 'Z:I'), ask($held, row("1|$n"), 'Z:I'),
		ask("SELECT pg_advisory_unlock($c->{id})", row('t'), 'Z:I'), ask($held, row("0|$n"), 'Z:I'));
}

sub shape_hold
{
	my ($c, $n) = @_;
	delete $c->{names}{''};
	return (ask("DECLARE h CURSOR WITH HOLD FOR SELECT '$n'", 'C:DECLARE CURSOR', 'Z:I'),
		ask('FETCH 1 FROM h', 'T', "D:$n", 'C:FETCH 1', 'Z:I'), ask('CLOSE h', 'C:CLOSE CURSOR', 'Z:I'));
}

sub shape_sql_prepare
{
	my ($c, $n) = @_;
	delete $c->{names}{''};
	return (ask("PREPARE mine AS SELECT '$n'", 'C:PREPARE', 'Z:I'), ask('EXECUTE mine', row($n), 'Z:I'),
		ask('DEALLOCATE mine', 'C:DEALLOCATE', 'Z:I'));
}

# ---------------------------------------------------------------- pipelines, by a model of the server

my $texts = 30;

sub text_of { my ($t) = @_; return $t % 7 == 3 ? "SELECT \$1::int, $t" : "SELECT \$1::text, $t" }

# One message of a pipeline: its bytes; $p->{tokens} grows by what PostgreSQL would say.
my %op = (
	parse => sub {
		my ($c, $p) = @_;
		my $name = name_of($p);
		my $bad  = rand() < 0.04;
		my $t    = int rand $texts;
		my $bytes = parse($bad ? "SELEC $t" : text_of($t), $name);
		return $bytes if $p->{skip};
		delete $c->{names}{''} if $name eq '';
		if    ($bad)                                   { fails($c, $p, '42601') }
		elsif ($c->{status} eq 'E')                    { fails($c, $p, '25P02') }
		elsif ($name ne '' && exists $c->{names}{$name}) { fails($c, $p, '42P05') }
		else { $c->{names}{$name} = $t; push @{ $p->{tokens} }, '1' }
		return $bytes;
	},
	close => sub {
		my ($c, $p) = @_;
		my $name = name_of($p);
		return '' if $name eq '';
		if (!$p->{skip}) { delete $c->{names}{$name}; push @{ $p->{tokens} }, '3' }
		return close_message('S', $name);
	},
	describe => sub {
		my ($c, $p) = @_;
		my $name = name_of($p);
		return '' if known($c, $p, $name) == -1;
		if (!$p->{skip}) {
			if    (!exists $c->{names}{$name}) { fails($c, $p, '26000') }
			elsif ($c->{status} eq 'E')        { fails($c, $p, '25P02') }
			else                               { push @{ $p->{tokens} }, 't', 'T' }
		}
		return describe('S', $name);
	},
	run => sub {
		my ($c, $p) = @_;
		my $name = rand() < 0.3 ? name_of($p) : (sort keys %{ $c->{names} })[0] // name_of($p);
		my $t = known($c, $p, $name);
		return '' if $t == -1;
		my $value = $p->{n} . '.' . ++$p->{i};
		my $int   = $t >= 0 && $t % 7 == 3;
		$value = $c->{id} * 1000 + $p->{i} if $int && rand() < 0.8;
		my $describe = rand() < 0.5;
		my $bytes = bind_message([$value], $name) . ($describe ? describe('P') : '') . execute;
		return $bytes if $p->{skip};
		if    (!exists $c->{names}{$name})        { fails($c, $p, '26000') }
		elsif ($c->{status} eq 'E')               { fails($c, $p, '25P02') }
		elsif ($int && $value !~ /^\d+$/)         { fails($c, $p, '22P02') }
		else { push @{ $p->{tokens} }, '2', $describe ? 'T' : (), "D:$value|$t", 'C:SELECT 1' }
		return $bytes;
	},
	flush => sub { return flush_message },
	sync  => sub {
		my ($c, $p) = @_;
		$p->{skip} = 0;
		push @{ $p->{tokens} }, "Z:$c->{status}";
		return sync_message;
	});
my @ops = (('parse') x 3, 'close', 'describe', ('run') x 8, 'flush', ('sync') x 3);

sub name_of { my ($p) = @_; return rand() < 0.25 ? '' : 's' . int rand 12 }
# Which text; -1: none of ours, so that nobody knows; -2: none.
sub known { my ($c, $p, $name) = @_; return $c->{names}{$name} // -2 }

sub fails
{
	my ($c, $p, $code) = @_;
	push @{ $p->{tokens} }, "E:$code";
	$p->{skip} = 1;
	$c->{status} = 'E' if $c->{status} eq 'T';
	return;
}

sub pipeline
{
	my ($c, $n, $length) = @_;
	my $p = { tokens => [], skip => 0, n => $n, i => 0 };
	my $bytes = join '', map { $op{ $ops[ rand @ops ] }->($c, $p) } 1 .. $length;
	$bytes .= $op{sync}->($c, $p);
	return [ $bytes, $p->{tokens} ];
}

sub shape_pipeline { my ($c, $n) = @_; return pipeline($c, $n, 1 + int rand(rand() < 0.1 ? 60 : 8)) }

sub shape_transaction
{
	my ($c, $n) = @_;
	delete $c->{names}{''};
	my @steps = ask('BEGIN', 'C:BEGIN', 'Z:T');
	$c->{status} = 'T';
	push @steps, pipeline($c, "$n/$_", 1 + int rand 6) for 0 .. int rand 3;
	if (rand() < 0.5) {
		push @steps, $c->{status} eq 'T' ? ask("SELECT '$n'", row($n), 'Z:T') : ask("SELECT '$n'", 'E:25P02', 'Z:E');
		delete $c->{names}{''};
	}
	my $commit = rand() < 0.7;
	push @steps, ask($commit ? 'COMMIT' : 'ROLLBACK', $commit && $c->{status} eq 'T' ? 'C:COMMIT' : 'C:ROLLBACK', 'Z:I');
	delete $c->{names}{''};
	$c->{status} = 'I';
	# all at once, now and then
	@steps = [ join('', map { $_->[0] } @steps), [ map { @{ $_->[1] } } @steps ] ] if rand() < 0.3;
	return @steps;
}

1;
