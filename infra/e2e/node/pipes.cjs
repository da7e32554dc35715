// Drives the official Node SDK through everything that it can do with API keys,
// with nothing but the base URL changed, and asserts what its objects hold.
//
// The Go suite runs it: KEYVEND_URL and KEYVEND_API_KEY say where and as whom,
// NODE_PATH where the SDK is installed.
'use strict';

const assert = require('node:assert/strict');
const {
  WorkOS,
  BadRequestException,
  NotFoundException,
  UnprocessableEntityException,
  UnauthorizedException,
  ConflictException,
  GenericServerException,
} = require('@workos-inc/node');

const base = new URL(process.env.KEYVEND_URL);
const at = {
  apiHostname: base.hostname,
  port: Number(base.port) || undefined,
  https: base.protocol === 'https:',
};
const workos = new WorkOS(process.env.KEYVEND_API_KEY, at);

let serial = 0;
const newSecret = () => `sk-canary-node-${process.pid}-${String(++serial).padStart(4, '0')}`;

const ulid = '[0-9A-HJKMNP-TV-Z]{26}';
const integrationId = new RegExp(`^data_integration_${ulid}$`);
const accountId = new RegExp(`^data_installation_${ulid}$`);
const requestId = new RegExp(`^req_${ulid}$`);

function isDate(value) {
  assert.ok(value instanceof Date && !Number.isNaN(value.getTime()), `not a date: ${value}`);
  assert.ok(Math.abs(Date.now() - value.getTime()) < 3600_000, `not about now: ${value.toISOString()}`);
}

