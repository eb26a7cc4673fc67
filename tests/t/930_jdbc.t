#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# PostgreSQL's JDBC driver in transaction mode: statements that it prepares by itself after so many
# uses (prepareThreshold), batches, cursors, a table that changes; many clients, two connections.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Drivers qw(driver_run driver_missing);
use Meridian::Test::Proxy;
use Test::More;

my $why = driver_missing('jdbc');
plan skip_all => $why if $why;

my ($node) = regional_clusters('us-east1');
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $node ],
	set     => { auth => 'trust', workers => 1, default_pool_size => 2, max_prepared_statements => 20 },
	conf    => "[database *]\npool = transaction\n");
$proxy->start;
$node->safe_psql('postgres', 'CREATE TABLE t (id serial PRIMARY KEY, who text, n int)');

my $java = <<'JAVA';
import java.sql.*;
import java.util.*;
import java.util.concurrent.*;

class Main {
	static final Queue<String> wrong = new ConcurrentLinkedQueue<>();

	static void check(boolean is, String what) {
		if (!is) wrong.add(what);
	}

	static int number(Connection c, String sql, int n) throws SQLException {
		try (PreparedStatement s = c.prepareStatement(sql)) {
			s.setInt(1, n);
			try (ResultSet r = s.executeQuery()) {
				r.next();
				return r.getInt(1);
			}
		}
	}

	static void client(String url, int me) throws SQLException {
		try (Connection c = DriverManager.getConnection(url, "postgres", "")) {
			for (int turn = 0; turn < 3; turn++) {
				for (int i = 0; i < 25; i++) {
					int plus = i % 2 == 0 ? i : i * me;
					check(number(c, "select ?::int + " + plus, turn) == turn + plus, "plus " + me + " " + turn + " " + i);
				}
				c.setAutoCommit(false);
				try (PreparedStatement s = c.prepareStatement("insert into t (who, n) values (?, ?)")) {
					for (int k = 0; k < 20; k++) {
						s.setString(1, "jdbc" + me);
						s.setInt(2, turn);
						s.addBatch();
					}
					check(s.executeBatch().length == 20, "batch");
				}
				try (PreparedStatement s = c.prepareStatement("select n from t where who = ? order by id")) {
					s.setString(1, "jdbc" + me);
					s.setFetchSize(3);
					int rows = 0;
					try (ResultSet r = s.executeQuery()) {
						while (r.next()) check(r.getInt(1) == rows++ / 20, "cursor");
					}
					check(rows == 20 * (turn + 1), "rows " + rows);
				}
				c.commit();
				try {
					number(c, "select 1 / ?::int", 0);
					check(false, "no error");
				} catch (SQLException e) {
					check(e.getSQLState().equals("22012"), e.getMessage());
				}
				c.rollback();
				c.setAutoCommit(true);
			}
			try (Statement s = c.createStatement()) {
				s.execute("create table jdbc" + me + " as select 1 as a where 1 = 1");
				for (int k = 0; k < 12; k++) number(c, "select * from jdbc" + me + " where a = ?", 1);
				s.execute("alter table jdbc" + me + " add b text default 'new'");
				for (int k = 0; k < 12; k++) {
					try (PreparedStatement p = c.prepareStatement("select * from jdbc" + me + " where a = ?")) {
						p.setInt(1, 1);
						try (ResultSet r = p.executeQuery()) {
							check(r.next() && r.getMetaData().getColumnCount() == 2 && r.getString(2).equals("new"), "changed");
						}
					}
				}
				s.execute("drop table jdbc" + me);
			}
		}
	}

	public static void main(String[] args) throws Exception {
		for (String options : new String[] { "prepareThreshold=1", "prepareThreshold=5", "prepareThreshold=1&preparedStatementCacheQueries=3",
				"prepareThreshold=-1", "preferQueryMode=extendedForPrepared", "preferQueryMode=simple" }) {
			String url = "jdbc:postgresql://127.0.0.1:" + args[0] + "/postgres?" + options;
			ExecutorService pool = Executors.newFixedThreadPool(8);
			List<Future<?>> all = new ArrayList<>();
			for (int i = 1; i <= 8; i++) {
				int me = i;
				all.add(pool.submit(() -> { client(url, me); return null; }));
			}
			for (Future<?> f : all) {
				try { f.get(); } catch (ExecutionException e) { wrong.add(e.getCause().toString()); }
			}
			pool.shutdown();
			try (Connection c = DriverManager.getConnection(url, "postgres", ""); Statement s = c.createStatement()) {
				s.execute("truncate t");
			}
			System.out.println(options + " " + new ArrayList<>(wrong).subList(0, Math.min(3, wrong.size())));
			wrong.clear();
		}
	}
}
JAVA
is(driver_run('jdbc', $java, $proxy->port), <<'OUT', 'JDBC');
prepareThreshold=1 []
prepareThreshold=5 []
prepareThreshold=1&preparedStatementCacheQueries=3 []
prepareThreshold=-1 []
preferQueryMode=extendedForPrepared []
preferQueryMode=simple []
OUT

$proxy->stop;
done_testing();
