#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# auth = hba: which line lets whom in, over unix sockets, TCP, TLS, PROXY headers and HTTP; client
# certificates and the operating system's users, with maps; reloads. The same questions are put to a
# PostgreSQL with the same file. auth = cert by itself.
use strict;
use warnings;
use JSON::PP ();
use Meridian::Test::Cluster qw(regional_clusters certificate);
use Meridian::Test::Http;
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Tls;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;

delete @ENV{qw(PGPASSWORD PGUSER PGDATABASE)};
my $me = (getpwuid $>)[0];
my ($node) = regional_clusters('node');
my @roles = qw(alice bob carol dave app_1 replica mallory);
$node->safe_psql('postgres', join '', map { "CREATE ROLE $_ LOGIN;" } @roles);
$node->safe_psql('postgres', "CREATE DATABASE $_") for qw(alice secret db1 db2), '"a b"';

my $dir = PostgreSQL::Test::Utils::tempdir();
my ($hba, $ident, $users) = map { "$dir/$_" } qw(hba ident users);

sub write_file
{
	my ($path, $text) = @_;
	open my $out, '>', $path or die "$path: $!";
	print $out $text;
	close $out;
	return;
}

# Certificates of clients, and one that nobody here has signed.
my $server = certificate('proxy', alt => 'DNS:localhost,IP:127.0.0.1');
my %cert = map { $_ => certificate("client-$_", cn => $_) } qw(alice dave@example.com root);
$cert{stranger} = { map { $_ => "$dir/stranger.$_" } qw(cert key) };
PostgreSQL::Test::Utils::system_or_bail('openssl', 'req', '-x509', '-new', '-newkey', 'ec', '-pkeyopt',
	'ec_paramgen_curve:prime256v1', '-nodes', '-days', '30', '-subj', '/CN=alice', '-keyout', $cert{stranger}{key},
	'-out', $cert{stranger}{cert});
chmod 0600, $cert{stranger}{key};

write_file($users, qq("alice" "wonder"\n"bob" "builder"\n"app_1" "md5$_"\n)) for md5_of('one', 'app_1');
write_file($ident, <<"IDENT");
# MAP   SYSTEM                     DATABASE
os      $me                        carol
mail    /^(.*)\@example\\.com\$      \\1
dn      CN=root                    all
IDENT
write_file($hba, <<'HBA');
# TYPE      DATABASE          USER        ADDRESS              METHOD
local       secret            all                              reject
local       all               carol                            peer  map=os
local       all               bob                              peer
local       sameuser          alice                            trust
local       all               alice                            scram-sha-256
include_if_exists nowhere
include     more.conf
hostssl     all               alice       127.0.0.1/32         scram-sha-256 clientcert=verify-full
hostnossl   all               alice       127.0.0.1 255.255.255.255  scram-sha-256
host        "a b",@databases  bob,app_1   samehost             md5
host        all               bob         10.1.0.0/16          password
host        all               bob         2001:db8::/32        trust
host        /^db[0-9]$        /^app_      all                  md5
host        replication       replica     127.0.0.1/32         trust
host        all               replica     all                  reject
HBA
write_file("$dir/databases", "postgres # and that is all\n");
write_file("$dir/more.conf", <<'HBA');
hostssl     all               dave        all                  cert  map=mail
hostssl     db1               carol       all                  cert  clientname=DN map=dn \
            clientcert=verify-full
hostssl     db2               carol       all                  trust clientcert=verify-ca
HBA

sub md5_of { require Digest::MD5; return Digest::MD5::md5_hex(join '', @_) }

my %port = map { $_ => PostgreSQL::Test::Cluster::get_free_port() } qw(proxied web);
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $node ],
	set  => { auth => 'hba', hba_file => $hba, auth_ident_file => $ident, auth_file => $users, region => 'us-east1',
		trusted_proxies => '127.0.0.1/32', tls_cert_file => $server->{cert}, tls_key_file => $server->{key},
		tls_ca_file => $server->{ca} },
	conf => "[listener proxied]\nlisten = 127.0.0.1:$port{proxied}\nproxy_protocol = allow\n"
	  . "[listener web]\nlisten = 127.0.0.1:$port{web}\nhttp = on\n"
	  . "[database db1]\npool = transaction\n");
$proxy->start;

# ---------------------------------------------------------------- with psql

