// Shows one live view in one tile, and covers it whenever it does not know that it may show it.
//
//   const player = new Player(tile, { takeTicket, onNotice, onState });
//   player.start();
//
// `tile` is an element with a <video> in it. The player keeps that video
// transparent; what lies behind it is what people see while nothing may be
// shown, so put words there. `takeTicket` is an async function that gives the
// answer of `POST /access-policy/v1/grants/{id}/tickets`, or throws; an error
// with `final: true` is not tried again. `onNotice` is told every notice,
// `onState` every change of `STATES`, which also stands in `tile.dataset.state`.

// Pixels show in `live` and `late` only. After `stopped`, `refused` and `closed` nothing follows.
export const STATES = [
  "connecting",
  "waiting",
  "live",
  "late",
  "paused",
  "hidden",
  "lost",
  "stopped",
  "refused",
  "closed",
];
const FINAL = new Set(["stopped", "refused", "closed"]);

// Notices that leave the tile as it is. Every other one covers it, also one this page does not know.
const BEGINNING = new Set(["started", "resumed"]);
const HARMLESS = new Set(["expiring", "gap"]);
const COVERED_STATE = {
  stopped: "stopped",
  view_ended: "lost",
  paused_by_owner: "paused",
  out_of_schedule: "paused",
};

const LEASE_MS = 3000; // the dead-man rule: not negotiable, so not taken from `hello`
const OPENS_WITHIN_MS = 10000;
const EXPLAINED_WITHIN_MS = 1000; // how long a covered view is still listened to for the reason
const WATCH_MS = 100;
const RETRY_FIRST_MS = 500;
const RETRY_LONGEST_MS = 8000;
const RENEW_BEFORE_MS = 30000;
const TIMER_LONGEST_MS = 3600000; // setTimeout fires at once from 2^31 ms on
const HELD_MESSAGES = 250; // what may arrive on one socket before its notice does on the other: 10 s at 25/s

const LATE_MS = 1500;
const TOO_LATE_MS = 3000; // as the relay has it: a live view is never a replay
const JUMP_S = 0.5;
const HURRY_S = 0.15;
const EASE_S = 0.03; // with less in hand a player runs dry and then waits for several pictures
const BEHIND_S = 0.08;
const KEEP_BEHIND_S = 4;
const RESUMES_AFTER_S = 0.04;
// How long a picture lasts is known only when the next one comes. A player takes
// pictures further apart than twice the length said for a gap, and shows nothing
// until the next keyframe; cameras do so whenever light fades.
const LASTS_AT_LEAST_S = 0.25;

const NOT_MENDED_BY_A_TICKET = new Set([4010, 4011, 4012, 4017]); // this page, its origin, or what it was given

const HEADER_BYTES = 16;
const KIND_INIT = 1;
const KIND_FRAGMENT = 2;
const FLAG_KEYFRAME = 1;

export class Player {
  #tile;
  #takeTicket;
  #onNotice;
  #onState;
  #video;
  #shutter;
  #screen;
  #view = null;
  #base = "connecting";
  #retryMs = RETRY_FIRST_MS;
  #retryTimer = 0;
  #opensWhenSeen = false;
  #visibilityListener = () => this.#visibilityChanged();

