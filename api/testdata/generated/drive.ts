// Drives every operation of a controller through a client that was generated
// from its own description; see TestGeneratedClient. The types are checked by the compiler: what
// the description promises is used here as it is promised.
import { client } from './client/client.gen';
import * as tfw from './client/sdk.gen';
import type { LogEntry, Problem, Run } from './client/types.gen';

declare const process: { argv: string[] };
const [, , url, token] = process.argv;
client.setConfig({ baseUrl: url, auth: token });

function check(ok: unknown, what: string): asserts ok {
  if (!ok) throw new Error(what);
}

// good gives the data of an answer that is no problem.
function good<T>(r: { data?: T; error?: unknown; response?: Response }): T {
  if (r.error !== undefined || r.data === undefined) throw new Error(`${r.response?.status} ${JSON.stringify(r.error)}`);
  return r.data;
}

// bad gives the problem of an answer that is one.
function bad(r: { error?: unknown; response?: Response }, status: number): Problem {
  check(r.response?.status === status, `want ${status}, got ${r.response?.status}`);
  const p = r.error as Problem;
  check(p.status === status && p.code && p.request_id && p.title, `not a problem: ${JSON.stringify(r.error)}`);
  return p;
}

// ended checks an answer without a body.
function ended(r: { error?: unknown; response?: Response }) {
  check(r.response?.status === 204, `want 204, got ${r.response?.status} ${JSON.stringify(r.error)}`);
}

async function runs(host: string): Promise<Run> {
  const body = { plugin: 'linux_system', method: 'run_shell', target: 'all', parameters: { command: 'echo hello' }, timeout: '1m' };
  const preview = good(await tfw.createRun({ body, query: { dry_run: true } }));
  check('hosts' in preview && !('id' in preview) && preview.hosts.length > 1, 'preview');
  const headers = { 'Idempotency-Key': 'generated' };
  const made = good(await tfw.createRun({ body, headers }));
  const again = good(await tfw.createRun({ body, headers }));
  check('id' in made && 'id' in again && made.id === again.id, 'the same key ran twice');
  const run = good(await tfw.getRun({ path: { id: made.id }, query: { wait: '30s', output: true } }));
  check(run.verdict === 'passed' && run.hosts.every((h) => h.exit_code === 0 && h.stdout === 'hello\n') && run.tally?.passed === run.host_count, 'run');
  const page = good(await tfw.listRuns({ query: { limit: 1, state: 'done', plugin: 'linux_system', host, verdict: 'passed', sort: 'created' } }));
  check(page.runs.length === 1 && page.runs[0]!.host_count > 0, 'runs');
  const log = good(await tfw.getRunLog({ path: { id: run.id }, query: { host, stream: 'stdout', tail: 1 }, parseAs: 'text' })) as unknown as string;
  const entry: LogEntry = JSON.parse(log);
  check(entry.data === 'hello\n' && entry.host === host, 'log');
  const raw = await tfw.getRunLog({ path: { id: run.id }, query: { host, format: 'raw', follow: true }, parseAs: 'text' });
  check((raw.data as unknown as string) === 'hello\n', 'raw log');
  const long = good(await tfw.createTestcase({ body: { plugin: 'linux_system', host, method: 'run_shell', parameters: { command: 'sleep', args: '60' } } }));
  good(await tfw.cancelRun({ path: { id: long.id }, body: { reason: 'lunch' } }));
  const cancelled = good(await tfw.getRun({ path: { id: long.id }, query: { wait: '30s' } }));
  check(cancelled.verdict === 'cancelled', `cancel: ${JSON.stringify(cancelled)}`);
  bad(await tfw.cancelRun({ path: { id: long.id } }), 409);
  check(good(await tfw.rerunRun({ path: { id: run.id }, body: { failed: false } })).rerun_of === run.id, 'rerun');
  const p = bad(await tfw.createRun({ body: { ...body, target: 'web-9' } }), 400);
  check(p.detail?.includes('web-9'), 'problem');
  return run;
}

