#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# The engine of migrations, on two clusters, with a kind that writes down what it does: a crash
# before and after each step, and what the next executor makes of it, forward and back.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Migrator;
use Test::More;

my ($east, $west) = regional_clusters('us-east1', 'us-west1');
$_->safe_psql('postgres', 'CREATE DATABASE app') for $east, $west;
my $m = Meridian::Test::Migrator->new(a => $east, b => $west);
my ($id, $rc, $out) = (0);

sub create
{
	my ($name) = @_;
	(my $made = $m->run([ 'create', 'app', $name ])) =~ s/\s+$//;
	return $id = $made;
}

# ---- the way of one migration ----
is(create('first'), 1, 'the first migration has number 1');
is(create('second'), 2, 'the second has the next');
like($m->run([ 'create', 'app', 'first' ]), qr/^42710: /, 'a name is taken while its migration is not over');
like($m->run([ 'show', '99' ]), qr/^42704: there is no migration 99/, 'a migration that is not there');
like($m->run([ 'run', 1, 'prepare' ]), qr/^1 first prepared\|a\|5 two/m, 'PREPARE');
like($m->run([ 'run', 'first', 'data' ]), qr/data-migrated/, 'DATA, by its name');
like($m->run([ 'run', 1, 'finalize' ]), qr/^1 first redirecting\|b\|12 home/m, 'FINALIZE: the rows live at the target');
like($m->run([ 'run', 1, 'complete' ]), qr/^1 first done\|b/m, 'COMPLETE');
is($m->did('a', 1), 'one:actx two:act ack:act fence:act switch:act tidy:act', 'each step once, there');
is($m->did('b', 1), 'one:acty slow:act freeze:act decide:act home:act',         '… and here');
is($m->value('b', "SELECT bool_and(seq = n) FROM (SELECT seq, row_number() OVER (ORDER BY seq) n FROM meridian.journal "
			. "WHERE mig = 1) x"), 't', 'the journal has no gaps, and moved with the home');
is($m->value('b', "SELECT count(*) > 30 FROM meridian.journal WHERE mig = 1"), 't', '… with all that was in it');
like($m->run(['list']), qr/^1 first done\|b.*\n2 second created\|a/, 'each is listed once, from its home');
my $uuid = $m->value('b', 'SELECT left(uuid, 8) FROM meridian.migration WHERE id = 1');
like($m->run([ 'show', $uuid ]), qr/^1 first done/, 'found by the first digits of its uuid');

# ---- every crash point of PREPARE ----
my %wanted = ('one:before' => '', 'one:after' => 'one:actx', 'two:before' => 'one:actx', 'two:after' => 'one:actx two:act');
for my $point (qw(table:before table:after one:before one:after two:before two:after)) {
	create($point =~ s/:/_/r);
	($rc) = $m->run([ 'run', $id, 'prepare' ], crash => $point);
	is($rc, 9, "killed at $point");
	is($m->did('a', $id), $wanted{$point}, '… with this done') if exists $wanted{$point};
	like($m->run([ 'run', $id, 'prepare' ], id => 'p2'), qr/ prepared\|/, '… resumed by another proxy');
	is($m->did('a', $id) . ' ' . $m->did('b', $id), 'one:actx two:act one:acty', '… everything was done once');
}
for my $point (qw(one:before one:after two:after)) {
	create('back_' . ($point =~ s/:/_/r));
	$m->run([ 'run', $id, 'prepare' ], crash => $point);
	like($m->run([ 'run', $id, 'abort' ]), qr/ aborted\|/, "killed at $point, and aborted");
	my $all = $m->did('a', $id) . ' ' . $m->did('b', $id);
	is(() = $all =~ /one:act[xy]/g, () = $all =~ /one:undo[xy]/g, '… what was done was undone');
}

# ---- and of the steps between freeze and switch ----
create('pause');
$m->run([ 'run', $id, $_ ]) for qw(prepare data);
for my $point (qw(freeze:before freeze:after fence:after decide:before)) {
	($rc) = $m->run([ 'run', $id, 'finalize' ], crash => $point);
	is($rc, 9, "killed at $point");
	like($m->steps('a', $id), qr/freeze=running fence=running decide=running switch=running/,
		'… the rows say what may have to be undone');
}
($rc, $out) = $m->run([ 'run', $id, 'abort' ]);
like($out, qr/gate resume app.* aborted\|/s, 'ABORT opens what was frozen');
like($m->did('a', $id), qr/fence:act fence:undo two:undo one:undox$/, '… undoes the fence, then all the rest');

create('decided');
$m->run([ 'run', $id, $_ ]) for qw(prepare data);
$m->run([ 'run', $id, 'finalize' ], crash => 'decide:after');
($rc, $out) = $m->run([ 'run', $id, 'abort' ]);
like($out, qr/^55000: migration $id is decided/m, 'killed behind the decision: ABORT is refused');
like($m->did('a', $id), qr/fence:act switch:act/, '… and what was decided goes on: no undo, nothing twice');
like($m->run([ 'run', $id, 'again' ]), qr/ redirecting\|b/, '… to its end');
is($m->did('b', $id), 'one:acty slow:act freeze:act decide:act home:act', '… the decision was made once');

