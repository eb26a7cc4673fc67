#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# pgx, the driver of Go, through reads = nearest, with each of its ways to prepare statements: goroutines with a connection of pgxpool
# each read what they have written, nearby, right behind each write, batch, COPY and transaction, and in transactions that are read-only.
# Where the pool gives them another connection, they do with consistency = strict, or with a token. The other drivers are 895.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters regional_standby);
use Meridian::Test::Drivers qw(driver_run driver_missing);
use Meridian::Test::Patience;
use Meridian::Test::Reads;
use Test::More;

my $why = driver_missing('pgx');
plan skip_all => $why if $why;

# What home writes beside its commits goes on its way soon.
my ($home) = regional_clusters('us-east1', { streaming => 1, conf => "wal_writer_delay = 10\n" });
$home->safe_psql('postgres', 'CREATE TABLE t (id serial PRIMARY KEY, who text, n int)');
my $near  = regional_standby($home, 'europe-west1');
my $wait  = span(30);
my $proxy = near_proxy($home, $near, set => { workers => 2, default_pool_size => 6 },
	conf => "[database postgres]\npool = transaction\nreads = nearest\nconsistency_wait = $wait\n");

my $go = <<'GO';
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sort"
	"sync"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

const (
	here   = "current_setting('cluster_name')"
	insert = "insert into t (who, n) values ($1, $2) returning id, " + here
	update = "update t set n = $1 where id = $2 returning n, " + here
	find   = "select n, " + here + " from t where id = $1"
	count  = "select count(*)::int, " + here + " from t where who = $1"
	series = "select g, " + here + " from generate_series(1, $1::int) g"
	divide = "select 1 / $1::int"
)

var ctx = context.Background()

// What a way to prepare was seen to do: what was wrong, where what only reads and what writes ran, and how many transactions only read.
type notes struct {
	sync.Mutex
	wrong         []string
	reads, writes places
	transactions  int
}

type places map[string]int