# The words of libpq for a way in.
sub way
{
	my ($how) = @_;
	return (host => $proxy->socket_dir) if $how eq 'unix';
	return (sslmode => 'disable') if $how eq 'tcp';
	return (sslmode => 'require', sslcert => "$dir/none", sslkey => "$dir/none") if $how eq 'tls';
	return (sslmode => 'require', sslcert => $cert{$how}{cert}, sslkey => $cert{$how}{key});
}

sub enter
{
	my ($to, $how, $user, $database, $password) = @_;
	my $connstr = $to->connstr($database, user => $user, connect_timeout => patience(10),
		defined $password ? (password => $password) : (), way($how));
	return ask_psql($connstr);
}

sub ask_psql
{
	my ($connstr) = @_;
	my ($out, $err) = PostgreSQL::Test::Utils::run_command([ 'psql', '-XAtqw', '-d', $connstr, '-c', 'SELECT current_user' ]);
	return $err eq '' ? "in as $out" : $err =~ s/.*FATAL: +//sr =~ s/\n.*//sr;
}

my $none = 'no pg_hba.conf entry for host';
my @psql = (
	# over the unix socket
	[ 'unix', 'alice', 'alice', undef, 'in as alice' ],
	[ 'unix', 'alice', 'postgres', 'wonder', 'in as alice' ],
	[ 'unix', 'alice', 'postgres', 'wrong', 'password authentication failed for user "alice"' ],
	[ 'unix', 'alice', 'secret', 'wonder', 'pg_hba.conf rejects connection for host "[local]", user "alice", database "secret", no encryption' ],
	[ 'unix', 'carol', 'postgres', undef, 'in as carol' ],
	[ 'unix', 'bob', 'postgres', undef, 'Peer authentication failed for user "bob"' ],
	[ 'unix', 'mallory', 'postgres', undef, qq($none "[local]", user "mallory", database "postgres", no encryption) ],
	# over TCP
	[ 'tcp', 'alice', 'postgres', 'wonder', 'in as alice' ],
	[ 'tcp', 'alice', 'postgres', 'wrong', 'password authentication failed for user "alice"' ],
	[ 'tcp', 'bob', 'postgres', 'builder', 'in as bob' ],
	[ 'tcp', 'bob', 'a b', 'builder', 'in as bob' ],
	[ 'tcp', 'bob', 'db1', 'builder', qq($none "127.0.0.1", user "bob", database "db1", no encryption) ],
	[ 'tcp', 'app_1', 'db1', 'one', 'in as app_1' ],
	[ 'tcp', 'app_1', 'db1', 'two', 'password authentication failed for user "app_1"' ],
	[ 'tcp', 'app_1', 'alice', 'one', qq($none "127.0.0.1", user "app_1", database "alice", no encryption) ],
	[ 'tcp', 'carol', 'postgres', undef, qq($none "127.0.0.1", user "carol", database "postgres", no encryption) ],
	[ 'tcp', 'dave', 'postgres', undef, qq($none "127.0.0.1", user "dave", database "postgres", no encryption) ],
	[ 'tcp', 'replica', 'postgres', undef, 'pg_hba.conf rejects connection for host "127.0.0.1", user "replica", database "postgres", no encryption' ],
	# over TLS, without a certificate and with one
	[ 'tls', 'alice', 'postgres', 'wonder', 'connection requires a valid client certificate' ],
	[ 'alice', 'alice', 'postgres', 'wonder', 'in as alice' ],
	[ 'alice', 'alice', 'postgres', 'wrong', 'password authentication failed for user "alice"' ],
	[ 'root', 'alice', 'postgres', 'wonder', 'certificate authentication failed for user "alice"' ],
	[ 'tls', 'bob', 'postgres', 'builder', 'in as bob' ],
	[ 'tls', 'mallory', 'postgres', undef, qq($none "127.0.0.1", user "mallory", database "postgres", SSL encryption) ],
	[ 'dave@example.com', 'dave', 'postgres', undef, 'in as dave' ],
	[ 'alice', 'dave', 'postgres', undef, 'certificate authentication failed for user "dave"' ],
	[ 'tls', 'dave', 'postgres', undef, 'connection requires a valid client certificate' ],
	[ 'root', 'carol', 'db1', undef, 'in as carol' ],
	[ 'alice', 'carol', 'db1', undef, 'certificate authentication failed for user "carol"' ],
	[ 'alice', 'carol', 'db2', undef, 'in as carol' ],
	[ 'tls', 'carol', 'db2', undef, 'connection requires a valid client certificate' ],
);
for my $case (@psql) {
	my ($how, $user, $database, $password, $expected) = @$case;
	is(enter($proxy, $how, $user, $database, $password), $expected,
		"$how: $user at $database" . (defined $password ? ", password $password" : ''));
}

