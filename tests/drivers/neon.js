// SPDX-License-Identifier: PostgreSQL
//
// @neondatabase/serverless as an application uses it; run by Meridian::Test::Drivers.
//
//   node neon.js '{ "at": "127.0.0.1:443", "tls": true, "ca": "ca.crt", "user": "alice",
//       "password": "secret", "from": ["127.0.1.1"], "parts": ["pool", "sql"] }'
//
//   at        where the WebSockets and POST /sql go to
//   tls, ca   by wss and https, and who has signed the certificate
//   from      the addresses to call from: each part from each, "many" and "sql_many" from all in turn
//   pipeline  the driver's pipelineConnect
//   silence   so many milliseconds pass in the part "silent"
//   inside    PostgreSQL's own TLS inside the WebSocket, for db.example.test: who has signed that
//   parts     what to do; each prints one line, "part address: what it saw"
//
// Without `from` and `ca` the driver is as it comes: its own fetch, no option but where to go.
'use strict';
const fs = require('fs');
const http = require('http');
const https = require('https');
const WebSocket = require('ws');
const { neon, neonConfig, Client, Pool } = require('@neondatabase/serverless');

const o = JSON.parse(process.argv[2]);
const database = o.database || 'postgres';
const url = `postgres://${o.user}:${encodeURIComponent(o.password || '')}@db.example.test/${database}`
	+ (o.inside ? '?sslmode=verify-full' : '');
const ca = o.ca && fs.readFileSync(o.ca);
let from;

neonConfig.webSocketConstructor = class extends WebSocket {
	constructor(to, protocols) {
		super(to, protocols, { localAddress: from || undefined, ca });
	}
};
neonConfig.wsProxy = (host, port) => `${o.at}/v2?address=${host}:${port}`;
neonConfig.useSecureWebSocket = !!o.tls;
neonConfig.fetchEndpoint = () => `${o.tls ? 'https' : 'http'}://${o.at}/sql`;
if (o.pipeline !== undefined)
	neonConfig.pipelineConnect = o.pipeline;
if (o.from || o.ca)
	neonConfig.fetchFunction = fetchFrom;

// fetch, from an address of ours and with our CA.
function fetchFrom(to, init) {
	return new Promise((resolve, reject) => {
		const words = { method: init.method, headers: init.headers, localAddress: init.from || from || undefined, ca };
		const request = (o.tls ? https : http).request(to, words, answer => {
			const parts = [];
			answer.on('data', part => parts.push(part));
			answer.on('error', reject);
			answer.on('end', () => resolve(new Response(Buffer.concat(parts), { status: answer.statusCode })));
		});
		request.on('error', reject);
		request.end(init.body);
	});
}

const where = "select current_setting('cluster_name') as name";

// SQLSTATE and the fields that a driver's user looks at; or that there was no error.
async function errorOf(work) {
	try {
		await work();
	} catch (e) {
		return e.code ? [e.code, e.severity, e.constraint].filter(Boolean).join(' ') : `${e.name}: ${e.message}`;
	}
	return 'no error';
}

// What ends a connection is told by the call that waits for it.
function newClient(to) {
	const client = new Client(to);
	client.on('error', () => {});
	return client;
}

async function withClient(work) {
	const client = newClient(url);
	await client.connect();
	try {
		return await work(client);
	} finally {
		await client.end();
	}
}