type asker interface {
	QueryRow(ctx context.Context, sql string, args ...interface{}) pgx.Row
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func names(at places) []string {
	all := []string{}
	for name := range at {
		all = append(all, name)
	}
	sort.Strings(all)
	return all
}

func (s *notes) is(at places, what string, got, want int, place string) {
	s.Lock()
	defer s.Unlock()
	at[place]++
	if got != want {
		s.wrong = append(s.wrong, fmt.Sprintf("%s: %d is not %d at %s", what, got, want, place))
	}
}

func (s *notes) fails(err error, code string) {
	var told *pgconn.PgError
	if !errors.As(err, &told) || told.Code != code {
		panic(fmt.Errorf("not %s but %v", code, err))
	}
}

func (s *notes) onlyReads() {
	s.Lock()
	defer s.Unlock()
	s.transactions++
}

// One row of a number and a place.
func (s *notes) row(at places, want int, c asker, sql string, args ...interface{}) {
	var got int
	var place string
	check(c.QueryRow(ctx, sql, args...).Scan(&got, &place))
	s.is(at, sql, got, want, place)
	if _, inside := c.(pgx.Tx); !inside && place == "europe-west1" {
		s.onlyReads()
	}
}

func (s *notes) insert(c asker, who string, n int) (id int) {
	var place string
	check(c.QueryRow(ctx, insert, who, n).Scan(&id, &place))
	s.is(s.writes, insert, n, n, place)
	return id
}

func (s *notes) batch(at places, c *pgxpool.Conn, want []int, b *pgx.Batch) {
	r := c.SendBatch(ctx, b)
	for _, n := range want {
		var got int
		var place string
		check(r.QueryRow().Scan(&got, &place))
		s.is(at, "batch", got, n, place)
	}
	check(r.Close())
}

func (s *notes) batches(c *pgxpool.Conn, who string, id, n int) int {
	b := &pgx.Batch{}
	b.Queue(find, id)
	b.Queue(series, 1)
	b.Queue(find, id)
	s.batch(s.reads, c, []int{n, 1, n}, b)
	s.onlyReads()
	b = &pgx.Batch{}
	b.Queue(find, id)
	b.Queue(update, n+1, id)
	b.Queue(find, id)
	b.Queue(update, n+2, id)
	b.Queue(find, id)
	s.batch(s.writes, c, []int{n, n + 1, n + 1, n + 2, n + 2}, b)
	s.row(s.reads, n+2, c, find, id)
	b = &pgx.Batch{}
	b.Queue(update, -1, id)
	b.Queue(divide, 0)
	s.fails(c.SendBatch(ctx, b).Close(), "22012")
	s.row(s.reads, n+2, c, find, id)
	return n + 2
}

func (s *notes) transaction(c *pgxpool.Conn, id, n int) int {
	tx, err := c.Begin(ctx)
	check(err)
	s.row(s.writes, n, tx, find, id)
	s.row(s.writes, n+1, tx, update, n+1, id)
	for _, end := range []func(pgx.Tx) error{
		func(point pgx.Tx) error { return point.Rollback(ctx) },
		func(point pgx.Tx) error {
			_, err := point.Exec(ctx, divide, 0)
			s.fails(err, "22012")
			return point.Rollback(ctx)
		},
	} {
		point, err := tx.Begin(ctx)
		check(err)
		s.row(s.writes, -n, point, update, -n, id)
		check(end(point))
		s.row(s.writes, n+1, tx, find, id)
	}
	check(tx.BeginFunc(ctx, func(point pgx.Tx) error {
		s.row(s.writes, n+2, point, update, n+2, id)
		return nil
	}))
	check(tx.Commit(ctx))
	s.row(s.reads, n+2, c, find, id)
	tx, err = c.Begin(ctx)
	check(err)
	s.row(s.writes, -n, tx, update, -n, id)
	check(tx.Rollback(ctx))
	s.row(s.reads, n+2, c, find, id)
	return n + 2
}

func (s *notes) readOnly(c *pgxpool.Conn, id, n int) {
	for _, how := range []pgx.TxOptions{
		{AccessMode: pgx.ReadOnly},
		{AccessMode: pgx.ReadOnly, IsoLevel: pgx.RepeatableRead, DeferrableMode: pgx.NotDeferrable},
	} {
		check(c.BeginTxFunc(ctx, how, func(tx pgx.Tx) error {
			s.row(s.reads, n, tx, find, id)
			point, err := tx.Begin(ctx)
			check(err)
			_, err = point.Exec(ctx, update, -n, id)
			s.fails(err, "25006")
			check(point.Rollback(ctx))
			s.row(s.reads, n, tx, find, id)
			return nil
		}))
		s.onlyReads()
	}
	// a standby has no serializable transactions
	how := pgx.TxOptions{AccessMode: pgx.ReadOnly, IsoLevel: pgx.Serializable, DeferrableMode: pgx.Deferrable}
	check(c.BeginTxFunc(ctx, how, func(tx pgx.Tx) error {
		s.row(s.writes, n, tx, find, id)
		return nil
	}))
	s.row(s.reads, n, c, find, id)
}

func (s *notes) many(c *pgxpool.Conn, who string, rows, before int) {
	all := [][]interface{}{}
	for i := 0; i < rows; i++ {
		all = append(all, []interface{}{who, i})
	}
	_, err := c.CopyFrom(ctx, pgx.Identifier{"t"}, []string{"who", "n"}, pgx.CopyFromRows(all))
	check(err)
	s.row(s.reads, before+rows, c, count, who)
	r, err := c.Query(ctx, series, rows)
	check(err)
	n := 0
	for r.Next() {
		var got int
		var place string
		n++
		check(r.Scan(&got, &place))
		s.is(s.reads, series, got, n, place)
	}
	check(r.Err())
	s.is(s.reads, "rows", n, rows, "europe-west1")
	s.onlyReads()
}

// A session's own writes, on one connection.
func (s *notes) client(pool *pgxpool.Pool, who string) {
	c, err := pool.Acquire(ctx)
	check(err)
	defer c.Release()
	for turn := 0; turn < 5; turn++ {
		id := s.insert(c, who, turn)
		s.row(s.reads, turn, c, find, id)
		s.row(s.writes, turn+1, c, update, turn+1, id)
		s.row(s.reads, turn+1, c, find, id)
		n := s.transaction(c, id, turn+1)
		s.readOnly(c, id, n)
		n = s.batches(c, who, id, n)
		s.many(c, who, 20, turn*21+1)
		s.row(s.reads, n, c, find, id)
	}
}

// What another connection of the pool reads of what this one has written.
func (s *notes) another(pool *pgxpool.Pool, who string) {
	for turn := 0; turn < 10; turn++ {
		check(pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
			id := s.insert(c, who, turn)
			s.row(s.reads, turn, pool, find, id)
			s.row(s.writes, turn+1, c, update, turn+1, id)
			s.row(s.reads, turn+1, pool, find, id)
			return nil
		}))
	}
}

