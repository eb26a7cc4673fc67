# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::Recorder - sessions that ask at the same time, through several proxies, and all of whose operations are
# recorded as Meridian::Test::History wants them.
#
#   my $r = Meridian::Test::Recorder->new(\@proxies, cities => [qw(paris taipei)], sessions => 8, databases => ['postgres'],
#       workload => 'register');                   # or `bank`, or `both`; the tables are made by tables_of('register')
#   $r->run(sub { $r->{count}{ok} >= 1000 });      # until that is true
#   my $said = $r->beside(sub { … });              # they go on while another process does that
#   $r->trouble(\%kinds, $seed);                   # a process makes trouble; each kind: sub ($wait) { … }
#   $r->{troubles}{$kind}                          # so often, so far
#   $r->calm;                                      # it mends all and ends
#   $r->finish;                                    # all have had their answers, and leave
#   my $h = $r->history(ends => { … });            # a Meridian::Test::History
#
# A session's operations are in no transaction, in one (BEGIN, also READ ONLY and REPEATABLE READ), rolled back, in the simple
# and the extended protocol, by themselves or in pipelines. Sessions show tokens and are given those of others, leave, and
# begin anew with a token in the startup packet or without; some are told theirs behind each write. One that is lost comes
# back as a new session. What the server says with each answer tells where it ran and what the row is that it has written
# or read, so that nothing has to be guessed.
package Meridian::Test::Recorder;
use strict;
use warnings;

use Carp;
use Exporter qw(import);
use IO::Select;
use List::Util qw(shuffle sum);
use Meridian::Test::History;
use Meridian::Test::Patience;
use Meridian::Test::Wire qw(:build);
use POSIX ();
use Time::HiRes qw(time);

our @EXPORT_OK = qw(accounts tables_of);

my @keys     = map { "k$_" } 1 .. 5;
my %accounts = map { ("a$_" => 100) } 1 .. 6;
my $place    = "current_setting('cluster_name')";
my $standby  = "current_setting('in_hot_standby')";

my %weights = (
	register => {
		write => 12, write_extended => 6, write_transaction => 5, rolled_back => 1,
		read => 25, read_all => 8, read_extended => 12, read_only => 8, read_inside => 2,
		pipeline => 5, one_sync => 4, show => 5, adopt => 7, leave => 1 },
	bank => { transfer => 12, balances => 20, balances_extended => 8, balances_read_only => 5, show => 5, adopt => 7, leave => 1 });
$weights{both} = { map { %$_ } @weights{qw(register bank)} };

sub accounts { return {%accounts} }

# The tables of a workload, as they are in the beginning; those of the one before are dropped.
sub tables_of
{
	my ($workload, $home) = @_;
	return map { tables_of($_, $home) } qw(register bank) if $workload eq 'both';
	return 'DROP TABLE IF EXISTS reg; CREATE TABLE reg (k text PRIMARY KEY, n int, v text, home text); INSERT INTO reg VALUES '
	  . join(', ', map { "('$_', 0, '', '$home')" } @keys)
	  if $workload eq 'register';
	return "DROP TABLE IF EXISTS bank, ledger, accounts; CREATE TABLE bank (n int, v text, home text); INSERT INTO bank VALUES (0, '', '$home');"
	  . 'CREATE TABLE ledger (n int PRIMARY KEY, v text); CREATE TABLE accounts (id text PRIMARY KEY, balance int); INSERT INTO accounts VALUES '
	  . join(', ', map { "('$_', $accounts{$_})" } sort keys %accounts);
}

sub new
{
	my ($class, $proxies, %opt) = @_;
	my $self = bless {
		proxies => $proxies, sessions => 8, databases => ['postgres'], workload => 'register', cities => ['paris'], %opt,
		all => [], tokens => [], count => {}, codes => {}, made => 0, select => IO::Select->new,
	}, $class;
	my $w = $weights{ $self->{workload} };
	$self->{bag}   = [ map { ($_) x $w->{$_} } sort keys %$w ];
	$self->{quiet} = [ grep { !/^(?:write|rolled|pipeline|one_sync|transfer)/ } @{ $self->{bag} } ];
	$self->{slots} = [ map { $self->slot($_) } 0 .. $self->{sessions} - 1 ];
	return $self;
}