# ---- a step of which nobody could ask whether it is done: it has not begun, and ABORT leaves it alone ----
for my $way (qw(abort again)) {
	create("unasked_$way");
	$m->run([ 'run', $id, 'prepare' ], crash => 'two:before');
	$east->safe_psql('app', 'ALTER TABLE did RENAME TO elsewhere');
	like($m->run([ 'run', $id, 'prepare' ]), qr/ error\|a.*42P01/s, 'the question fails');
	$east->safe_psql('app', "ALTER TABLE elsewhere RENAME TO did; INSERT INTO did (mig, what, label) VALUES ($id, 'two:act', '')");
	if ($way eq 'again') {
		like($m->run([ 'run', $id, 'again' ]), qr/ prepared\|/, 'RETRY goes on');
		like($m->steps('a', $id), qr/two=skipped/, '… what somebody else has done is found, not ours');
	}
	like($m->run([ 'run', $id, 'abort' ]), qr/ aborted\|/, 'ABORT');
	unlike($m->did('a', $id), qr/two:undo/, '… and stays');
}

# ---- a step that fails ----
create('failing');
$m->run([ 'run', $id, $_ ]) for qw(prepare data);
$east->safe_psql('app', 'CREATE TABLE fail ()');
$out = $m->run([ 'run', $id, 'finalize' ]);
like($out, qr/ error\|a.*P0001: the test wants fence to fail/s, 'an error in the pause');
like($out, qr/gate freeze app\n(?:started 0\n)?gate resume app/, '… the freeze has ended with it');
like($m->steps('a', $id), qr/freeze=pending fence=pending decide=pending/, '… and nothing of it is left');
is($m->value('a', "SELECT detail->>'sqlstate' FROM meridian.journal WHERE mig = $id AND event = 'step-error'"),
	'P0001', '… the journal says why');
$east->safe_psql('app', 'DROP TABLE fail');
like($m->run([ 'run', $id, 'again' ]), qr/ redirecting\|b/, 'RETRY goes on there');

# ---- guards ----
create('guarded');
$east->safe_psql('app', 'CREATE TABLE in_the_way ()');
like($m->run([ 'run', $id, 'prepare' ]), qr/^MR005: 1 check stands in the way .*in_the_way public\.in_the_way: a table/m,
	'a guard stops it');
like($m->run([ 'show', $id ]), qr/ created\|/, '… before anything was done');
like($m->run([ 'run', $id, 'prepare' ], env => { MIGRATOR_FORCE => 'in_the_way' }), qr/ prepared\|/, '… FORCE names it');
$east->safe_psql('app', 'DROP TABLE in_the_way');

# ---- waiting ----
my $run = $m->start([ 'run', $id, 'data' ], env => { MIGRATOR_ACK => 1 });
ok($east->poll_query_until('app', "SELECT state = 'waiting-ack' FROM meridian.migration WHERE id = $id"), 'it waits for ACK');
$m->run([ 'ack', $id, 'ready' ]);
is($run->finish, 0, '… and goes on when it was said');
like($run->{out}, qr/ data-migrated\|/, '… to the end of the phase');

create('paused');
$m->run([ 'run', $id, 'prepare' ]);
$run = $m->start([ 'run', $id, 'data' ], env => { MIGRATOR_WAIT_MS => 20000 });
ok($east->poll_query_until('app', "SELECT detail LIKE 'step % of 400' FROM meridian.migration WHERE id = $id"),
	'progress is seen while it works');
$m->run([ 'request', $id, 'pause' ], id => 'p2');
$run->finish;
like($run->{out}, qr/ paused\|/, 'PAUSE by another proxy stops it');
$run = $m->start([ 'run', $id, 'again' ], env => { MIGRATOR_WAIT_MS => 20000 });
ok($east->poll_query_until('app', "SELECT state = 'running(data)' FROM meridian.migration WHERE id = $id"), 'RESUME');
like($m->run([ 'run', $id, 'abort' ], id => 'p2'), qr/^started 0/, 'ABORT by another proxy');
$run->finish;
like($run->{out}, qr/ aborted\|/, '… stops it and undoes everything');
is($m->did('a', $id) . '|' . $m->did('b', $id), 'one:actx two:act two:undo one:undox|one:acty slow:undo one:undoy',
	'… in reverse order');

# ---- a schema that is half made, and another program's ----
my ($there) = $west->safe_psql('app', 'DELETE FROM meridian.version RETURNING version');
like($m->run([ 'run', 2, 'prepare' ]), qr/prepared\|/, 'a control schema that is half made is made whole');
is($west->safe_psql('app', 'SELECT version FROM meridian.version'), $there, '… with its version');
$west->safe_psql('app', 'UPDATE meridian.version SET version = 1');
like($m->run([ 'run', 2, 'prepare' ]), qr/^0A000: the control schema of this database is of version 1, this program knows $there$/m,
	'one of an older version is refused');
$west->safe_psql('app', 'UPDATE meridian.version SET version = 99');
like($m->run([ 'run', 2, 'prepare' ]), qr/^0A000: the control schema of this database is of version 99/m,
	'a control schema of a newer version is left alone');

done_testing;