const parts = {
	async pool() {
		const pool = new Pool({ connectionString: url, max: 4 });
		pool.on('error', () => {});
		const all = await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map(i => pool.query(`${where}, $1::int as i`, [i])));
		await pool.end();
		return `${all[0].rows[0].name} ${all.map(r => r.rows[0].i).join('')}`;
	},
	async client() {
		return withClient(async c => {
			const r = await c.query("select $1::text as a, $2::bytea as b, null as c", ['é', Buffer.from([0, 255])]);
			const { a, b, c: none } = r.rows[0];
			return `${(await c.query(where)).rows[0].name} ${a} ${b.toString('hex')} ${none}`;
		});
	},
	async silent() {
		return withClient(async c => {
			await new Promise(done => setTimeout(done, o.silence));
			return errorOf(() => c.query('select 1'));
		});
	},
	async transaction() {
		return withClient(async c => {
			await c.query('create temp table t (a int primary key)');
			await c.query('begin');
			await c.query('insert into t values (1)');
			await c.query('rollback');
			await c.query('begin');
			await c.query('insert into t select generate_series(1, 10)');
			await c.query('commit');
			return (await c.query('select count(*)::int as n from t')).rows[0].n;
		});
	},
	async errors() {
		return withClient(async c => {
			const division = await errorOf(() => c.query('select 1/0'));
			await c.query('create temp table t (a int constraint once primary key)');
			const twice = await errorOf(() => c.query('insert into t values (1), (1)'));
			const alive = (await c.query('select 1 as one')).rows[0].one;
			return `${division}, ${twice}, then ${alive}`;
		});
	},
	async wrong_password() {
		const client = newClient(url.replace(/:[^:@]*@/, ':wrong@'));
		return errorOf(async () => {
			await client.connect(); // which does not wait for an answer, where the password goes first
			await client.query('select 1');
		});
	},
	async big() {
		return withClient(async c => {
			const r = await c.query("select repeat('x', 10 * 1024 * 1024) as x, $1::text as y", ['y'.repeat(1024 * 1024)]);
			return `${r.rows[0].x.length} ${r.rows[0].y.length}`;
		});
	},
	async sql() {
		const sql = neon(url);
		const [{ name }] = await sql.query(where);
		const [row] = await sql`select ${42}::int as n, ${'é'} as t, ${null}::text as none, ${[1, 2]}::int[] as list`;
		const full = await neon(url, { fullResults: true, arrayMode: true }).query('select $1::int as a', [7]);
		return `${name} ${JSON.stringify(row)} ${full.command} ${full.rowCount} ${full.fields[0].name} ${JSON.stringify(full.rows)}`;
	},
	async sql_batch() {
		const sql = neon(url);
		const words = { isolationLevel: 'Serializable', readOnly: true };
		const [a, b, c] = await sql.transaction([
			sql.query(where), sql`select current_setting('transaction_isolation') as level`,
			sql`select current_setting('transaction_read_only') as only, ${1}::int as one`], words);
		const refused = await errorOf(() => sql.transaction([sql`select 1`, sql`select 1/0`]));
		const only = await errorOf(() => sql.transaction([sql`create table t (a int)`], { readOnly: true }));
		return `${a[0].name} ${b[0].level} ${c[0].only} ${c[0].one}, ${refused}, ${only}`;
	},
	async sql_errors() {
		const sql = neon(url);
		const wrong = neon(url.replace(/:[^:@]*@/, ':wrong@'));
		return `${await errorOf(() => sql`select 1/0`)}, ${await errorOf(() => sql.query('selekt'))}, ${await errorOf(() => wrong`select 1`)}`;
	},
	async sql_big() {
		const [row] = await neon(url)`select repeat('x', 10 * 1024 * 1024) as x, ${'y'.repeat(1024 * 1024)} as y`;
		return `${row.x.length} ${row.y.length}`;
	},
	// 100 sockets at a time, each from the next address; all are open before the first is closed.
	async many() {
		const clients = [];
		for (let i = 0; i < 100; i++) {
			from = o.from && o.from[i % o.from.length];
			const c = newClient(url);
			clients.push({ c, from, open: c.connect() });
			await new Promise(setImmediate);
		}
		await Promise.all(clients.map(x => x.open));
		const seen = {};
		await Promise.all(clients.map(async (x, i) => {
			const r = await x.c.query(`${where}, $1::int as i, pg_sleep(0.2)`, [i]);
			const key = `${x.from} ${r.rows[0].i === i ? r.rows[0].name : 'mixed up'}`;
			seen[key] = (seen[key] || 0) + 1;
		}));
		await Promise.all(clients.map(x => x.c.end()));
		return Object.keys(seen).sort().map(k => `${k} ${seen[k]}`).join(', ');
	},
	// The same number of statements over POST /sql.
	async sql_many() {
		const seen = {};
		const all = [];
		for (let i = 0; i < 100; i++) {
			const at = o.from && o.from[i % o.from.length];
			all.push(neon(url, { fetchOptions: { from: at } }).query(`${where}, $1::int as i`, [i]).then(([row]) => {
				const key = `${at} ${row.i === i ? row.name : 'mixed up'}`;
				seen[key] = (seen[key] || 0) + 1;
			}));
		}
		await Promise.all(all);
		return Object.keys(seen).sort().map(k => `${k} ${seen[k]}`).join(', ');
	},
};

(async () => {
	if (o.inside) {
		neonConfig.subtls = await import(require.resolve('subtls'));
		neonConfig.rootCerts = fs.readFileSync(o.inside, 'utf8');
		neonConfig.forceDisablePgSSL = false;
	}
	for (const part of o.parts) {
		for (const at of /many/.test(part) ? [''] : o.from || ['']) {
			let saw;
			from = at;
			try {
				saw = await parts[part]();
			} catch (e) {
				saw = `failed: ${e.code || ''} ${e.message || JSON.stringify(e)}`;
			}
			console.log(`${part} ${at}: ${saw}`);
		}
	}
	process.exit(0);
})();
