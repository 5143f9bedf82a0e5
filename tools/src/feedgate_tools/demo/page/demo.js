// The demo's page: the operator's tile and the owner's buttons side by side.
// Tokens live in this page's memory and nowhere else: both people's where the demo's link opened it,
// one person's where they signed in.

import { Player } from "/relay/v1/player.js";
import { leaveToSignIn, renewed, signedIn } from "./sign_in.js";

const STATE_TEXT = {
  connecting: ["Connecting", ""],
  waiting: ["Waiting for pictures", ""],
  live: ["Live", ""],
  late: ["Late: what is seen is more than a second old", ""],
  paused: ["Paused", "Pictures come again when the owner wants."],
  hidden: ["Not shown", "No picture is sent while nobody looks at this page."],
  lost: ["Not shown for now", "The page tries again by itself."],
  stopped: ["Stopped", "The right to see these pictures has ended."],
  refused: ["Refused", ""],
  closed: ["Closed", ""],
};

const NOTICE_TEXT = {
  started: "Pictures begin",
  resumed: "Pictures again",
  stopped: "Stopped for good",
  paused_by_owner: "Paused by the owner",
  out_of_schedule: "Outside the owner’s hours",
  camera_lost: "The camera is not reached",
  waiting_for_keyframe: "Waiting for the next whole picture",
  expiring: "Ends soon",
  not_fresh: "Covered to be safe",
  gap: "Pictures are missing",
  view_ended: "View ended",
  lost: "Connection lost",
  refused: "Refused",
};

// Why a view was lost, where it was not the connection.
const LOST_TEXT = {
  no_lease: ["Covered to be safe", "The relay did not say in time that pictures may still be shown."],
  state_not_fresh: ["Not shown for now", "Whether the owner still shares cannot be known just now."],
  heartbeat_old: ["Not shown for now", "Whether the owner still shares cannot be known just now."],
  gap_in_notices: ["Covered to be safe", "There is a gap in notices of the relay: one of them is missing."],
  pictures_too_late: ["Covered to be safe", "The pictures came too late to be live."],
};

const EVENT_TEXT = {
  "source.released": "Camera’s sealed address given out",
  "source.resealed": "Camera’s address sealed with a new key",
};

// What follows from a decision that was made before: no refusal of anything that was asked.
const CONSEQUENCES = new Set(["grant.closed", "grant.tightened"]);

const ANOTHER_LINK = "Press Enter in the demo’s terminal for another.";
const LINES_KEPT = 200;
const CALL_WITHIN_MS = 15000;
const LEDGER_AFTER_MS = 1500; // the relay's last records of a view are on their way

const find = (id) => document.getElementById(id);
const words = (code) => String(code).replaceAll(/[_-]/g, " ");
const localTimes = (text) =>
  text.replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, (moment) => new Date(moment).toLocaleTimeString());

let session = null;
let person = null; // who signed in, where somebody did
let player = null;
let isPaused = false;
let stopAskedAt = null;

async function call(method, path, token, body) {
  const answer = await fetch(path, {
    method,
    headers: {
      ...(token ? { Authorization: `Bearer ${token}` } : {}),
      ...(body ? { "Content-Type": "application/json" } : {}),
    },
    body: body ? JSON.stringify(body) : undefined,
    signal: AbortSignal.timeout(CALL_WITHIN_MS),
  });
  const content = await answer.json().catch(() => ({}));
  if (answer.ok) return content;
  const code = content.type?.split(":").pop() ?? `HTTP ${answer.status}`;
  const error = new Error(content.reasons?.length ? content.reasons.join(", ") : code);
  error.detail = content.detail ?? "";
  error.final = answer.status >= 400 && answer.status < 500 && answer.status !== 408 && answer.status !== 429;
  throw error;
}

function sayMeasured(text) {
  find("measured").textContent = text;
}

function sayFailed(what, error) {
  sayMeasured([`${what}: ${words(error.message)}.`, error.detail].filter(Boolean).join(" "));
}

// The operator's side.

function watch() {
  player?.close();
  player = new Player(find("tile"), {
    takeTicket: () => call("POST", `/access-policy/v1/grants/${session.grant_id}/tickets`, session.operator_token),
    onNotice: noticed,
    onState: stateChanged,
  });
  player.start();
}

function stateChanged(state) {
  const [title, text] = STATE_TEXT[state];
  find("state").dataset.state = state;
  find("state").textContent = title;
  find("cover-title").textContent = title;
  find("cover-text").textContent = text;
  const isOver = state === "stopped" || state === "refused";
  const owns = Boolean(session?.owner_token);
  find("pause").disabled = isOver || !owns;
  find("again").disabled = !isOver || person !== null; // the demo's own people begin again
  const hadFocus = document.activeElement === find("stop") || document.activeElement === document.body;
  find("stop").disabled = isOver || stopAskedAt !== null || !owns;
  if (isOver && hadFocus) find("again").focus(); // a disabled button would lose it
  if (state === "stopped") afterStop();
}

