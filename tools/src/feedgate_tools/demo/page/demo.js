// The demo's page: the operator's tile and the owner's buttons side by side.
// Both people's tokens live in this page's memory and nowhere else.

import { Player } from "/relay/v1/player.js";

const COVER_TEXT = {
  connecting: "Connecting…",
  waiting: "Waiting for pictures…",
  paused: "Paused by the owner",
  stopped: "The owner stopped sharing",
  lost: "Connection lost. Nothing is shown until it is back.",
  hidden: "Not shown while this page is hidden",
  refused: "Refused",
};

const find = (id) => document.getElementById(id);
const tile = find("tile");
let session = null;
let player = null;
let stopAskedAt = null;

async function call(method, path, token, body) {
  const answer = await fetch(path, {
    method,
    headers: { Authorization: `Bearer ${token}`, ...(body ? { "Content-Type": "application/json" } : {}) },
    body: body ? JSON.stringify(body) : undefined,
  });
  const content = await answer.json();
  if (answer.ok) return content;
  const error = new Error((content.reasons ?? [content.type?.split(":").pop()]).join(", "));
  error.detail = content.detail ?? "";
  error.final = answer.status >= 400 && answer.status < 500 && answer.status !== 429;
  throw error;
}

function watch() {
  player?.close();
  player = new Player(tile, {
    takeTicket: () => call("POST", `/access-policy/v1/grants/${session.grant_id}/tickets`, session.operator_token),
    onNotice: note,
    onState: stateChanged,
  });
  player.start();
}

function stateChanged(state) {
  if (COVER_TEXT[state]) find("cover-text").textContent = COVER_TEXT[state];
  const over = state === "stopped" || state === "refused";
  find("stop").disabled = over;
  find("pause").disabled = over;
  find("again").disabled = !over;
  if (over && stopAskedAt !== null) {
    find("measured").textContent = `Covered ${Math.round(performance.now() - stopAskedAt)} ms after the button was pressed.`;
    stopAskedAt = null;
  }
}

function note(notice) {
  const line = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = new Date(notice.at ?? Date.now()).toLocaleTimeString();
  line.append(time, [notice.code, notice.reason, notice.detail].filter(Boolean).join(" · ").replaceAll("_", " "));
  find("notices").prepend(line);
}

async function stop() {
  find("stop").disabled = true;
  stopAskedAt = performance.now();
  try {
    await call("POST", `/registry/v1/authorisations/${session.authorisation_id}/withdraw`, session.owner_token);
  } catch (error) {
    stopAskedAt = null;
    find("stop").disabled = false;
    find("measured").textContent = `Not stopped: ${error.message}`;
  }
}

async function pauseOrResume() {
  const resume = find("pause").textContent === "Resume";
  await call("POST", `/registry/v1/cameras/${session.camera_id}/${resume ? "resume" : "pause"}`, session.owner_token);
  find("pause").textContent = resume ? "Pause" : "Resume";
}

async function again() {
  find("again").disabled = true;
  find("measured").textContent = "The owner authorises, the operator asks, the supervisor approves…";
  try {
    Object.assign(session, await call("POST", "/demo/again", session.owner_token));
    find("pause").textContent = "Pause";
    find("measured").textContent = "";
    watch();
  } catch (error) {
    find("measured").textContent = `Could not begin again: ${error.message}`;
    find("again").disabled = false;
  }
}

async function readLedger() {
  const page = await call("GET", `/audit/v1/ledger?camera_id=${session.camera_id}`, session.owner_token);
  find("ledger").replaceChildren(...page.items.map(ledgerLine));
}

function ledgerLine(entry) {
  const line = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = new Date(entry.at).toLocaleTimeString();
  const said =
    entry.kind === "view"
      ? [
          `${entry.agency}, ${entry.viewer}`,
          entry.purpose,
          entry.basis_codes.join(" + "),
          `${entry.pictures} pictures`,
          entry.ended_reason && `ended: ${entry.ended_reason}`,
          entry.dark_ms !== null && `dark on the screen in ${entry.dark_ms} ms`,
        ]
      : [entry.event, entry.role, entry.reasons.join(", ")];
  line.append(time, said.filter(Boolean).join(" · ").replaceAll("_", " "));
  return line;
}

async function begin() {
  const code = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  const answer = await fetch("/demo/exchange", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ code }),
  });
  if (!answer.ok) {
    tile.dataset.state = "refused";
    find("cover-text").textContent = "This link was used before. Start the demo again for a new one.";
    return;
  }
  session = await answer.json();
  find("why").textContent = session.why;
  find("refresh").disabled = false;
  watch();
}

find("stop").addEventListener("click", stop);
find("pause").addEventListener("click", pauseOrResume);
find("again").addEventListener("click", again);
find("refresh").addEventListener("click", readLedger);
begin();