async function hosts(): Promise<string> {
  const page = good(await tfw.listHosts({ query: { limit: 2, sort: '-name' } }));
  check(page.hosts.length === 2 && page.next, 'hosts');
  const host = good(await tfw.getHost({ path: { name: page.hosts[0]!.name } }));
  check(host.state === 'active' && host.uuid, 'host');
  good(await tfw.setHostState({ path: { name: host.name }, body: { state: 'maintenance', reason: 'eth1' } }));
  check(good(await tfw.setHostStates({ query: { target: host.name }, body: { state: 'active' } })).hosts[0]!.state === 'active', 'state');
  check(good(await tfw.probeHosts({ body: { target: host.name } })).hosts[0]!.reachable === true, 'probe');
  const groups = good(await tfw.listGroups());
  check(good(await tfw.getGroup({ path: { name: groups.groups[0]!.name } })).hosts.length > 0, 'group');
  check(good(await tfw.listSlaves()).some((s) => s.name === host.name), 'slaves');
  check(good(await tfw.listSlavesDetail())[host.uuid]!.compute_node_method.linux_system!.run_shell, 'slaves in detail');
  check(good(await tfw.getSlave({ path: { id: String(host.id) } })).uuid === host.uuid, 'slave');
  check(good(await tfw.getInventory()).hosts > 0, 'inventory');
  const keys = good(await tfw.scanHostKeys({ body: { target: host.name } }));
  const choice = { host: keys.keys[0]!.host, fingerprint: keys.keys[0]!.fingerprint };
  check(good(await tfw.forgetHostKeys({ query: { target: host.name } })).hosts.length === 1, 'forgotten keys');
  check(good(await tfw.trustHostKeys({ body: { keys: [choice] } })).hosts[0]!.host === host.name, 'trusted keys');
  check(good(await tfw.explainHost({ path: { name: host.name } })).settings.length > 0, 'settings');
  bad(await tfw.getHost({ path: { name: 'web-9' } }), 404);
  return host.name;
}

async function plans(host: string) {
  const plan = `name: p\nhosts: {dut: ${host}}\nsteps:\n  one: {uses: linux_system.run_shell, on: dut, with: {command: 'true'}}\n`;
  good(await tfw.checkTestplan({ body: { plan } }));
  bad(await tfw.checkTestplan({ body: { plan: plan.replace('run_shell', 'nosuch') } }), 400);
  const made = good(await tfw.createTestplan({ body: { plan }, query: { wait: '30s' } }));
  check(made.verdict === 'passed', 'testplan');
  check(good(await tfw.getTestplan({ path: { id: made.id } })).steps.length === 1, 'steps');
  check(good(await tfw.listTestplans({ query: { sort: 'created', name: 'p', limit: 1 } })).testplans[0]!.id === made.id, 'testplans');
  check(good(await tfw.getTestplanResults({ path: { id: made.id } })).rows.length === 1, 'results');
  const junit = good(await tfw.getTestplanResults({ path: { id: made.id }, query: { format: 'junit' }, parseAs: 'text' })) as unknown as string;
  check(junit.includes('<testsuite'), 'junit');
  check(good(await tfw.getRunResults({ path: { id: 'last' } })).rows.length > 0, 'results of a run');
  good(await tfw.compareTestplan({ path: { id: made.id }, query: { with: made.id } }));
  good(await tfw.getTestplanHistory({ path: { id: made.id }, query: { last: 2 } }));
  const events = good(await tfw.followTestplan({ path: { id: made.id }, query: { format: 'ndjson' }, parseAs: 'text' })) as unknown as string;
  check(events.trim().split('\n').every((line) => JSON.parse(line)), 'events');
  check(good(await tfw.getTestplanSchema()), 'schema of plans');
  bad(await tfw.cancelTestplan({ path: { id: made.id } }), 409);
  bad(await tfw.resumeTestplan({ path: { id: made.id } }), 409);
  const failed = good(await tfw.createTestplan({ body: { plan: plan.replace("'true'", "'false'") }, query: { wait: '30s' } }));
  check(failed.verdict === 'failed', 'testplan that fails');
  const resumed = good(await tfw.resumeTestplan({ path: { id: failed.id } }));
  check(good(await tfw.getTestplan({ path: { id: resumed.id }, query: { wait: '30s' } })).state === 'done', 'resumed');
}