function noticed(notice) {
  const lost = notice.code === "lost" ? LOST_TEXT[notice.reason] : undefined;
  const title = lost?.[0] ?? NOTICE_TEXT[notice.code] ?? words(notice.code);
  const reason = localTimes(lost?.[1] || notice.detail || words(notice.reason ?? ""));
  if (notice.code !== "gap" && notice.code !== "expiring") find("cover-text").textContent = reason;
  find("notices").prepend(line(notice.at ?? Date.now(), title, reason));
  while (find("notices").childElementCount > LINES_KEPT) find("notices").lastElementChild.remove();
}

// The owner's side.

async function stop() {
  find("stop").disabled = true;
  stopAskedAt = performance.now();
  sayMeasured("Stopping…");
  try {
    const path = `/registry/v1/authorisations/${session.authorisation_id}/withdraw`;
    const stopped = await call("POST", path, session.owner_token);
    if (player === null) stoppedUnseen(stopped);
  } catch (error) {
    stopAskedAt = null;
    find("stop").disabled = false;
    sayFailed("Not stopped", error);
  }
}

// The owner alone sees no tile that goes dark.
function stoppedUnseen(stopped) {
  stopAskedAt = null;
  find("pause").disabled = true;
  sayMeasured(localTimes(`Stopped. Nobody sees anything after ${stopped.dark_no_later_than}.`));
  setTimeout(readLedger, LEDGER_AFTER_MS);
}

function afterStop() {
  const askedAt = stopAskedAt;
  stopAskedAt = null;
  if (askedAt === null) return;
  requestAnimationFrame(() =>
    requestAnimationFrame(() => {
      sayMeasured(`Covered ${Math.round(performance.now() - askedAt)} ms after the button was pressed.`);
    }),
  );
  setTimeout(readLedger, LEDGER_AFTER_MS);
}

async function pauseOrResume() {
  find("pause").disabled = true;
  try {
    const act = isPaused ? "resume" : "pause";
    await call("POST", `/registry/v1/cameras/${session.camera_id}/${act}`, session.owner_token);
    isPaused = !isPaused;
    find("pause").textContent = isPaused ? "Resume" : "Pause";
    sayMeasured("");
  } catch (error) {
    sayFailed(isPaused ? "Not resumed" : "Not paused", error);
  }
  find("pause").disabled = find("stop").disabled;
}

async function again() {
  find("again").disabled = true;
  sayMeasured("The owner authorises, the operator asks, the supervisor approves…");
  try {
    session = await call("POST", "/demo/again", session.owner_token);
    sayMeasured("");
    watch();
    find("stop").focus();
  } catch (error) {
    sayFailed("Could not begin again", error);
    find("again").disabled = false;
  }
}

async function readLedger() {
  try {
    const page = await call("GET", `/audit/v1/ledger?camera_id=${session.camera_id}`, session.owner_token);
    find("ledger").replaceChildren(...page.items.map(ledgerLine));
    find("ledger-empty").hidden = page.items.length > 0;
  } catch (error) {
    find("ledger-empty").hidden = false;
    find("ledger-empty").textContent = `The ledger could not be read: ${words(error.message)}.`;
  }
}

function ledgerLine(entry) {
  if (entry.kind !== "view") {
    const isDecision = entry.permitted !== null && !CONSEQUENCES.has(entry.event);
    const judged = isDecision ? (entry.permitted ? "permitted" : "refused") : "";
    const who = [...new Set([entry.role, entry.agency, entry.actor])].filter(Boolean).join(", ");
    const told = [who && `by ${who}`, judged, ...entry.reasons.map(words)];
    return line(entry.at, EVENT_TEXT[entry.event] ?? eventTitle(entry.event), told.filter(Boolean).join(" · "));
  }
  const told = [
    `purpose: ${words(entry.purpose)}`,
    `on ${entry.basis_codes.join(" and ")}`,
    `${entry.pictures} pictures`,
    entry.ended_at === null ? "still open" : `ended: ${words(entry.ended_reason ?? "")}`,
    entry.dark_ms === null ? "" : `dark on the screen within ${entry.dark_ms} ms`,
  ];
  return line(entry.at, `Seen by ${entry.viewer} of ${entry.agency}`, told.filter(Boolean).join(" · "));
}

// `grant.closed` as "Grant closed".
function eventTitle(event) {
  const title = event.replaceAll(/[._-]/g, " ");
  return title.charAt(0).toUpperCase() + title.slice(1);
}

function line(at, title, text) {
  const item = document.createElement("li");
  const time = document.createElement("time");
  const strong = document.createElement("strong");
  const span = document.createElement("span");
  const moment = new Date(at);
  time.dateTime = Number.isNaN(moment.getTime()) ? "" : moment.toISOString();
  time.textContent = Number.isNaN(moment.getTime()) ? "" : moment.toLocaleTimeString();
  strong.textContent = title;
  span.textContent = text;
  item.append(time, strong);
  if (text) item.append(span);
  return item;
}

