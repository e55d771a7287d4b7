// node provider.mjs PORT REDIRECT_URI: oidc-provider with its own login form; any name and password.
// A name is also the name of the only group of its person: "nobody" has none.
import Provider from 'oidc-provider';

const [port, redirect] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const provider = new Provider(issuer, {
  clients: [{ client_id: 'cardiowatch', client_secret: 'only-for-tests-only-for-tests', redirect_uris: [redirect],
    post_logout_redirect_uris: [redirect] }],
  claims: { openid: ['sub'], profile: ['name', 'groups'], email: ['email'] },
  conformIdTokenClaims: false, // the claims are in the id token, where Streamlit looks for them
  cookies: { keys: ['only for tests'] },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, name: id, email: `${id}@example.org`, groups: id === 'nobody' ? [] : [id] }),
  }),
});
provider.listen(Number(port), '127.0.0.1', () => console.log(`listening at ${issuer}`));