async function others(host: string) {
  const plugins = good(await tfw.listPlugins());
  check(good(await tfw.getPlugin({ path: { name: plugins.plugins[0]!.name } })).methods.length > 0, 'plugin');
  const lease = good(await tfw.createLease({ body: { target: host, for: '10m', purpose: 'soak' } }));
  check(lease.state === 'held' && good(await tfw.listLeases()).leases.length === 1, 'lease');
  good(await tfw.renewLease({ path: { id: lease.id }, body: { for: 600 } }));
  check(good(await tfw.getLease({ path: { id: lease.id } })).hosts[0] === host, 'lease again');
  ended(await tfw.releaseLease({ path: { id: lease.id } }));
  const made = good(await tfw.createToken({ body: { name: 'ci', role: 'viewer', expires: '1h' } }));
  check(made.token && good(await tfw.listTokens({ query: { sort: 'name' } })).tokens.length > 0, 'tokens');
  bad(await tfw.createToken({ body: { name: 'x', role: 'viewer' }, auth: made.token }), 403);
  bad(await tfw.listHosts({ auth: 'tfw_wrong' }), 401);
  ended(await tfw.revokeToken({ path: { id: made.id } }));
  const stored = good(await tfw.putArtifact({ body: new Blob(['content']) }));
  const content = good(await tfw.getArtifact({ path: { sha256: stored.sha256 }, parseAs: 'text' })) as unknown as string;
  check(content === 'content' && stored.size === 7, 'artifact');
  const rest = good(await tfw.getArtifact({ path: { sha256: stored.sha256 }, query: { skip: 4 }, parseAs: 'text' })) as unknown as string;
  check(rest === 'ent', 'the rest of an artifact');
  bad(await tfw.getArtifact({ path: { sha256: stored.sha256 }, query: { skip: 8 } }), 400);
  good(await tfw.setSecret({ path: { name: 'lab' }, body: { value: 'hunter2hunter2' } }));
  check(good(await tfw.listSecrets({ query: { sort: '-changed' } })).secrets.some((s) => s.name === 'lab'), 'secrets');
  ended(await tfw.removeSecret({ path: { name: 'lab' } }));
  const first = good(await tfw.listAudit({ query: { limit: 2, sort: '-time' } }));
  const second = good(await tfw.listAudit({ query: { limit: 2, sort: '-time', marker: first.next! } }));
  check(first.entries.length === 2 && second.entries[0]!.seq === first.entries[1]!.seq - 1, 'audit');
  check(good(await tfw.verifyAudit()).entries > 5, 'a whole record');
  const holds = good(await tfw.createLease({ body: { target: host, for: '10m' } }));
  const waits = good(await tfw.createLease({ body: { target: host, for: '10m', wait: '10m' } }));
  check(waits.state === 'waiting', 'a lease that waits');
  check(good(await tfw.listQueue({ query: { sort: '-since', limit: 1 } })).queue[0]!.lease === waits.id, 'queue');
  for (const id of [waits.id, holds.id]) ended(await tfw.releaseLease({ path: { id } }));
  check(good(await tfw.whoami()).role === 'admin', 'whoami');
  check(good(await tfw.getLogin()).issuer === '', 'login');
  bad(await tfw.login({ body: { id_token: 'x' } }), 409);
  check(good(await tfw.getVersion()).api === 'v2.1' && good(await tfw.getHealth()).status === 'ok' && good(await tfw.getReady()).status === 'ok', 'controller');
  check(String(good(await tfw.getMetrics({ parseAs: 'text' }))).includes('tfw_build_info'), 'metrics');
}

const host = await hosts();
await runs(host);
await plans(host);
await others(host);
console.log('driven');
