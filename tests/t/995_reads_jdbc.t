#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# PostgreSQL's JDBC driver through reads = nearest: each client reads what it has written, nearby, right behind each write, by statements
# that the driver prepares by itself after so many uses; batches, savepoints, generated keys, read-only transactions, cursors.
# The other drivers are 895.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters regional_standby);
use Meridian::Test::Drivers qw(driver_run driver_missing);
use Meridian::Test::Patience;
use Meridian::Test::Reads;
use Test::More;

my $why = driver_missing('jdbc');
plan skip_all => $why if $why;

# What home writes beside its commits goes on its way soon.
my ($home) = regional_clusters('us-east1', { streaming => 1, conf => "wal_writer_delay = 10\n" });
$home->safe_psql('postgres', 'CREATE TABLE t (id serial PRIMARY KEY, who text, n int)');
my $near  = regional_standby($home, 'europe-west1');
my $wait  = span(30);
my $proxy = near_proxy($home, $near, set => { workers => 2, default_pool_size => 4 },
	conf => "[database postgres]\npool = transaction\nreads = nearest\nconsistency_wait = $wait\n");

my $java = <<'JAVA';
import java.sql.*;
import java.util.*;
import java.util.concurrent.*;

class Main {
	static final Queue<String> wrong = new ConcurrentLinkedQueue<>();
	static final Set<String> reads = ConcurrentHashMap.newKeySet(), writes = ConcurrentHashMap.newKeySet();

	static void check(boolean is, String what) {
		if (!is) wrong.add(what);
	}

	/* What the client has written, and where that is read. */
	static void seen(Connection c, int id, int n, Set<String> places) throws SQLException {
		try (PreparedStatement s = c.prepareStatement("select n, current_setting('cluster_name') from t where id = ?")) {
			s.setInt(1, id);
			try (ResultSet r = s.executeQuery()) {
				check(r.next() && r.getInt(1) == n, "read " + n);
				places.add(r.getString(2));
			}
		}
	}

	static void update(Connection c, int id, int n) throws SQLException {
		try (PreparedStatement s = c.prepareStatement("update t set n = ? where id = ?")) {
			s.setInt(1, n);
			s.setInt(2, id);
			check(s.executeUpdate() == 1, "update");
		}
	}

	static int insert(Connection c, int me, int n) throws SQLException {
		try (PreparedStatement s = c.prepareStatement("insert into t (who, n) values (?, ?)", new String[] { "id" })) {
			s.setString(1, "jdbc" + me);
			s.setInt(2, n);
			s.executeUpdate();
			try (ResultSet r = s.getGeneratedKeys()) {
				r.next();
				return r.getInt(1);
			}
		}
	}

	static void many(Connection c, int rows, Set<String> places) throws SQLException {
		try (PreparedStatement s = c.prepareStatement("select g, current_setting('cluster_name') from generate_series(1, ?) g")) {
			s.setInt(1, rows);
			s.setFetchSize(7);
			int n = 0;
			try (ResultSet r = s.executeQuery()) {
				while (r.next()) {
					check(r.getInt(1) == ++n, "row");
					places.add(r.getString(2));
				}
			}
			check(n == rows, "rows " + n);
		}
	}

	static void client(String url, int me) throws SQLException {
		try (Connection c = DriverManager.getConnection(url, "postgres", "")) {
			for (int turn = 0; turn < 8; turn++) {
				int id = insert(c, me, turn);
				seen(c, id, turn, reads);
				update(c, id, turn + 1);
				seen(c, id, turn + 1, reads);
				c.setAutoCommit(false);
				update(c, id, turn + 100);
				seen(c, id, turn + 100, writes);
				Savepoint p = c.setSavepoint();
				update(c, id, -1);
				seen(c, id, -1, writes);
				c.rollback(p);
				c.releaseSavepoint(p);
				try (PreparedStatement s = c.prepareStatement("insert into t (who, n) values (?, ?)")) {
					for (int k = 0; k < 20; k++) {
						s.setString(1, "batch" + me);
						s.setInt(2, turn);
						s.addBatch();
					}
					check(s.executeBatch().length == 20, "batch");
				}
				many(c, 30, writes);
				c.commit();
				c.setAutoCommit(true);
				seen(c, id, turn + 100, reads);
				c.setReadOnly(true);
				c.setAutoCommit(false);
				seen(c, id, turn + 100, reads);
				many(c, 30, reads);
				try {
					update(c, id, -2);
					check(false, "wrote");
				} catch (SQLException e) {
					check(e.getSQLState().equals("25006"), e.getMessage());
				}
				c.rollback();
				c.setReadOnly(false);
				update(c, id, -3);
				c.rollback();
				c.setAutoCommit(true);
				seen(c, id, turn + 100, reads);
				try (PreparedStatement s = c.prepareStatement("select count(*) from t where who = ?")) {
					s.setString(1, "batch" + me);
					try (ResultSet r = s.executeQuery()) {
						check(r.next() && r.getInt(1) == 20 * (turn + 1), "count");
					}
				}
			}
		}
	}

	public static void main(String[] args) throws Exception {
		for (String options : new String[] { "prepareThreshold=1", "prepareThreshold=5", "prepareThreshold=1&preparedStatementCacheQueries=3",
				"prepareThreshold=-1", "preferQueryMode=extendedForPrepared", "preferQueryMode=simple", "readOnlyMode=always&prepareThreshold=2" }) {
			String url = "jdbc:postgresql://127.0.0.1:" + args[0] + "/postgres?options=-c%20meridian.city%3Dparis&" + options;
			ExecutorService pool = Executors.newFixedThreadPool(4);
			List<Future<?>> all = new ArrayList<>();
			for (int i = 1; i <= 4; i++) {
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
			System.out.println(options + " " + new ArrayList<>(wrong).subList(0, Math.min(3, wrong.size())) + " " + reads + " " + writes);
			wrong.clear();
			reads.clear();
			writes.clear();
		}
	}
}
JAVA
my $right = '[] [europe-west1] [us-east1]';
is(driver_run('jdbc', $java, $proxy->port), <<"OUT", 'JDBC');
prepareThreshold=1 $right
prepareThreshold=5 $right
prepareThreshold=1&preparedStatementCacheQueries=3 $right
prepareThreshold=-1 $right
preferQueryMode=extendedForPrepared $right
preferQueryMode=simple $right
readOnlyMode=always&prepareThreshold=2 $right
OUT
my $ran = tally($proxy);
is(misjudged($ran), '', "$ran->{'near READ'} reads nearby, none of them misjudged");
$proxy->stop;
done_testing();