# Each place of a session has a proxy, a city and a database, all of which are mixed. Half of them hardly write: what they have
# to see is what they have read, and what they have from tokens. Some sleep now and then, and come upon what was restarted.
sub slot
{
	my ($self, $i) = @_;
	my ($p, $c, $d) = map { scalar @$_ } @$self{qw(proxies cities databases)};
	return {
		letter => chr(ord('A') + $i), generation => 0, due => 0, report => $i % 3 == 2, quiet => ($i + $i / 4) % 2, sleeps => $i % 4 == 1, proxy => $self->{proxies}[ $i % $p ],
		city => $self->{cities}[ $i / $p % $c ], database => $self->{databases}[ $i / ($p * $c) % $d ] };
}

# ---------------------------------------------------------------- operations

# An operation of a session, of which it is not known yet that it has had an effect.
sub op { my ($s, $how, %op) = @_; return { session => $s->{name}, how => $how, %op } }

sub value { my ($self, $s) = @_; return "$s->{name}-" . ++$self->{made} }

# What a step says, the number of ReadyForQuery that answer it, the operations that begin with it, and what becomes of these:
# `said` when it was sent, `heard` with its answers.
sub step
{
	my ($bytes, $ready, $ops, $heard, $said) = @_;
	return { bytes => $bytes, ready => $ready, ops => $ops, heard => $heard // sub { }, said => $said // sub { } };
}

# Steps in one go.
sub together
{
	my (@steps) = @_;
	return step(
		join('', map { $_->{bytes} } @steps), sum(map { $_->{ready} } @steps), [ map { @{ $_->{ops} } } @steps ],
		sub { my (@answers) = @_; $_->{heard}->(splice @answers, 0, $_->{ready}) for @steps },
		sub { $_->{said}->() for @steps });
}

sub ended { my ($op, $outcome) = @_; @$op{qw(end outcome)} = (time, $outcome); return }

# An answer has an error: what that says of an operation that would have been done with it.
sub failed
{
	my ($op, $a) = @_;
	my $e = $a->{error} // return 0;
	$op->{code} = $e->{C};
	$op->{told} = 1 if $e->{C} eq '55000' && $e->{M} =~ /lost in a fail-over/;
	ended($op, $op->{write} && ($e->{S} ne 'ERROR' || $e->{C} =~ /^(?:08|57)/) ? 'info' : 'fail');
	return 1;
}

# With this answer the session was told that what it has seen was lost.
sub warned
{
	my ($op, $a) = @_;
	$op->{told} = 1 if grep { $_->{C} eq '01000' && $_->{M} =~ /lost in a fail-over|whose end is not known/ } @{ $a->{notices} };
	return;
}

# Rows of SELECT k, n, v, home, place, whether that is a standby.
sub has_read
{
	my ($self, $op, $a, $rows) = @_;
	warned($op, $a);
	return if failed($op, $a);
	for my $row (@$rows) {
		my ($k, $n, $v, $home, $place, $near) = @$row;
		$op->{read}{$k} = { version => $n, value => $v, home => $home };
		$op->{place} = $place;
		$op->{near}  = $near eq 'on';
	}
	ended($op, @$rows ? 'ok' : 'fail');
	return;
}

# The row of UPDATE … RETURNING n, v, home.
sub has_written
{
	my ($op, $a, $rows) = @_;
	warned($op, $a);
	return if failed($op, $a) || !@$rows;
	@{ $op->{write} }{qw(version value home)} = @{ $rows->[0] };
	$op->{place} = $rows->[0][2];
	return;
}

sub write_sql
{
	my ($table, $value, $where) = @_;
	return "UPDATE $table SET n = n + 1, v = $value, home = $place$where RETURNING n, v, home";
}

sub read_sql { my ($where) = @_; return "SELECT k, n, v, home, $place, $standby FROM reg$where" }

# A statement of the extended protocol up to (and without) its Sync, prepared by a name where the session has not done that.
sub extended
{
	my ($s, $sql, @values) = @_;
	my $name = $s->{prepared}{$sql};
	return bind_message(\@values, $name) . execute('') if defined $name && rand() < 0.8;
	return parse($sql) . bind_message(\@values) . execute('') if rand() < 0.3;
	$name = $s->{prepared}{$sql} = 's' . ++$s->{names};
	return parse($sql, $name) . bind_message(\@values, $name) . execute('');
}

sub write_op
{
	my ($self, $s, $how, $key) = @_;
	return op($s, $how, write => { key => $key // $keys[ rand @keys ], value => $self->value($s) });
}

sub row_of { my ($op) = @_; return write_sql('reg', "'$op->{write}{value}'", " WHERE k = '$op->{write}{key}'") }

# A write outside a transaction: from when it is said, whether it has had an effect is not known.
sub alone
{
	my ($bytes, $op) = @_;
	my $heard = sub {
		my ($a) = @_;
		has_written($op, $a, $a->{results}[0]);
		ended($op, 'ok') if !$a->{error};
	};
	return step($bytes, 1, [$op], $heard, sub { $op->{outcome} = 'info' });
}

sub read_step
{
	my ($self, $s, $how, $bytes) = @_;
	my $op = op($s, $how);
	return step($bytes, 1, [$op], sub { $self->has_read($op, $_[0], $_[0]{results}[0]) });
}

sub plain_step
{
	my ($op, $sql) = @_;
	return step(query($sql), 1, [$op], sub { warned($op, $_[0]); failed($op, $_[0]) or ended($op, 'ok') });
}

sub one_key { my $key = $keys[ rand @keys ]; return " WHERE k = '$key'" }

# A transaction: its BEGIN, steps inside, and its end, which says what becomes of its writes; or all of that as a pipeline.
sub transaction
{
	my ($begin, $end, @inside) = @_;
	my @writes = grep { $_->{write} } map { @{ $_->{ops} } } @inside;
	my $first  = $inside[0]{ops}[0];
	my $close  = step(query($end), 1, [],
		sub { ended($_, ($_[0]{tags}[0] // '') eq 'COMMIT' ? 'ok' : $_[0]{error} ? 'info' : 'fail') for @writes },
		sub { return if $end ne 'COMMIT'; $_->{outcome} = 'info' for @writes });
	my @steps = (step(query($begin), 1, [], sub { warned($first, $_[0]) }), @inside, $close);
	return rand() < 0.3 ? together(@steps) : @steps;
}

sub inside_write
{
	my ($op, $bytes) = @_;
	return step($bytes // query(row_of($op)), 1, [$op], sub { has_written($op, $_[0], $_[0]{results}[0]) });
}

sub inside_read
{
	my ($self, $s, $how) = @_;
	my $step = $self->read_step($s, $how, query(read_sql(one_key())));
	$step->{ops}[0]{inside} = 1 if $how eq 'BEGIN';
	return $step;
}

my $balances = "SELECT (SELECT n FROM bank), (SELECT v FROM bank), (SELECT home FROM bank), (SELECT coalesce(max(n), 0) FROM ledger), "
  . "(SELECT string_agg(id || '=' || balance, ' ' ORDER BY id) FROM accounts), $place, $standby";

sub balances
{
	my ($self, $s, $how, $bytes) = @_;
	my $op = op($s, $how);
	return step($bytes, 1, [$op], sub {
		my ($a) = @_;
		my ($n, $v, $home, $ledger, $state, $place, $near) = @{ $a->{results}[0][0] // [] };
		$self->has_read($op, $a, [ defined $n ? [ 'bank', $n, $v, $home, $place, $near ] : () ]);
		@$op{qw(ledger state)} = ($ledger, { map { split /=/ } split / /, $state }) if $op->{outcome} eq 'ok';
	});
}

my $tokens_kept = 8;

sub keep_token
{
	my ($self, $name, $text) = @_;
	my $token = { name => $name, text => $text };
	push @{ $self->{tokens} }, $token;
	shift @{ $self->{tokens} } if @{ $self->{tokens} } > $tokens_kept;
	return $token;
}

# One that was shown not long ago; the last of them rather than another.
sub some_token
{
	my ($self) = @_;
	my $all = $self->{tokens};
	return $all->[ rand() < 0.5 ? -1 : rand @$all ];
}

my %shape = (
	write             => sub { my ($self, $s) = @_; my $op = $self->write_op($s, 'simple'); return alone(query(row_of($op)), $op) },
	write_transaction => sub {
		my ($self, $s) = @_;
		my %some = map { ($keys[ rand @keys ] => 1) } 1 .. 2;
		return transaction('BEGIN', 'COMMIT', rand() < 0.5 ? $self->inside_read($s, 'BEGIN') : (),
			map { inside_write($self->write_op($s, 'BEGIN', $_)) } sort keys %some);
	},
	rolled_back    => sub { my ($self, $s) = @_; return transaction('BEGIN', 'ROLLBACK', inside_write($self->write_op($s, 'ROLLBACK'))) },
	write_extended => sub {
		my ($self, $s) = @_;
		my $op = $self->write_op($s, 'extended');
		return alone(extended($s, write_sql('reg', '$1', ' WHERE k = $2'), @{ $op->{write} }{qw(value key)}) . sync_message, $op);
	},
	read          => sub { my ($self, $s) = @_; return $self->read_step($s, 'simple', query(read_sql(one_key()))) },
	read_all      => sub { my ($self, $s) = @_; return $self->read_step($s, 'simple', query(read_sql(''))) },
	read_extended => sub {
		my ($self, $s) = @_;
		return $self->read_step($s, 'extended', extended($s, read_sql(' WHERE k = $1'), $keys[ rand @keys ]) . sync_message);
	},
	read_only => sub {
		my ($self, $s) = @_;
		my $begin = rand() < 0.5 ? 'BEGIN READ ONLY' : 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY';
		return transaction($begin, 'COMMIT', map { $self->inside_read($s, 'READ ONLY') } 1 .. 1 + int rand 3);
	},
	read_inside => sub { my ($self, $s) = @_; return transaction('BEGIN', 'COMMIT', $self->inside_read($s, 'BEGIN')) },
	pipeline    => sub {
		my ($self, $s) = @_;
		return together(map { my $what = rand() < 0.4 ? 'write' : 'read'; shape($self, $s, rand() < 0.5 ? $what : "${what}_extended") } 1 .. 2 + int rand 4);
	},
	one_sync => sub {
		my ($self, $s) = @_;
		my $op   = $self->write_op($s, 'one Sync');
		my $read = op($s, 'one Sync', inside => 1);
		return step(
			extended($s, write_sql('reg', '$1', ' WHERE k = $2'), @{ $op->{write} }{qw(value key)})
			  . extended($s, read_sql(' WHERE k = $1'), $keys[ rand @keys ]) . sync_message,
			1, [ $op, $read ],
			sub {
				my ($a) = @_;
				has_written($op, $a, $a->{results}[0]);
				ended($op, 'ok') if !$a->{error};
				$self->has_read($read, $a, $a->{results}[1]);
			},
			sub { $op->{outcome} = 'info' });
	},
	show => sub {
		my ($self, $s) = @_;
		my $op = op($s, 'SHOW', shows => 't' . ++$self->{made});
		return step(query('SHOW meridian.token'), 1, [$op], sub {
			my ($a) = @_;
			warned($op, $a);
			return if failed($op, $a);
			ended($op, 'ok');
			$op->{token} = $a->{results}[0][0][0];
			$s->{token} = $self->keep_token($op->{shows}, $op->{token});
		});
	},
	adopt => sub {
		my ($self, $s) = @_;
		my $token = $self->some_token() // return shape($self, $s, 'show');
		my $op    = op($s, 'SET', adopts => $token->{name}, token => $token->{text});
		my $sql   = rand() < 0.5 ? "SET meridian.token = '$token->{text}'" : "SELECT set_config('meridian.token', '$token->{text}', false)";
		return plain_step($op, $sql);
	},
	forget   => sub { my ($self, $s) = @_; return plain_step(op($s, 'RESET', forgets => 1), 'RESET meridian.token') },
	leave    => sub { my ($self, $s) = @_; $s->{leaves} = 1; return step(terminate(), 1, []) },
	balances => sub { my ($self, $s) = @_; return $self->balances($s, 'simple', query($balances)) },
	balances_extended  => sub { my ($self, $s) = @_; return $self->balances($s, 'extended', extended($s, $balances) . sync_message) },
	balances_read_only => sub { my ($self, $s) = @_; return transaction('BEGIN READ ONLY', 'COMMIT', map { $self->balances($s, 'READ ONLY', query($balances)) } 1 .. 2) },
	transfer           => sub {
		my ($self, $s) = @_;
		my ($from, $to) = shuffle(sort keys %accounts);
		my $amount = 1 + int rand 9;
		my $op     = op($s, 'transfer', write => { key => 'bank', value => $self->value($s) });
		$op->{transfer} = { from => $from, to => $to, amount => $amount };
		my $plain = sub { return step(query($_[0]), 1, []) };
		return transaction('BEGIN', 'COMMIT', inside_write($op, query(write_sql('bank', "'$op->{write}{value}'", ''))),
			$plain->("UPDATE accounts SET balance = balance - $amount WHERE id = '$from'"),
			$plain->("UPDATE accounts SET balance = balance + $amount WHERE id = '$to'"),
			$plain->('INSERT INTO ledger SELECT n, v FROM bank'));
	},
);

sub shape { my ($self, $s, $name) = @_; return $shape{$name}->($self, $s) }

# ---------------------------------------------------------------- sessions

# What is no answer to a step, and has gone well since a time.
sub note
{
	my ($self, $begin, $op) = @_;
	@$op{qw(begin end outcome)} = ($begin, time, 'ok');
	push @{ $self->{all} }, $op;
	return;
}

sub begin_session
{
	my ($self, $s) = @_;
	my $token = rand() < 0.6 ? $s->{token} : rand() < 0.5 ? $self->some_token() : undef;
	my $begin = time;
	my @set   = ('meridian.report_token' => $s->{report} ? 'on' : 'off', $token ? ('meridian.token' => $token->{text}) : ());
	%$s = (%$s, name => $s->{letter} . ++$s->{generation}, names => 0, prepared => {}, job => undef, in => [], told => 0, leaves => 0);
	my $w = eval { Meridian::Test::Wire->session($s->{proxy}, database => $s->{database}, options => "-c meridian.city=$s->{city}", @set) };
	if (!$w || !$w->{last} || $w->{last}[0] ne 'Z') {
		$self->{codes}{ error_fields($w->{last})->{C} }++ if $w && $w->{last};
		$w->close if $w;
		$s->{due} = due_in(0.05);
		return;
	}
	$s->{wire} = $w;
	$self->{by_fd}{ fileno $w->{fd} } = $s;
	$self->{select}->add($w->{fd});
	$self->{count}{sessions}++;
	$self->note($begin, op($s, 'startup', adopts => $token->{name}, token => $token->{text})) if $token;
	return;
}

# What it has said and heard no answer to has ended, as far as it will.
sub end_session
{
	my ($self, $s) = @_;
	my $w = delete $s->{wire};
	$self->{select}->remove($w->{fd});
	delete $self->{by_fd}{ fileno $w->{fd} };
	$w->close;
	$self->{count}{lost}++ if !$s->{leaves};
	$s->{job} = undef;
	$s->{due} = due_in($s->{leaves} ? 0 : 0.01);
	$self->end_operations($s);
	return;
}

sub end_operations
{
	my ($self, $s) = @_;
	for my $op (splice @{ $s->{open} // [] }) {
		$op->{end} //= time;
		$self->{count}{ $op->{outcome} }++;
		if ($op->{read} && $op->{outcome} eq 'ok') { $self->{count}{ $op->{near} ? 'near' : 'home' }++ }
		$self->{codes}{ $op->{code} }++ if $op->{code};
		$s->{told} ||= ($op->{code} // '') eq '55000';
	}
	return;
}

sub next_step
{
	my ($self, $s) = @_;
	my $step = shift @{ $s->{job} };
	if (!$step) {
		$s->{job} = undef;
		$s->{due} = $s->{sleeps} && rand() < 0.3 ? due_in(rand 3) : rand() < 0.3 ? due_in(rand 0.01) : 0;
		$self->end_operations($s);
		return;
	}
	$s->{step} = $step;
	$s->{answers} = [];
	$s->{since} = deadline(60, "$s->{name}: the answer to " . join ', ', map { $_->{how} } @{ $step->{ops} });
	for my $op (@{ $step->{ops} }) {
		@$op{qw(begin outcome)} = (time, 'fail');
		push @{ $self->{all} }, $op;
		push @{ $s->{open} }, $op;
	}
	$step->{said}->();
	my $bytes = $step->{bytes};
	my $sent  = rand() < 0.1 ? $s->{wire}->send_split($bytes, 1 + int rand length $bytes) : $s->{wire}->send($bytes);
	$self->end_session($s) if !$sent || $s->{leaves};
	return;
}

# Messages up to a ReadyForQuery.
sub answer_of
{
	my (@messages) = @_;
	my %a = (results => [ [] ], tags => [], notices => []);
	for my $m (@messages) {
		my ($type, $body) = @$m;
		if    ($type eq 'D') { push @{ $a{results}[-1] }, row_values($m) }
		elsif ($type eq 'C') { push @{ $a{tags} }, $body =~ s/\0.*//sr; push @{ $a{results} }, [] }
		elsif ($type eq 'E') { $a{error} //= error_fields($m) }
		elsif ($type eq 'N') { push @{ $a{notices} }, error_fields($m) }
		elsif ($type eq 'S') { my ($name, $value) = parameter($m); $a{token} = $value if $name eq 'meridian.token' }
	}
	return \%a;
}

sub hear
{
	my ($self, $s) = @_;
	my $open = $s->{wire}->fill;
	while (my $m = $s->{wire}->whole_message) {
		push @{ $s->{in} }, $m;
		next if $m->[0] ne 'Z';
		push @{ $s->{answers} }, answer_of(splice @{ $s->{in} });
		next if @{ $s->{answers} } < $s->{step}{ready};
		$self->answered($s);
		last unless $s->{wire};
	}
	if (!$open && $s->{wire}) {
		my $last = answer_of(@{ $s->{in} })->{error};
		$self->{codes}{ $last->{C} }++ if $last;
		$self->end_session($s);
	}
	return;
}

sub answered
{
	my ($self, $s) = @_;
	my @answers = @{ $s->{answers} };
	$s->{step}{heard}->(@answers);
	# a mistake may have taken a statement's Parse with it
	$s->{prepared} = {} if grep { $_->{error} } @answers;
	if (defined(my $text = $answers[-1]{token})) {
		my $name = 't' . ++$self->{made};
		$self->note(time, op($s, 'reported', shows => $name, token => $text));
		$s->{token} = $self->keep_token($name, $text);
	}
	$self->next_step($s);
	return;
}

# ---------------------------------------------------------------- all of them

sub begin_job
{
	my ($self, $s) = @_;
	my $bag  = $s->{quiet} && rand() < 0.97 ? $self->{quiet} : $self->{bag};
	my $name = $bag->[ rand @$bag ];
	# who has been refused what was lost asks some more, and forgets it then
	if ($s->{told} && rand() < 0.3) {
		$name = 'forget';
		$s->{told} = 0;
	}
	$s->{job} = [ shape($self, $s, $name) ];
	return $self->next_step($s);
}

sub turn
{
	my ($self) = @_;
	for my $s (@{ $self->{slots} }) {
		croak $s->{since}->text if $s->{job} && $s->{since}->over;
		next if $s->{job} || !is_due($s->{due});
		if    (!$s->{wire})      { $self->begin_session($s) }
		elsif (!$self->{ending}) { $self->begin_job($s) }
	}
	$self->count_troubles;
	for my $fd ($self->{select}->can_read(0.01)) {
		my $s = $self->{by_fd}{ fileno $fd };
		$self->hear($s) if $s;
	}
	return;
}

sub run
{
	my ($self, $until, $what, $seconds) = @_;
	my $d = deadline($seconds, $what // 'what the sessions are to do');
	until ($until->()) {
		return 0 if $d->over;
		$self->turn;
	}
	return 1;
}

sub finish
{
	my ($self) = @_;
	$self->{ending} = 1;
	my $done = $self->run(sub { !grep { $_->{job} } @{ $self->{slots} } }, 'all to have their answers');
	for my $s (grep { $_->{wire} } @{ $self->{slots} }) {
		$s->{leaves} = 1;
		$self->end_session($s);
	}
	return $done;
}

# What has become of transfers that is not known is: the ledger of a home, [ n, value ] of each, says. After a fail-over the
# new home's is asked first: what both have was done at the old one.
sub settle
{
	my ($self, $home, @ledger) = @_;
	my %n = map { $_->[1] => $_->[0] } @ledger;
	for my $op (grep { $_->{transfer} && $_->{outcome} eq 'info' && $n{ $_->{write}{value} } } @{ $self->{all} }) {
		@{ $op->{write} }{qw(version home)} = ($n{ $op->{write}{value} }, $home);
	}
	return;
}

sub history { my ($self, %opt) = @_; return Meridian::Test::History->new($self->{all}, homes => ['us-east1'], %opt) }

# ---------------------------------------------------------------- other processes

# A process that runs code, which is given a file that ends when it is to end, and one to say something by.
sub child
{
	my ($code) = @_;
	pipe my $its,  my $ours or croak "pipe: $!";
	pipe my $said, my $out  or croak "pipe: $!";
	my $pid = fork // croak "fork: $!";
	if (!$pid) {
		close $_ for $ours, $said;
		eval { $code->($its, $out); 1 } or syswrite $out, "failed: $@";
		POSIX::_exit(0);
	}
	close $_ for $its, $out;
	return { pid => $pid, end => $ours, said => $said, text => '' };
}

# Read what it has said; false at its end.
sub listen_to
{
	my ($child) = @_;
	return 1 if !IO::Select->new($child->{said})->can_read(0);
	my $open = sysread $child->{said}, $child->{text}, 65536, length $child->{text};
	croak $child->{text} if $child->{text} =~ /^failed: /m;
	return $open;
}

sub reap
{
	my ($self, $child) = @_;
	$self->turn while listen_to($child);
	waitpid $child->{pid}, 0;
	return $child->{text};
}

sub beside { my ($self, $code) = @_; return $self->reap(child(sub { syswrite $_[1], $code->() })) }

# Trouble at random, each kind for a while: its code is given a function that lasts as long, and mends what it has done.
sub trouble
{
	my ($self, $kinds, $seed) = @_;
	$self->{troubles} = { map { $_ => 0 } keys %$kinds };
	$self->{trouble}  = child(sub {
		my ($end, $out) = @_;
		srand $seed;
		my $ends = IO::Select->new($end);
		my @bag;
		until ($ends->can_read(0.02 + rand 0.1)) {
			# each of them once, before any comes again
			@bag = sort keys %$kinds unless @bag;
			my $kind = splice @bag, rand @bag, 1;
			$kinds->{$kind}->(sub { return $ends->can_read(0.02 + rand 0.3) });
			syswrite $out, "$kind\n";
		}
	});
	return;
}

sub count_troubles
{
	my ($self) = @_;
	my $t = $self->{trouble} // return;
	listen_to($t);
	$self->{troubles}{$1}++ while $t->{text} =~ s/^(.*)\n//;
	return;
}

sub calm
{
	my ($self) = @_;
	close $self->{trouble}{end};
	$self->reap($self->{trouble});
	$self->count_troubles;
	delete $self->{trouble};
	return;
}

1;