function isTimestamp(text) {
  assert.match(text, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  isDate(new Date(text));
}

// fails asserts that a call is refused with the SDK's exception for the status.
async function fails(call, type, status, code) {
  await assert.rejects(call, (error) => {
    assert.ok(error instanceof type, `${error.name}, want ${type.name}: ${error.message}`);
    assert.equal(error.status, status);
    assert.match(error.requestID, requestId);
    assert.ok(error.message.length > 0);
    assert.doesNotMatch(error.message, /undefined|canary/);
    if (code) assert.equal(error.code, code);
    return true;
  });
}

async function integrations() {
  const created = await workos.pipes.createDataIntegration({
    provider: 'openai',
    authMethods: ['api_key'],
    enabled: true,
    description: 'Summaries of your notes',
  });
  assert.equal(created.object, 'data_integration');
  assert.match(created.id, integrationId);
  assert.equal(created.slug, 'openai');
  assert.equal(created.integrationType, 'openai');
  assert.equal(created.ownership, 'user');
  assert.equal(created.description, 'Summaries of your notes');
  assert.equal(created.enabled, true);
  assert.equal(created.state, 'valid');
  assert.equal(created.scopes, null);
  assert.equal(created.redirectUri, '');
  assert.deepEqual(created.authMethods, ['api_key']);
  assert.equal(created.credentials, null);
  assert.equal(created.installation, null);
  assert.deepEqual(created.config, {});
  assert.equal(created.customProvider, null);
  isDate(created.createdAt);
  isDate(created.updatedAt);

  assert.deepEqual(await workos.pipes.getDataIntegration({ slug: 'openai' }), created);

  const updated = await workos.pipes.updateDataIntegration({ slug: 'openai', description: null });
  assert.equal(updated.id, created.id);
  assert.equal(updated.description, null);
  assert.equal(updated.enabled, true);
  isDate(updated.updatedAt);

  const secret = newSecret();
  const custom = await workos.pipes.createDataIntegration({
    provider: 'in-house',
    authMethods: ['api_key'],
    enabled: true,
    customProvider: { name: 'In-house' },
    apiKey: { userId: 'bo', organizationId: 'org_1', secret },
  });
  assert.equal(custom.customProvider.name, 'In-house');
  assert.equal(typeof custom.customProvider.pkceEnabled, 'boolean');
  assert.equal(custom.customProvider.authenticateVia, 'request_body');
  assert.match(custom.installation.id, accountId);
  assert.equal(custom.installation.connectionRole, 'standard');
  assert.equal(custom.installation.userId, 'bo');
  assert.equal(custom.installation.organizationId, 'org_1');
  assert.equal(custom.installation.apiKeyLast4, secret.slice(-4));

  await workos.pipes.createDataIntegration({ provider: 'stripe', authMethods: ['api_key'] });
  const page = await workos.pipes.listDataIntegrations({ limit: 2 });
  assert.equal(page.object, 'list');
  assert.equal(page.data.length, 2);
  assert.equal(page.listMetadata.after, page.data[1].id);
  const all = await (await workos.pipes.listDataIntegrations()).autoPagination();
  assert.deepEqual(all.map((one) => one.slug).sort(), ['in-house', 'openai', 'stripe']);
  all.forEach((one) => isDate(one.createdAt));
}

async function accounts() {
  const ada = { slug: 'openai', userId: 'ada@b.co' };
  assert.deepEqual(await workos.pipes.createDataIntegrationCredential(ada), { active: false, error: 'not_installed' });

  const first = newSecret();
  const stored = await workos.pipes.updateDataIntegrationApiKey({ ...ada, secret: first });
  assert.equal(stored.object, 'connected_account');
  assert.match(stored.id, accountId);
  assert.equal(stored.userId, 'ada@b.co');
  assert.equal(stored.organizationId, null);
  assert.equal(stored.connectionRole, 'standard');
  assert.equal(stored.accountIdentifier, null);
  assert.equal(stored.accountDisplayName, null);
  assert.deepEqual(stored.scopes, []);
  assert.equal(stored.authMethod, 'api_key');
  assert.equal(stored.apiKeyLast4, first.slice(-4));
  assert.equal(stored.state, 'connected');
  isTimestamp(stored.createdAt);
  isTimestamp(stored.updatedAt);

  const second = newSecret();
  const rotated = await workos.pipes.updateDataIntegrationApiKey({ ...ada, secret: second });
  assert.equal(rotated.id, stored.id);
  assert.equal(rotated.createdAt, stored.createdAt);
  assert.equal(rotated.apiKeyLast4, second.slice(-4));

  const vended = await workos.pipes.createDataIntegrationCredential(ada);
  assert.equal(vended.active, true);
  assert.deepEqual(vended.credential, { authMethod: 'api_key', object: 'credential', value: second, config: {} });

  const inOrganization = newSecret();
  const added = await workos.pipes.createDataIntegrationApiKey({
    ...ada,
    organizationId: 'org_1',
    secret: inOrganization,
    connectionIntent: 'add',
  });
  assert.notEqual(added.id, stored.id);
  assert.equal(added.organizationId, 'org_1');
  const other = await workos.pipes.createDataIntegrationCredential({ ...ada, organizationId: 'org_1' });
  assert.equal(other.credential.value, inOrganization);

  const exact = await workos.pipes.updateDataIntegrationApiKey({
    ...ada,
    secret: newSecret(),
    connectedAccountId: stored.id,
    connectionIntent: 'reauthorize',
  });
  assert.equal(exact.id, stored.id);

  const providers = await workos.pipes.listUserDataProviders({ userId: ada.userId });
  assert.equal(providers.object, 'list');
  const row = providers.data.find((one) => one.slug === 'openai');
  assert.equal(row.object, 'data_provider');
  assert.match(row.id, integrationId);
  assert.equal(row.name, 'OpenAI');
  assert.equal(row.integrationType, 'openai');
  assert.equal(row.credentialsType, 'custom');
  assert.deepEqual(row.authMethods, ['api_key']);
  assert.equal(row.connectionOwner, 'user');
  assert.equal(row.ownership, 'userland_user');
  isTimestamp(row.createdAt);
  isTimestamp(row.updatedAt);
  assert.equal(row.connectedAccount.id, stored.id);
  assert.equal(row.connectedAccount.userId, 'ada@b.co');
  assert.equal(row.connectedAccount.authMethod, 'api_key');
  assert.equal(row.connectedAccounts.length, 1);
  const nobodys = await workos.pipes.listUserDataProviders({ userId: 'nobody', supportsMultipleConnections: true });
  assert.equal(nobodys.data.find((one) => one.slug === 'openai').connectedAccount, null);

  assert.deepEqual(await workos.pipes.getUserConnectedAccount(ada), exact);
  assert.deepEqual(await workos.pipes.getUserConnectedAccount({ ...ada, connectedAccountId: stored.id }), exact);

  const suspended = await workos.pipes.updateUserConnectedAccount({ ...ada, state: 'needs_reauthorization' });
  assert.equal(suspended.state, 'needs_reauthorization');
  assert.deepEqual(await workos.pipes.createDataIntegrationCredential(ada), { active: false, error: 'needs_reauthorization' });

  await workos.pipes.deleteUserConnectedAccount(ada);
  assert.deepEqual(await workos.pipes.createDataIntegrationCredential(ada), { active: false, error: 'not_installed' });
  await fails(workos.pipes.deleteUserConnectedAccount(ada), NotFoundException, 404, 'not_found');
}

// widgets mints tokens and uses one as a browser does.
async function widgets() {
  const mine = async (token, headers) => {
    const answer = await fetch(new URL('/_widgets/DataIntegrations/mine', base), { headers: { Authorization: `Bearer ${token}`, ...headers } });
    return [answer.status, await answer.json()];
  };
  const here = { 'Sec-Fetch-Site': 'same-origin' };

  const { token } = await workos.widgets.createToken({ userId: 'ada@b.co' });
  const claims = JSON.parse(atob(token.split('.')[1]));
  assert.equal(claims.sub, 'ada@b.co');
  assert.deepEqual(claims.permissions, []);
  assert.ok(claims.exp * 1000 > Date.now() && claims.exp * 1000 <= Date.now() + 3600_000);
  const [status, list] = await mine(token, here);
  assert.equal(status, 200);
  assert.ok(list.data.some((one) => one.slug === 'openai' && one.installation === null));
  assert.equal((await mine(token, { Origin: 'https://evil.example' }))[0], 403);

  const { token: admin } = await workos.widgets.createToken({ userId: 'bo', organizationId: 'org_1', scopes: ['widgets:pipes:manage'] });
  assert.deepEqual(JSON.parse(atob(admin.split('.')[1])).permissions, ['widgets:pipes:manage']);
  assert.equal((await mine(admin, here))[0], 200);

  await fails(workos.widgets.createToken({ userId: 'a b' }), UnprocessableEntityException, 422, 'unprocessable_entity');
  await fails(workos.widgets.createToken({ organizationId: 'org_1', userId: 'bo', scopes: ['widgets:users-table:manage'] }), UnprocessableEntityException, 422);
  await fails(new WorkOS('sk_kv_nobody', at).widgets.createToken({ userId: 'bo' }), UnauthorizedException, 401);
}

async function errors() {
  const { pipes } = workos;
  await fails(pipes.getDataIntegration({ slug: 'no-such' }), NotFoundException, 404, 'not_found');
  await fails(pipes.createDataIntegrationCredential({ slug: 'no-such', userId: 'ada' }), NotFoundException, 404, 'not_found');
  await fails(pipes.updateDataIntegrationApiKey({ slug: 'openai', userId: 'a b', secret: newSecret() }),
    UnprocessableEntityException, 422, 'unprocessable_entity');
  await fails(pipes.updateDataIntegrationApiKey({ slug: 'openai', userId: 'ada', secret: '' }),
    UnprocessableEntityException, 422, 'unprocessable_entity');
  await fails(pipes.createDataIntegration({ provider: 'linear' }), UnprocessableEntityException, 422, 'auth_method_not_supported');
  await fails(pipes.createDataIntegration({ provider: 'openai', authMethods: ['api_key'] }), ConflictException, 409);
  await fails(pipes.authorizeDataIntegration({ slug: 'openai', userId: 'ada' }), UnprocessableEntityException, 422, 'auth_method_mismatch');
  await fails(pipes.listDataIntegrations({ limit: 101 }), UnprocessableEntityException, 422);
  await fails(pipes.updateDataIntegration({ slug: 'openai', enabled: 'yes' }), BadRequestException, 400, 'invalid_request_body');
  await fails(pipes.createDataIntegrationCredential({ slug: 'stripe', userId: 'ada' }), GenericServerException, 403, 'data_integration_disabled');

  await pipes.updateDataIntegrationApiKey({ slug: 'openai', userId: 'cy', secret: newSecret() });
  await fails(pipes.createDataIntegrationApiKey({ slug: 'openai', userId: 'cy', secret: newSecret(), connectionIntent: 'add' }),
    NotFoundException, 404, 'multiple_connections_unavailable');

  const stranger = new WorkOS('sk_kv_nobody', at);
  await fails(stranger.pipes.listDataIntegrations(), UnauthorizedException, 401);
  await fails(stranger.pipes.createDataIntegrationCredential({ slug: 'openai', userId: 'ada' }), UnauthorizedException, 401);
}

async function removal() {
  await workos.pipes.deleteDataIntegration({ slug: 'openai' });
  await fails(workos.pipes.getDataIntegration({ slug: 'openai' }), NotFoundException, 404, 'not_found');
  await fails(workos.pipes.createDataIntegrationCredential({ slug: 'openai', userId: 'cy' }), NotFoundException, 404, 'not_found');
}

// events awaits what the functions above have done to a user, oldest first.
async function events() {
  const names = ['connected', 'disconnected', 'reauthorization_needed', 'rotated', 'recovered'].map((n) => `pipes.connected_account.${n}`);
  let told = [];
  for (const end = Date.now() + 60_000; told.length < 2 && Date.now() < end; await new Promise((r) => setTimeout(r, 100))) {
    const list = await workos.events.listEvents({ events: names, order: 'asc', limit: 100, rangeStart: new Date(Date.now() - 3600_000).toISOString() });
    assert.equal(list.object, 'list');
    told = list.data.filter((e) => e.data.userId === 'cy' || e.data.user_id === 'cy');
  }
  const connected = told.find((e) => e.event === 'pipes.connected_account.connected');
  assert.match(connected.id, new RegExp(`^event_${ulid}$`));
  assert.match(connected.data.id, accountId);
  assert.equal(connected.data.providerSlug, 'openai');
  assert.equal(connected.data.state, 'connected');
  assert.equal(connected.context.actor.source, 'api');
  isTimestamp(connected.createdAt);
  assert.doesNotMatch(JSON.stringify(told), /canary/);

  const first = await workos.events.listEvents({ events: names, order: 'asc', limit: 1 });
  const second = await workos.events.listEvents({ events: names, order: 'asc', limit: 1, after: first.listMetadata.after });
  assert.ok(second.data[0].id > first.data[0].id);
  const none = await workos.events.listEvents({ events: ['dsync.user.created'] });
  assert.deepEqual(none.data, []);
  await fails(workos.events.listEvents({ events: names, rangeStart: 'yesterday' }), UnprocessableEntityException, 422);
}

(async () => {
  await integrations();
  await accounts();
  await widgets();
  await errors();
  await workos.pipes.updateDataIntegrationApiKey({ slug: 'openai', userId: 'cy', secret: newSecret() });
  await events();
  await removal();
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
