// node provider.mjs PORT REDIRECT_URI [unsigned]: oidc-provider with its own login form; any name and
// password. A name is also the name of the only group of its person: "nobody" has none, "N groups" has N.
// "unsigned": its ID tokens are unsigned, and its metadata allow that.
import Provider from 'oidc-provider';

const [port, redirect, how] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const groupsOf = (id) => {
  const many = Number(/^(\d+) groups$/.exec(id)?.[1] ?? 0);
  if (many) return ['ward-3', ...Array.from({ length: many - 1 }, (_, n) => `hospital-group-${n}`)];
  return id === 'nobody' ? [] : [id];
};
const provider = new Provider(issuer, {
  clients: [{ client_id: 'cardiowatch', client_secret: 'only-for-tests-only-for-tests', redirect_uris: [redirect],
    post_logout_redirect_uris: [redirect] }],
  claims: { openid: ['sub'], profile: ['name', 'groups'], email: ['email'] },
  conformIdTokenClaims: false, // the claims are in the id token, where Streamlit looks for them
  cookies: { keys: ['only for tests'] },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, name: id, email: `${id}@example.org`, groups: groupsOf(id) }),
  }),
});
if (how === 'unsigned') {
  const header = Buffer.from('{"alg":"none"}').toString('base64url');
  provider.use(async (ctx, next) => {
    await next();
    if (ctx.oidc?.route === 'discovery') ctx.body.id_token_signing_alg_values_supported.push('none');
    if (ctx.body?.id_token) ctx.body.id_token = `${header}.${ctx.body.id_token.split('.')[1]}.`;
  });
}
provider.listen(Number(port), '127.0.0.1', () => console.log(`listening at ${issuer}`));