# What the log says of it: ten lines of a kind in a second are all that it takes.
outlast(1, 'the second in which it has taken ten lines');
my $from = -s $proxy->logfile;
unlike(enter($proxy, 'stranger', 'carol', 'db2'), qr/in as/, 'a certificate that a stranger has signed is refused');
enter($proxy, 'unix', 'alice', 'secret', 'wonder');
enter($proxy, 'unix', 'mallory', 'postgres');
enter($proxy, 'root', 'alice', 'postgres', 'wonder');
enter($proxy, 'alice', 'dave', 'postgres');
$proxy->log_like(qr{map "mail" does not let alice be this user \(\Q$dir\E/more.conf:1\)}, 'the log says what a map does not', $from);
my $log = $proxy->log_text($from);
like($log, qr/TLS handshake with the client failed/, 'that a handshake failed');
like($log, qr{login refused: rejected \(\Q$hba\E:2\)}, 'which line rejects');
like($log, qr/login refused: no line of hba_file fits/, 'that there is none');
like($log, qr{login refused: root is not this user \(\Q$hba\E:9\)}, 'and whom a certificate names');

# ---------------------------------------------------------------- PostgreSQL itself, asked the same

# What it can be asked over its unix socket and TCP without TLS, with a file that it can read (15
# knows neither include nor expressions for databases).
my $text = PostgreSQL::Test::Utils::slurp_file($hba) =~ s/^include.*\n//mgr =~ s{^.*/\^.*\n}{}mgr;
$text = "local all $me trust\nhost all $me all trust\n$text";
write_file($node->data_dir . '/databases', "postgres # and that is all\n");
write_file($node->data_dir . '/pg_ident.conf', PostgreSQL::Test::Utils::slurp_file($ident));
my $open = PostgreSQL::Test::Utils::slurp_file($node->data_dir . '/pg_hba.conf');
$node->safe_psql('postgres', "SET password_encryption = 'scram-sha-256'; ALTER ROLE alice PASSWORD 'wonder'; ALTER ROLE bob PASSWORD 'builder'");
write_file($node->data_dir . '/pg_hba.conf', $text =~ s/^hostssl.*\n//mgr);
$node->reload;
is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_hba_file_rules WHERE error IS NOT NULL'), 0, 'PostgreSQL reads the file');
my $compared = 0;
for my $case (@psql) {
	my ($how, $user, $database, $password, $expected) = @$case;
	next unless $how =~ /^(?:unix|tcp)$/ && $user ne 'app_1';
	my $connstr = join ' ', 'port=' . $node->port, "user=$user", "dbname='$database'", 'sslmode=disable',
	  'host=' . ($how eq 'unix' ? $node->host : '127.0.0.1'), defined $password ? "password=$password" : ();
	is(ask_psql($connstr), $expected, "PostgreSQL says so, too: $how, $user at $database");
	$compared++;
}
cmp_ok($compared, '>', 12, 'that was enough to compare');
write_file($node->data_dir . '/pg_hba.conf', $open);
$node->reload;

# ---------------------------------------------------------------- the client's own address

# What is asked for first, or the SQLSTATE of the refusal, behind a header.
sub behind
{
	my ($header, $user, %opt) = @_;
	my $w = Meridian::Test::Wire->new(port => $port{proxied}, from => $opt{from});
	$w->send($header . startup(user => $user, database => $opt{database} // 'db1', @{ $opt{more} || [] }));
	my $m = $w->message or return 'closed';
	return $m->[0] eq 'E' ? error_fields($m)->{M} : unpack 'N', $m->[1];
}
is(behind(proxy_v1(src => '10.1.2.3'), 'bob'), 3, 'PROXY header: the address of the client has its own line');
is(behind(proxy_v2(src => '10.1.255.255'), 'bob'), 3, 'version 2 as well');
is(behind(proxy_v2(src => '2001:db8::5'), 'bob'), 0, 'IPv6');
is(behind(proxy_v2(src => '10.2.2.3'), 'bob'), qq($none "10.2.2.3", user "bob", database "db1", no encryption),
	'another address has none');
is(behind(proxy_v2(src => '127.0.0.1'), 'alice'), 10, 'an address like any other');
is(behind(proxy_v2(local => 1), 'alice'), 10, 'without one the peer counts');
is(behind('', 'alice'), 10, 'without a header, too');
is(behind(proxy_v2(src => '10.1.2.3'), 'bob', from => '127.0.0.9'), 'closed', 'nobody believes a stranger\'s header');
is(behind(proxy_v2(src => '10.1.2.3'), 'replica', database => 'postgres', more => [ replication => 'true' ]),
	qq(no pg_hba.conf entry for replication connection from host "10.1.2.3", user "replica", no encryption),
	'a physical replication has lines of its own');
is(behind('', 'replica', more => [ replication => 'true' ]), 0, 'which let it in');
is(behind('', 'replica', more => [ replication => 'database' ]), 'pg_hba.conf rejects connection for host "127.0.0.1", '
	  . 'user "replica", database "db1", no encryption', 'a logical one is a connection to its database');

my $w = Meridian::Test::Wire->new(port => $port{proxied});
$w->send(startup(user => 'mallory', database => 'x'));
my $fields = error_fields($w->message);
is($fields->{C}, '28000', 'SQLSTATE 28000');
is($fields->{D}, 'This is the hba_file of the proxy, not that of the server.', 'whose file it is');
ok($w->closed, 'closed');

# ---------------------------------------------------------------- shown

sub facts_of
{
	my (%login) = @_;
	my $c = delete $login{wire} || Meridian::Test::Wire->new($proxy);
	my @m = $c->login(%login);
	$c->send(query('SELECT pg_backend_pid()'));
	my $pid = row_values(($c->until('Z'))[1])->[0];
	my ($row) = grep { $_->{server_pid} eq $pid } @{ $proxy->console('SHOW SESSIONS FULL') };
	return { map { $_->{key} => $_->{value} } grep { $_->{section} eq 'facts' } @{ $proxy->console("SHOW SESSION $row->{id}") } };
}
my $facts = facts_of(user => 'alice', database => 'postgres', password => 'wonder');
is("$facts->{auth} by line $facts->{hba_line}", 'scram-sha-256 by line 10', 'SHOW SESSION: how it was let in');
$facts = facts_of(user => 'carol', database => 'postgres', wire => Meridian::Test::Wire->new(path => $proxy->socket_path));
is("$facts->{auth} by line $facts->{hba_line}", 'peer by line 3', 'and over the unix socket');

is_deeply([ map { join '|', @{$_}{qw(rule line type database user address method options)} } @{ $proxy->console('SHOW HBA') }[ 1, 5, 8, 9 ] ],
	[ '2|3|local|all|carol||peer|map=os', '6|1|hostssl|all|dave|all|cert|clientcert=verify-full map=mail',
		'9|9|hostssl|all|alice|127.0.0.1/32|scram-sha-256|clientcert=verify-full',
		'10|10|hostnossl|all|alice|127.0.0.1/32|scram-sha-256|' ], 'SHOW HBA: the rules in their order');
is($proxy->console('SHOW HBA')->[5]{file}, "$dir/more.conf", 'with the files that they stand in');

# ---------------------------------------------------------------- HTTP

sub sql
{
	my ($user, $password, @headers) = @_;
	my $c = Meridian::Test::Wire->new(port => $port{web});
	$c->send(http_request(POST => '/sql', 'Neon-Connection-String' => "postgresql://$user:$password\@x/postgres", @headers,
		body => '{"query":"SELECT current_user AS u"}'));
	my $json = eval { JSON::PP::decode_json(http_answer($c)->{body}) } || {};
	return $json->{rows} ? "in as $json->{rows}[0]{u}" : $json->{message};
}
is(sql('alice', 'wonder'), 'in as alice', 'POST /sql: by a line');
is(sql('alice', 'wrong'), 'password authentication failed for user "alice"', 'which wants a password');
is(sql('mallory', 'x'), qq($none "127.0.0.1", user "mallory", database "postgres", no encryption), 'or by none');
is(sql('bob', 'builder', 'X-Forwarded-For' => '10.2.2.2'),
	qq($none "10.2.2.2", user "bob", database "postgres", no encryption), 'the address is that of the headers');
my $ws = Meridian::Test::Wire->new(port => $port{web});
http_websocket($ws, '/v2');
is(($ws->login(user => 'alice', database => 'postgres', password => 'wonder'))[-1][0], 'Z', 'a WebSocket is like TCP');

# ---------------------------------------------------------------- reloads

write_file($hba, "host all all all trust\nhost all all nonsense trust\n");
like($proxy->reload, qr{\Q$hba\E:2: "nonsense" is not an IP address}, 'a reload names file and line of what is wrong');
is(enter($proxy, 'tcp', 'alice', 'postgres', 'wrong'), 'password authentication failed for user "alice"',
	'a file with an error changes nothing');
write_file($hba, "local all all trust\nhost all alice all reject\nhost all all all trust\n");
$proxy->reload;
is(enter($proxy, 'tcp', 'alice', 'postgres', 'wonder'),
	'pg_hba.conf rejects connection for host "127.0.0.1", user "alice", database "postgres", no encryption',
	'a good one counts from the next login on');
is(enter($proxy, 'tcp', 'mallory', 'postgres'), 'in as mallory', 'for everybody');
write_file($hba, "hostssl all all all cert map=nowhere\nhost all all all trust\n");
like($proxy->reload, qr{\Q$hba\E:1: this line lets no client in: auth_ident_file has no such map}, 'a line without a map is warned of');
is($proxy->console_error("SET hba_file = '$dir/absent'") =~ /could not open file/ ? 'refused' : '', 'refused', 'SET reads the file');
$proxy->stop;

# ---------------------------------------------------------------- the examples

my $examples = ($ENV{MERIDIAN_SRCDIR} || '.') . '/conf/examples';
$proxy = Meridian::Test::Proxy->new('examples', regions => [ 'us-east1' => $node ],
	set => { auth => 'hba', hba_file => "$examples/hba.conf", auth_ident_file => "$examples/ident.conf", auth_file => $users,
		tls_cert_file => $server->{cert}, tls_key_file => $server->{key}, tls_ca_file => $server->{ca} });
my ($checked, $says) = PostgreSQL::Test::Utils::run_command([ $proxy->program, '--check', $proxy->conf_file ]);
is($? >> 8, 0, 'the examples are good');
unlike($says, qr/lets no client in/, 'each line of them may let somebody in');

# ---------------------------------------------------------------- auth = cert

write_file($ident, "cert alice bob\ncert /^(.*)\@example.com\$ \\1\n");
$proxy = Meridian::Test::Proxy->new('cert',
	regions => [ 'us-east1' => $node ],
	set => { auth => 'cert', region => 'us-east1', http => 'on', tls_cert_file => $server->{cert}, tls_key_file => $server->{key},
		tls_ca_file => $server->{ca} });
$proxy->start;
is(enter($proxy, 'alice', 'alice', 'postgres'), 'in as alice', 'auth = cert: the certificate is the login');
is(enter($proxy, 'alice', 'bob', 'postgres'), 'certificate authentication failed for user "bob"', 'of its own name');
is(enter($proxy, 'tls', 'alice', 'postgres'), 'connection requires a valid client certificate', 'none is not enough');
is(enter($proxy, 'tcp', 'alice', 'postgres'), 'connection requires a valid client certificate', 'nor is no TLS');
is(enter($proxy, 'unix', 'alice', 'postgres'), 'connection requires a valid client certificate', 'on whatever socket');
$proxy->reload(set => { auth_ident_file => $ident });
is(enter($proxy, 'alice', 'bob', 'postgres'), 'in as bob', 'with a file of maps, the map "cert"');
is(enter($proxy, 'alice', 'alice', 'postgres'), 'certificate authentication failed for user "alice"', 'says all there is to say');
is(enter($proxy, 'dave@example.com', 'dave', 'postgres'), 'in as dave', 'and may hold expressions');
my $t = Meridian::Test::Tls->new($proxy, '-starttls', 'postgres', '-cert', $cert{alice}{cert}, '-key', $cert{alice}{key});
$facts = facts_of(user => 'bob', database => 'postgres', wire => $t);
is($facts->{auth}, 'cert', 'SHOW SESSION says so');
my @alice = ('-cert', $cert{alice}{cert}, '-key', $cert{alice}{key});
for my $case ([ 'alice\'s', 'Z', @alice ], [ 'none', 'E' ]) {
	my ($whose, $last, @words) = @$case;
	$t = Meridian::Test::Tls->new($proxy, '-alpn', 'http/1.1', @words);
	http_websocket($t, '/v2');
	is(($t->login(user => 'bob', database => 'postgres'))[-1][0], $last, "a WebSocket inside TLS, whose certificate is $whose");
}
$from = -s $proxy->logfile;
$proxy->reload(set => { auth_conninfo => 'user=nobody dbname=postgres' });
is(enter($proxy, 'alice', 'bob', 'postgres'), 'in as bob', 'no secret is needed, so an auth_query that fails does no harm');
$proxy->log_like(qr/auth_query: .*role "nobody" does not exist/s, 'as it did', $from);
$proxy->stop;
done_testing();