  constructor(tile, { takeTicket, onNotice = () => {}, onState = () => {} }) {
    this.#tile = tile;
    this.#takeTicket = takeTicket;
    this.#onNotice = onNotice;
    this.#onState = onState;
    this.#video = tile.querySelector("video");
    // A second window of the same pictures would not be covered.
    this.#video.disablePictureInPicture = true;
    this.#video.disableRemotePlayback = true;
    this.#video.muted = true;
    this.#video.playsInline = true;
    this.#shutter = new Shutter(this.#video);
    this.#screen = new Screen(this.#video, {
      shown: () => this.#pictureShown(),
      broken: (reason) => this.#lost(reason),
      impossible: (reason) => this.#refuse(reason, "This browser cannot play what the camera sends."),
    });
    this.state = null;
  }

  start() {
    document.addEventListener("visibilitychange", this.#visibilityListener);
    this.#tell();
    this.#openWhenSeen();
  }

  // The viewer has seen enough: the tile is covered and the view ends.
  close() {
    if (!FINAL.has(this.#base)) this.#finish("closed");
    this.#view?.close();
    this.#view = null;
  }

  // A page nobody looks at asks for nothing.
  #openWhenSeen() {
    this.#opensWhenSeen = document.hidden;
    if (!document.hidden) this.#open();
  }

  async #open() {
    this.#become("connecting");
    let ticket;
    try {
      ticket = await this.#takeTicket();
    } catch (error) {
      if (FINAL.has(this.#base)) return;
      if (error.final) this.#refuse(error.message, error.detail ?? "");
      else this.#lost(error.message);
      return;
    }
    if (FINAL.has(this.#base)) return;
    const view = new View(ticket, this.#takeTicket, {
      hello: () => {
        this.#become("waiting");
        if (document.hidden) view.say({ type: "hidden" });
      },
      lease: (at) => this.#lease(at),
      notice: (notice, receivedAt) => this.#notice(notice, receivedAt),
      init: (bytes) => this.#screen.init(bytes),
      fragment: (bytes, isKeyframe) => this.#screen.append(bytes, isKeyframe),
      uncertain: () => this.#cover("lost"),
      watch: () => this.#watch(),
      lost: (reason) => this.#lost(reason),
      over: (state, reason) => this.#over(state, reason),
    });
    this.#view = view;
  }

  #notice(notice, receivedAt) {
    if (!BEGINNING.has(notice.code) && !HARMLESS.has(notice.code)) {
      const state = COVERED_STATE[notice.code] ?? "waiting";
      if (FINAL.has(state)) this.#finish(state);
      else this.#cover(state);
      this.#acknowledgeDark(notice.code, receivedAt);
    }
    this.#onNotice(notice);
  }

  #acknowledgeDark(code, receivedAt) {
    const view = this.#view;
    afterPaint(() => {
      view?.say({ type: "dark", ms: Math.round(performance.now() - receivedAt), code });
    });
  }

  #lease(at) {
    if (this.#base === "live" || this.#base === "late") this.#shutter.open(at);
  }

  #pictureShown() {
    if (FINAL.has(this.#base) || document.hidden || !this.#view?.mayShow) return;
    this.#retryMs = RETRY_FIRST_MS;
    if (this.#base !== "live" && this.#base !== "late") this.#shutter.open(this.#view.leaseAt);
    this.#become(this.#isLate() ? "late" : "live");
  }

  #watch() {
    if (this.#base === "live" && this.#isLate()) this.#become("late");
  }

  #isLate() {
    return Math.max(this.#screen.lateMs(), this.#view.delayMs) > LATE_MS;
  }

  // The view is gone, and another one may be tried.
  #lost(reason) {
    if (FINAL.has(this.#base)) return;
    const explained = this.#view?.explained ?? false;
    this.#view?.close();
    this.#view = null;
    this.#cover("lost");
    if (!explained) this.#onNotice({ code: "lost", reason, detail: "" });
    const pauseMs = this.#retryMs * (0.5 + Math.random() / 2);
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_LONGEST_MS);
    clearTimeout(this.#retryTimer);
    this.#retryTimer = setTimeout(() => this.#openWhenSeen(), pauseMs);
  }

  // The relay closed the door with a code that no new ticket changes.
  #over(state, reason) {
    if (FINAL.has(this.#base)) return;
    this.#finish(state);
    this.#onNotice({ code: state, reason, detail: "" });
  }

  #refuse(reason, detail) {
    if (FINAL.has(this.#base)) return;
    this.#finish("refused");
    this.#view?.close();
    this.#onNotice({ code: "refused", reason, detail });
  }

  #finish(state) {
    document.removeEventListener("visibilitychange", this.#visibilityListener);
    clearTimeout(this.#retryTimer);
    this.#cover(state);
  }

  // A hidden page draws nothing, so the browser's own copy of what it drew last stays as it was, and is seen
  // for a frame when the page is shown again. No page can change that.
  #visibilityChanged() {
    if (document.hidden) {
      this.#cover(this.#base === "live" || this.#base === "late" ? "waiting" : this.#base);
      this.#view?.forgetPictures();
      this.#view?.say({ type: "hidden" });
      return;
    }
    this.#view?.say({ type: "visible" });
    this.#tell();
    if (this.#opensWhenSeen) this.#openWhenSeen();
  }

  // Cover first; source and buffers go once the cover is on the screen.
  #cover(state) {
    this.#shutter.close();
    this.#screen.leave();
    this.#become(state);
    afterPaint(() => this.#screen.clear());
  }

  #become(state) {
    this.#base = state;
    this.#tell();
  }

  #tell() {
    const state = document.hidden && !FINAL.has(this.#base) ? "hidden" : this.#base;
    if (this.state === state) return;
    this.state = state;
    this.#tile.dataset.state = state;
    this.#onState(state);
  }
}

// What makes the video visible: an animation, and nothing else.
//
// The video is transparent by itself. The animation is opaque for as long as
// the lease and transparent from then on, so the tile is covered in time by
// the compositor even while this page's own code does not run, and also where
// a style sheet is missing or the video fills the screen alone.
class Shutter {
  static #DURATION_MS = 600000;
  static #KEYFRAMES = [
    { opacity: 1, offset: 0, easing: "steps(1, end)" },
    { opacity: 0, offset: LEASE_MS / Shutter.#DURATION_MS },
    { opacity: 0, offset: 1 },
  ];

  #video;
  #animation = null;

  constructor(video) {
    this.#video = video;
    this.#video.style.opacity = "0";
  }

  // From a lease on: `leaseAt` is when it came, by performance.now().
  open(leaseAt) {
    const next = this.#video.animate(Shutter.#KEYFRAMES, { duration: Shutter.#DURATION_MS });
    next.startTime = leaseAt;
    this.#animation?.cancel();
    this.#animation = next;
  }

  close() {
    this.#animation?.cancel();
    this.#animation = null;
  }
}

// Both sockets of one view, and what of its pictures may be looked at.
class View {
  leaseAt = null;
  explained = false; // the relay has said why this view ends
  delayMs = 0; // of the newest picture, beyond the quickest one's

  #on;
  #takeTicket;
  #viewUntil = null;
  #notices;
  #media = null;
  #watching;
  #renewal = 0; // null once there is nothing more to extend
  #renewPauseMs = RETRY_FIRST_MS;
  #expected = 0;
  #openedAt = performance.now();
  #doubt = null;
  #closed = false;
  #begunAtMs = null; // relay's clock; pictures sent before it belong to what was covered
  #held = [];
  #leastDelayMs = Infinity;

  constructor(ticket, takeTicket, on) {
    this.#on = on;
    this.#takeTicket = takeTicket;
    this.#notices = new WebSocket(socketUrl(ticket.notices_url), ["feedgate.v1", `ticket.${ticket.ticket}`]);
    this.#notices.onmessage = (event) => this.#heard(event.data);
    this.#notices.onclose = (event) => this.#gone(event.reason || `closed_${event.code}`, event.code);
    this.#watching = setInterval(() => this.#watch(), WATCH_MS);
  }

  get mayShow() {
    return !this.#closed && this.#begunAtMs !== null && this.#leaseLeftMs() > 0;
  }

  say(message) {
    if (this.#notices.readyState === WebSocket.OPEN) this.#notices.send(JSON.stringify(message));
  }

  // Nothing is looked at until the relay says that pictures begin.
  forgetPictures() {
    this.#begunAtMs = null;
    this.#held = [];
  }

  close() {
    if (this.#closed) return;
    this.say({ type: "close" });
    this.#shut();
  }

  #leaseLeftMs() {
    return this.leaseAt === null ? 0 : this.leaseAt + LEASE_MS - performance.now();
  }

  #heard(text) {
    if (this.#closed) return;
    const receivedAt = performance.now();
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      message = {};
    }
    if (message.n !== this.#expected) {
      this.#gone("gap_in_notices");
      return;
    }
    this.#expected += 1;
    if (this.leaseAt !== null && this.#leaseLeftMs() <= 0) this.#doubtIt("no_lease");
    if (message.type === "hello") {
      this.#viewUntil = message.view_until;
      this.#openMedia(message.media_path, message.media_secret);
      this.#renewLater();
      this.leaseAt = receivedAt;
      this.#on.hello();
    } else if (message.type === "lease" && this.#doubt === null) {
      this.leaseAt = receivedAt;
      this.#on.lease(receivedAt);
    } else if (message.type === "notice") {
      this.#notice(message, receivedAt);
    }
  }

  #notice(message, receivedAt) {
    if (BEGINNING.has(message.code)) this.#begin(Date.parse(message.at));
    else if (!HARMLESS.has(message.code)) this.forgetPictures();
    this.explained ||= message.code === "view_ended";
    // The relay keeps this socket a moment longer, for the word that the tile is dark.
    if (message.code === "stopped") this.#shutMedia();
    this.#on.notice(message, receivedAt);
  }

  #begin(atMs) {
    if (document.hidden || this.#doubt !== null) return;
    const held = this.#held;
    this.#held = [];
    this.#begunAtMs = atMs;
    for (const picture of held) this.#look(picture);
  }

  #openMedia(path, secret) {
    this.#media = new WebSocket(socketUrl(path), ["feedgate.v1", `media.${secret}`]);
    this.#media.binaryType = "arraybuffer";
    this.#media.onmessage = (event) => this.#picture(event.data);
    this.#media.onclose = (event) => this.#doubtIt(event.reason || "media_closed", event.code);
  }

  #picture(data) {
    if (this.#closed || this.#doubt !== null || document.hidden) return;
    const header = new DataView(data, 0, HEADER_BYTES);
    const picture = {
      kind: header.getUint8(0),
      isKeyframe: (header.getUint8(1) & FLAG_KEYFRAME) !== 0,
      sentAtMs: Number(header.getBigUint64(8)) / 1000,
      body: new Uint8Array(data, HEADER_BYTES),
    };
    const delayMs = Date.now() - picture.sentAtMs;
    this.#leastDelayMs = Math.min(this.#leastDelayMs, delayMs);
    this.delayMs = delayMs - this.#leastDelayMs;
    if (this.delayMs > TOO_LATE_MS) {
      this.#doubtIt("pictures_too_late");
    } else if (this.#begunAtMs !== null) {
      this.#look(picture);
    } else {
      this.#held.push(picture);
      if (this.#held.length > HELD_MESSAGES) this.#held.shift();
    }
  }

  #look({ kind, isKeyframe, sentAtMs, body }) {
    if (!(sentAtMs >= this.#begunAtMs)) return;
    if (kind === KIND_INIT) this.#on.init(body);
    else if (kind === KIND_FRAGMENT) this.#on.fragment(body, isKeyframe);
  }

  // Before its ticket ends the view, a fresh one extends it. One that gains nothing may rest on a token that is
  // about to be renewed, or on a grant that ends then; asking again tells the two apart.
  #renewLater() {
    const leftMs = Date.parse(this.#viewUntil) - Date.now();
    if (leftMs <= 0) return; // the notice will say so
    const inMs = leftMs - RENEW_BEFORE_MS;
    const pauseMs = Math.min(Math.max(this.#renewPauseMs, inMs), TIMER_LONGEST_MS);
    this.#renewal = setTimeout(() => (inMs > TIMER_LONGEST_MS ? this.#renewLater() : this.#renew()), pauseMs);
  }

  async #renew() {
    let ticket = null;
    try {
      ticket = await this.#takeTicket();
    } catch (error) {
      if (error.final) return; // the view ends when its ticket does; the notice will say so
    }
    if (this.#closed || this.#renewal === null) return;
    if (ticket !== null && Date.parse(ticket.view_until) > Date.parse(this.#viewUntil)) {
      this.#viewUntil = ticket.view_until;
      this.#renewPauseMs = RETRY_FIRST_MS;
      this.say({ type: "ticket", ticket: ticket.ticket });
    } else {
      this.#renewPauseMs = Math.min(2 * this.#renewPauseMs, RETRY_LONGEST_MS);
    }
    this.#renewLater();
  }

  #watch() {
    const now = performance.now();
    if (this.leaseAt === null) {
      if (now - this.#openedAt > OPENS_WITHIN_MS) this.#gone("no_hello");
    } else if (this.#doubt !== null) {
      if (now - this.#doubt.at > EXPLAINED_WITHIN_MS) this.#gone(this.#doubt.reason, this.#doubt.code);
    } else if (this.#leaseLeftMs() <= 0) {
      this.#doubtIt("no_lease");
    } else {
      this.#on.watch();
    }
  }

  // The dead-man rule, and whatever else this page cannot explain: nothing more of this view is shown. No later
  // lease revives it: that one may have waited on its way, as long as this page was held up or its machine slept.
  // What was said meanwhile is still heard for a moment, above all that the view is over for good.
  #doubtIt(reason, code = 0) {
    if (this.#closed || this.#doubt !== null) return;
    this.#doubt = { at: performance.now(), reason, code };
    this.forgetPictures();
    this.#on.uncertain();
  }

  #gone(reason, code = 0) {
    if (this.#closed) return;
    this.#shut();
    const state = stateAfter(code);
    if (state === "lost") this.#on.lost(reason);
    else this.#on.over(state, reason);
  }

  #shutMedia() {
    clearTimeout(this.#renewal);
    this.#renewal = null;
    if (this.#media === null) return;
    this.#media.onmessage = null;
    this.#media.onclose = null;
    this.#media.close();
  }

  #shut() {
    this.#closed = true;
    this.forgetPictures();
    clearInterval(this.#watching);
    this.#shutMedia();
    this.#notices.onmessage = null;
    this.#notices.onclose = null;
    this.#notices.close();
  }
}

// A MediaSource that is kept at its live edge.
class Screen {
  #video;
  #on;
  #pending = [];
  #source = null;
  #buffer = null;
  #codec = null;
  #url = null;
  #ticksPerSecond = 90000;
  #beginsRun = false;
  #edge = null; // time of the newest picture in the buffer, in seconds
  #shift = 0; // from the run's time to the video's
  #lastsS = 0; // said of the newest picture
  #keyframes = []; // times of those in the buffer
  #shownAt = 0;

  constructor(video, on) {
    this.#video = video;
    this.#on = on;
  }

  init(bytes) {
    const codec = codecOf(bytes);
    if (codec === null || !MediaSource.isTypeSupported(typeOf(codec))) {
      this.#on.impossible("unsupported_codec");
      return;
    }
    if (this.#source === null) this.#open(codec);
    this.#pending.push({ bytes, codec });
    this.#feed();
  }

  append(bytes, isKeyframe) {
    if (this.#source === null) return; // its init segment is missing: it cannot be played
    this.#pending.push({ bytes, codec: null, isKeyframe });
    this.#feed();
  }

  // How old what is seen has become: not yet played, or not followed by anything.
  lateMs() {
    const behindMs = this.#edge === null ? 0 : 1000 * (this.#edge - this.#video.currentTime);
    return Math.max(behindMs, performance.now() - this.#shownAt);
  }

  // What was shown is over. The next init segment begins anew.
  leave() {
    this.#pending = [];
    this.#source = null;
    this.#buffer = null;
    this.#edge = null;
    this.#keyframes = [];
    this.#video.onerror = null;
  }

  // Nothing of what was left stays in the page.
  clear() {
    if (this.#url === null || this.#source !== null) return;
    this.#video.removeAttribute("src");
    this.#video.load();
    URL.revokeObjectURL(this.#url);
    this.#url = null;
  }

  #open(codec) {
    const source = new MediaSource();
    this.#source = source;
    this.#codec = codec;
    if (this.#url !== null) URL.revokeObjectURL(this.#url);
    this.#url = URL.createObjectURL(source);
    source.addEventListener(
      "sourceopen",
      () => {
        if (this.#source !== source) return;
        this.#buffer = source.addSourceBuffer(typeOf(codec));
        this.#buffer.addEventListener("updateend", () => this.#source === source && this.#appended());
        this.#feed();
      },
      { once: true },
    );
    this.#video.onerror = () => this.#source === source && this.#on.broken("decoder");
    this.#video.src = this.#url;
    this.#play();
    this.#awaitPicture(source);
  }

  #play() {
    this.#video.play().catch(() => {}); // interrupted by the next source; it is asked again with every append
  }

  #awaitPicture(source) {
    this.#video.requestVideoFrameCallback(() => {
      if (this.#source !== source) return;
      this.#shownAt = performance.now();
      this.#on.shown();
      this.#awaitPicture(source);
    });
  }

  #feed() {
    if (this.#buffer === null || this.#buffer.updating || this.#pending.length === 0) return;
    try {
      if (this.#pending[0].codec !== null) this.#appendInit(this.#pending.shift());
      else this.#appendFragments();
    } catch {
      this.#on.broken("buffer"); // full or detached: begin anew
    }
  }

  #appendInit({ bytes, codec }) {
    if (codec !== this.#codec) this.#buffer.changeType(typeOf(codec));
    this.#codec = codec;
    this.#ticksPerSecond = ticksPerSecondOf(bytes);
    this.#beginsRun = true;
    this.#buffer.appendBuffer(bytes);
  }

  #appendFragments() {
    const next = this.#pending.findIndex((item) => item.codec !== null);
    const together = this.#pending.splice(0, next === -1 ? this.#pending.length : next);
    for (const { bytes, isKeyframe } of together) {
      this.#lay(bytes);
      if (isKeyframe) this.#keyframes.push(this.#edge);
    }
    this.#buffer.appendBuffer(joined(together.map((item) => item.bytes)));
  }

  // Give the picture its place behind the one before it.
  #lay(fragment) {
    const box = pictureBoxOf(fragment);
    const lastsS = Math.max(box.durationTicks / this.#ticksPerSecond, LASTS_AT_LEAST_S);
    const at = box.decodeTicks / this.#ticksPerSecond;
    const beyond = at + this.#shift - this.#edge; // from the picture before it
    if (this.#edge === null) {
      this.#shift = -at;
    } else if (this.#beginsRun || beyond <= 0 || beyond > 2 * this.#lastsS) {
      // Another run counts from 0 again, and what never came leaves no hole: nothing would play past it.
      this.#shift = Math.max(this.#edge + RESUMES_AFTER_S, this.#video.currentTime + BEHIND_S) - at;
    }
    this.#beginsRun = false;
    this.#lastsS = lastsS;
    this.#edge = at + this.#shift;
    box.place(Math.round(this.#edge * this.#ticksPerSecond), Math.round(lastsS * this.#ticksPerSecond));
  }

  #appended() {
    this.#keepToLiveEdge();
    this.#forget();
    this.#feed();
  }

  #keepToLiveEdge() {
    const video = this.#video;
    if (this.#edge === null) return;
    const behind = this.#edge - video.currentTime;
    if (behind > JUMP_S) video.currentTime = this.#edge - BEHIND_S;
    video.playbackRate = behind > HURRY_S ? 1.25 : behind < EASE_S ? 0.9 : 1;
    if (video.paused) this.#play();
  }

  // Whole groups of pictures only: a removal that ends inside one takes the rest of it, and with it what is shown.
  #forget() {
    const behind = this.#keyframes.filter((time) => time < this.#video.currentTime - KEEP_BEHIND_S);
    if (behind.length < 2 || this.#buffer.updating) return;
    this.#keyframes.splice(0, behind.length - 1);
    this.#buffer.remove(0, this.#keyframes[0]);
  }
}

// Close codes: docs/ref/close-codes.md.
function stateAfter(code) {
  if (code >= 4030 && code <= 4049) return "stopped"; // no right, and no ticket will change it
  if (NOT_MENDED_BY_A_TICKET.has(code)) return "refused";
  return "lost";
}

function socketUrl(path) {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;
}

// Two frames: the first draws what was changed, the second begins after it was
// handed on. A hidden page draws none, and nobody sees it.
function afterPaint(action) {
  let isDone = false;
  const once = () => {
    if (isDone) return;
    isDone = true;
    document.removeEventListener("visibilitychange", hidden);
    action();
  };
  const hidden = () => document.hidden && once();
  document.addEventListener("visibilitychange", hidden);
  if (document.hidden) once();
  else requestAnimationFrame(() => requestAnimationFrame(once));
}

function joined(parts) {
  if (parts.length === 1) return parts[0];
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function typeOf(codec) {
  return `video/mp4; codecs="${codec}"`;
}

// RFC 6381 name from the avcC box (ISO/IEC 14496-15 5.3.3.1).
function codecOf(init) {
  const at = afterName(init, "avcC");
  if (at === -1 || at + 4 > init.length) return null;
  const hex = [1, 2, 3].map((i) => init[at + i].toString(16).padStart(2, "0"));
  return `avc1.${hex.join("")}`;
}

// Time base of the track, from the mdhd box (ISO/IEC 14496-12 8.4.2).
function ticksPerSecondOf(init) {
  const { view, version } = fullBox(init, "mdhd");
  return view.getUint32(version === 1 ? 20 : 12);
}

// Where a fragment of one sample says when it is decoded and how long it lasts:
// its tfdt (8.8.12) and trun boxes (8.8.8).
function pictureBoxOf(fragment) {
  const { view: time, version } = fullBox(fragment, "tfdt");
  const { view: run } = fullBox(fragment, "trun");
  const flags = run.getUint32(0) & 0xffffff;
  if (version !== 1 || (flags & 0x100) === 0) throw new RangeError("not one of the relay's fragments");
  const at = 8 + (flags & 0x1 ? 4 : 0) + (flags & 0x4 ? 4 : 0);
  return {
    decodeTicks: Number(time.getBigUint64(4)),
    durationTicks: run.getUint32(at),
    place(decodeTicks, durationTicks) {
      time.setBigUint64(4, BigInt(decodeTicks));
      run.setUint32(at, durationTicks);
    },
  };
}

function fullBox(bytes, name) {
  const at = afterName(bytes, name);
  if (at === -1) throw new RangeError(`no ${name}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset + at);
  return { view, version: view.getUint8(0) };
}

function afterName(bytes, name) {
  const [a, b, c, d] = [...name].map((letter) => letter.charCodeAt(0));
  for (let i = 0; i + 4 <= bytes.length; i += 1) {
    if (bytes[i] === a && bytes[i + 1] === b && bytes[i + 2] === c && bytes[i + 3] === d) return i + 4;
  }
  return -1;
}
