// Sign in at an OpenID Connect issuer: authorization code with PKCE (RFC 7636), by the browser's own cryptography.
// Tokens are returned to the caller and kept nowhere; what must outlive the way to the issuer and back
// lies in the tab's session storage until then.

const KEY = "feedgate-sign-in";
const WITHIN_MS = 15000;

const here = () => `${location.origin}${location.pathname}`;

// Leave for the issuer's own page. Returns only if that cannot be reached.
export async function leaveToSignIn(issuer) {
  const { authorization_endpoint } = await discover(issuer.issuer);
  const way = { issuer: issuer.issuer, state: random(), nonce: random(), verifier: random() };
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(way.verifier));
  sessionStorage.setItem(KEY, JSON.stringify(way));
  const address = new URL(authorization_endpoint);
  address.search = new URLSearchParams({
    client_id: issuer.client_id,
    response_type: "code",
    scope: "openid",
    redirect_uri: here(),
    state: way.state,
    nonce: way.nonce,
    code_challenge: base64url(new Uint8Array(digest)),
    code_challenge_method: "S256",
  });
  location.assign(address);
}

// Who signed in, if this page was opened by an issuer's answer; else null. The answer leaves the address at once.
export async function signedIn(issuers) {
  const answer = new URLSearchParams(location.search);
  const way = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
  sessionStorage.removeItem(KEY);
  if (!answer.has("state")) return null;
  history.replaceState(null, "", location.pathname);
  if (way === null || answer.get("state") !== way.state) {
    throw new Error("the answer is not to a question of this tab");
  }
  const issuer = issuers.find((one) => one.issuer === way.issuer);
  // RFC 9207: an answer of another issuer is none.
  if (issuer === undefined || (answer.get("iss") ?? way.issuer) !== way.issuer) {
    throw new Error("the answer is from another issuer");
  }
  if (answer.has("error")) throw new Error(answer.get("error_description") ?? answer.get("error"));
  const person = await ask(issuer, {
    grant_type: "authorization_code",
    code: answer.get("code"),
    redirect_uri: here(),
    code_verifier: way.verifier,
  });
  const claims = claimsOf(person.idToken);
  // The token came over TLS from its issuer itself, so its signature is not needed (OIDC Core §3.1.3.7).
  if (claims.nonce !== way.nonce || claims.iss !== issuer.issuer || ![claims.aud].flat().includes(issuer.client_id)) {
    throw new Error("the identity is not the one that was asked for");
  }
  return person;
}

// The same person with new tokens.
export async function renewed(person) {
  return await ask(person.issuer, { grant_type: "refresh_token", refresh_token: person.refreshToken });
}

async function ask(issuer, form) {
  const { token_endpoint } = await discover(issuer.issuer);
  const answer = await fetch(token_endpoint, {
    method: "POST",
    body: new URLSearchParams({ client_id: issuer.client_id, ...form }),
    credentials: "omit",
    signal: AbortSignal.timeout(WITHIN_MS),
  });
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(content.error_description ?? content.error ?? `HTTP ${answer.status}`);
  const claims = claimsOf(content.access_token);
  return {
    issuer,
    accessToken: content.access_token,
    refreshToken: content.refresh_token,
    idToken: content.id_token,
    expiresInS: content.expires_in,
    name: claims.preferred_username ?? claims.sub,
    // For this page's words alone: what somebody may do is decided by the services.
    roles: claims.realm_access?.roles ?? [],
  };
}

async function discover(issuer) {
  const answer = await fetch(`${issuer}/.well-known/openid-configuration`, {
    credentials: "omit",
    signal: AbortSignal.timeout(WITHIN_MS),
  });
  const document = await answer.json();
  if (!answer.ok || document.issuer !== issuer) throw new Error(`${issuer} does not say who it is`);
  return document;
}

function claimsOf(token) {
  const text = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return JSON.parse(new TextDecoder().decode(bytes));
}

function random() {
  return base64url(crypto.getRandomValues(new Uint8Array(32)));
}

function base64url(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