func (s *notes) withToken(pool *pgxpool.Pool, who string) {
	for turn := 0; turn < 10; turn++ {
		check(pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
			id := s.insert(c, who, turn)
			var token string
			check(c.QueryRow(ctx, "show meridian.token").Scan(&token))
			s.row(s.reads, turn, pool, find+" /*meridian_token='"+token+"'*/", pgx.QuerySimpleProtocol(true), id)
			return nil
		}))
	}
}

func run(name, at, how string, client func(*notes, *pgxpool.Pool, string)) {
	pool, err := pgxpool.Connect(ctx, at+" "+how)
	check(err)
	s := &notes{reads: places{}, writes: places{}}
	var all sync.WaitGroup
	for i := 0; i < 4; i++ {
		all.Add(1)
		go func(who string) {
			defer all.Done()
			defer func() {
				if said := recover(); said != nil {
					s.Lock()
					s.wrong = append(s.wrong, fmt.Sprint(said))
					s.Unlock()
				}
			}()
			client(s, pool, who)
		}(fmt.Sprintf("%s %d", name, i))
	}
	all.Wait()
	pool.Close()
	if len(s.wrong) > 3 {
		s.wrong = s.wrong[:3]
	}
	fmt.Println(name, s.wrong, names(s.reads), names(s.writes), s.transactions)
}

func main() {
	at := "host=127.0.0.1 port=" + os.Args[1] + " user=postgres dbname=postgres pool_max_conns=8"
	paris := "options='-c meridian.city=paris'"
	switch os.Args[2] {
	case "strict":
		run("strict", at, "options='-c meridian.city=paris -c meridian.consistency=strict'", (*notes).another)
	case "token":
		run("token", at, paris, (*notes).withToken)
	default:
		run(os.Args[2], at+" "+os.Args[2], paris, (*notes).client)
	}
}
GO

my $w = paris($proxy);
for my $how (qw(statement_cache_capacity=512 statement_cache_capacity=2 statement_cache_mode=describe statement_cache_capacity=0
	prefer_simple_protocol=true strict token)) {
	# From then on the database's own functions are known: a session that has to learn them runs what it is told meanwhile at home.
	$w->ask('SHOW meridian.token', 'SHOW meridian.token');
	my ($said, $reads) = driver_run('pgx', $go, $proxy->port, $how) =~ /^(.*?)(?: (\d+))?\n?$/s;
	is($said, "$how [] [europe-west1] [us-east1]", "pgx: $how: what is written is read, nearby");
	my $ran    = tally($proxy);
	my $nearby = $ran->{'near READ'} + $ran->{'near READ_ONLY'};
	cmp_ok($nearby, '>=', $reads // 1, "... $nearby transactions, as SHOW READS counts");
	is(misjudged($ran), '', '... none of them misjudged');
}
my $same = 'SELECT count(*), sum(n) FROM t';
$home->wait_for_catchup($near, 'replay');
is($near->safe_psql('postgres', $same), $home->safe_psql('postgres', $same), 'the standby has what home has');
$proxy->stop;
done_testing();