// The session.

function renewLater() {
  setTimeout(renew, Math.max(1000, 500 * session.expires_in_s));
}

async function renew() {
  try {
    if (person !== null) {
      hold(await renewed(person));
      renewLater();
      return;
    }
    const { owner_token, operator_token, expires_in_s } = await call("POST", "/demo/renew", session.owner_token);
    Object.assign(session, { owner_token, operator_token, expires_in_s });
  } catch (error) {
    if (error.final) {
      sayMeasured(`This page’s session has ended. ${ANOTHER_LINK}`);
      return;
    }
  }
  renewLater();
}

// Somebody who signed in: what they may see and do here, with their own token.

const TITLES = { owners: "a camera’s owner", agency: "an agency’s person", oversight: "oversight" };

function hold(somebody) {
  person = somebody;
  session = { ...session, expires_in_s: person.expiresInS };
  session[person.issuer.realm === "owners" ? "owner_token" : "operator_token"] = person.accessToken;
}

async function enter() {
  const roles = person.issuer.realm === "owners" ? ["owner"] : person.roles;
  find("state").textContent = `Signed in as ${person.name}: ${roles.join(", ")}`;
  find("why").textContent = "";
  renewLater();
  try {
    if (roles.includes("owner")) await enterAsOwner();
    else if (roles.includes("operator")) await enterAsOperator();
    else cover("Signed in", "There is nothing on this page for your role.");
  } catch (error) {
    cover("Refused", [words(error.message), error.detail].filter(Boolean).join(". "));
  }
}

async function enterAsOwner() {
  const token = session.owner_token;
  cover("Not for you", "Pictures are for whom you let look.");
  for (const camera of (await call("GET", "/registry/v1/cameras", token)).items) {
    const given = await call("GET", `/registry/v1/cameras/${camera.id}/authorisations`, token);
    const inForce = given.items.find((one) => one.state === "active");
    if (inForce === undefined) continue;
    Object.assign(session, { camera_id: camera.id, authorisation_id: inForce.id });
    for (const button of ["stop", "pause", "refresh"]) find(button).disabled = false;
    await readLedger();
    return;
  }
  sayMeasured("You share no camera.");
}

async function enterAsOperator() {
  const open = await call("GET", "/access-policy/v1/grants?phase=open", session.operator_token);
  const grant = open.items.find((one) => one.names_you);
  if (grant === undefined) {
    cover("No grant", "No open grant names you.");
    return;
  }
  session.grant_id = grant.id;
  watch();
}

function cover(title, text) {
  find("cover-title").textContent = title;
  find("cover-text").textContent = text;
}

async function offerToSignIn(issuers) {
  cover("Sign in", "");
  find("state").textContent = "Nobody is signed in";
  find("issuers").hidden = false;
  find("issuers").replaceChildren(
    ...issuers.map((issuer) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = `Sign in as ${issuer.agency ?? TITLES[issuer.realm]}`;
      button.addEventListener("click", () => leaveToSignIn(issuer).catch((error) => cover("Not signed in", error.message)));
      return button;
    }),
  );
}

async function beginSignedIn() {
  const issuers = await call("GET", "/demo/issuers").catch(() => []);
  if (issuers.length === 0) return false;
  try {
    const somebody = await signedIn(issuers);
    if (somebody === null) {
      await offerToSignIn(issuers);
      return true;
    }
    hold(somebody);
  } catch (error) {
    await offerToSignIn(issuers);
    cover("Not signed in", error.message);
    return true;
  }
  await enter();
  return true;
}

async function begin() {
  const code = location.hash.slice(1);
  if (code === "" && (await beginSignedIn())) return;
  history.replaceState(null, "", location.pathname); // the code does not stay in the history
  try {
    session = await call("POST", "/demo/exchange", null, { code });
  } catch (error) {
    find("tile").dataset.state = "refused";
    stateChanged("refused");
    const used = code ? "This link was used before." : "A page that is reloaded needs a new link.";
    const why = error.message === "code-replaced" ? "A later link has taken the place of this one." : used;
    find("cover-text").textContent = error.final
      ? `${why} ${ANOTHER_LINK}`
      : "The demo does not answer. Is it still running?";
    find("again").disabled = true;
    return;
  }
  find("why").textContent = session.why;
  find("refresh").disabled = false;
  renewLater();
  watch();
}

find("stop").addEventListener("click", stop);
find("pause").addEventListener("click", pauseOrResume);
find("again").addEventListener("click", again);
find("refresh").addEventListener("click", readLedger);
begin();

// A new link in the same tab changes only the fragment, which loads nothing by itself.
addEventListener("hashchange", () => {
  if (location.hash) location.reload();
});
