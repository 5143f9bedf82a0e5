// Shows one live view in one tile, and covers it whenever it does not know that it may show it.
//
//   const player = new Player(tile, { takeTicket, onNotice, onState });
//   player.start();
//
// `tile` is an element with a <video muted playsinline> and, above it, an
// element of class `cover`. `takeTicket` is an async function that gives the
// answer of `POST …/grants/{id}/tickets`, or throws; an error with `final: true`
// is not tried again.

export const LEASE_MS = 3000;
const RETRY_FIRST_MS = 500;
const RETRY_LONGEST_MS = 8000;
const RENEW_BEFORE_MS = 30000;
const KEEP_BEHIND_S = 5;
const LATE_S = 1.5;

const HEADER_BYTES = 16;
const KIND_INIT = 1;
const KIND_FRAGMENT = 2;
const FLAG_KEYFRAME = 1;

// What a page tells its viewer. Pixels show in `live` and `late` only.
export const STATES = ["connecting", "waiting", "live", "late", "paused", "stopped", "lost", "hidden", "refused"];

// Notices after which nothing may be seen, and the state they lead to.
const COVERING = {
  stopped: "stopped",
  view_ended: "lost",
  paused_by_owner: "paused",
  out_of_schedule: "paused",
  not_fresh: "waiting",
  camera_lost: "waiting",
  waiting_for_keyframe: "waiting",
};

export class Player {
  constructor(tile, { takeTicket, onNotice = () => {}, onState = () => {} }) {
    this.tile = tile;
    this.takeTicket = takeTicket;
    this.onNotice = onNotice;
    this.onState = onState;
    this.video = tile.querySelector("video");
    this.curtain = new Curtain(tile.querySelector(".cover"));
    this.state = "connecting";
    this.view = null;
    this.ended = false;
    this.retryMs = RETRY_FIRST_MS;
    this.onVisibility = () => this.#visibilityChanged();
  }

  start() {
    document.addEventListener("visibilitychange", this.onVisibility);
    this.#open();
  }

  // The viewer has seen enough: the tile is covered and the view ends.
  close() {
    this.ended = true;
    document.removeEventListener("visibilitychange", this.onVisibility);
    this.#cover("stopped");
    this.view?.close();
    this.view = null;
  }

  async #open() {
    this.#setState(document.hidden ? "hidden" : "connecting");
    let ticket;
    try {
      ticket = await this.takeTicket();
    } catch (error) {
      if (error.final) {
        this.#end("refused");
        this.onNotice({ code: "refused", reason: error.message, detail: error.detail ?? "" });
      } else {
        this.#retry();
      }
      return;
    }
    if (this.ended) return;
    this.view = new View(ticket, this.takeTicket, {
      hello: () => this.#setState(document.hidden ? "hidden" : "waiting"),
      lease: (leftMs) => this.#lease(leftMs),
      notice: (notice, receivedAt) => this.#notice(notice, receivedAt),
      init: (bytes) => this.screen?.init(bytes),
      fragment: (bytes, isKeyframe) => this.screen?.append(bytes, isKeyframe),
      lost: (reason) => this.#lost(reason),
    });
    this.screen = new Screen(this.video, {
      shows: () => this.#pictureShown(),
      broken: (reason) => this.#lost(reason),
    });
    if (document.hidden) this.view.say({ type: "hidden" });
  }

  #notice(notice, receivedAt) {
    const state = COVERING[notice.code];
    if (state !== undefined) {
      this.#cover(state);
      this.#acknowledgeDark(notice.code, receivedAt);
    }
    this.onNotice(notice);
    if (notice.code === "stopped") this.#end("stopped");
  }

  // Reached after a frame with the cover was handed to the compositor.
  #acknowledgeDark(code, receivedAt) {
    const view = this.view;
    afterPaint(() => {
      view?.say({ type: "dark", ms: Math.round(performance.now() - receivedAt), code });
      this.#dropBuffers();
    });
  }

  #lease(leftMs) {
    this.retryMs = RETRY_FIRST_MS;
    if (this.state === "live" || this.state === "late") this.curtain.open(leftMs);
  }

  #pictureShown() {
    if (this.state === "hidden" || this.ended || !this.view) return;
    const leftMs = this.view.leaseLeftMs();
    if (leftMs <= 0) return;
    const late = this.screen.behindS() > LATE_S;
    if (this.state !== "live" && this.state !== "late") this.curtain.open(leftMs);
    this.#setState(late ? "late" : "live");
  }

  #lost(reason) {
    if (this.ended || !this.view) return;
    this.#cover("lost");
    this.view.close();
    this.view = null;
    this.onNotice({ code: "lost", reason, detail: "" });
    afterPaint(() => this.#dropBuffers());
    this.#retry();
  }

  #retry() {
    if (this.ended) return;
    const pauseMs = this.retryMs * (0.5 + Math.random() / 2);
    this.retryMs = Math.min(this.retryMs * 2, RETRY_LONGEST_MS);
    setTimeout(() => this.ended || this.#open(), pauseMs);
  }

  #end(state) {
    this.ended = true;
    document.removeEventListener("visibilitychange", this.onVisibility);
    this.#cover(state);
  }

  #visibilityChanged() {
    if (this.ended || !this.view) return;
    if (document.hidden) {
      this.#cover("hidden");
      this.#dropBuffers();
      this.view.say({ type: "hidden" });
    } else {
      this.#setState("waiting");
      this.view.say({ type: "visible" });
    }
  }

  // Cover first; source and buffers go once the cover is on the screen.
  #cover(state) {
    this.curtain.close();
    this.#setState(state);
  }

  #dropBuffers() {
    if (this.state === "live" || this.state === "late") return;
    this.screen?.clear();
  }

  #setState(state) {
    if (this.state === state) return;
    this.state = state;
    this.tile.dataset.state = state;
    this.onState(state);
  }
}

// The cover is opaque by its style sheet. Only a running animation makes it
// transparent, and it ends by itself when the lease does: on the compositor,
// also while this page's own code is held up.
class Curtain {
  constructor(cover) {
    this.cover = cover;
    this.animation = null;
  }

  open(forMs) {
    const next = this.cover.animate([{ opacity: 0 }, { opacity: 0 }], { duration: forMs });
    this.animation?.cancel();
    this.animation = next;
  }

  close() {
    this.animation?.cancel();
    this.animation = null;
  }
}

// Both sockets of one view.
class View {
  constructor(ticket, takeTicket, on) {
    this.on = on;
    this.takeTicket = takeTicket;
    this.viewUntil = ticket.view_until;
    this.expected = 0;
    this.lastLease = performance.now();
    this.closed = false;
    this.media = null;
    this.mediaUrl = ticket.media_url;
    this.notices = new WebSocket(socketUrl(ticket.notices_url), ["feedgate.v1", `ticket.${ticket.ticket}`]);
    this.notices.onmessage = (event) => this.#message(JSON.parse(event.data), performance.now());
    this.notices.onclose = (event) => this.#gone(event.reason || `closed ${event.code}`);
    this.watch = setInterval(() => this.#watch(), 100);
  }

  say(message) {
    if (this.notices.readyState === WebSocket.OPEN) this.notices.send(JSON.stringify(message));
  }

  leaseLeftMs() {
    return LEASE_MS - (performance.now() - this.lastLease);
  }

  close() {
    if (this.closed) return;
    this.say({ type: "close" });
    this.#shut();
  }

  #message(message, receivedAt) {
    if (this.closed) return;
    if (message.n !== this.expected) return this.#gone("gap_in_notices");
    this.expected += 1;
    this.lastLease = receivedAt;
    if (message.type === "hello") {
      this.#openMedia(message.media_secret);
      this.#renewLater();
      this.on.hello(message);
    } else if (message.type === "notice") {
      this.on.notice(message, receivedAt);
      // The relay keeps this socket a moment longer, for the word that the tile is dark.
      if (message.code === "stopped") this.#shutMedia();
    }
    this.on.lease(LEASE_MS);
  }

  #openMedia(secret) {
    this.media = new WebSocket(socketUrl(this.mediaUrl), ["feedgate.v1", `media.${secret}`]);
    this.media.binaryType = "arraybuffer";
    this.media.onmessage = (event) => this.#picture(event.data);
  }

  #picture(data) {
    const header = new DataView(data, 0, HEADER_BYTES);
    const body = new Uint8Array(data, HEADER_BYTES);
    const kind = header.getUint8(0);
    if (kind === KIND_INIT) this.on.init(body);
    else if (kind === KIND_FRAGMENT) this.on.fragment(body, (header.getUint8(1) & FLAG_KEYFRAME) !== 0);
  }

  // Before its ticket ends the view, a fresh one extends it.
  #renewLater() {
    const inMs = Date.parse(this.viewUntil) - Date.now() - RENEW_BEFORE_MS;
    this.renewal = setTimeout(async () => {
      try {
        const ticket = await this.takeTicket();
        if (this.closed || ticket.view_until === this.viewUntil) return;
        this.viewUntil = ticket.view_until;
        this.say({ type: "ticket", ticket: ticket.ticket });
        this.#renewLater();
      } catch {
        // The view ends when its ticket does; the notice will say so.
      }
    }, Math.max(1000, inMs));
  }

  #watch() {
    if (this.leaseLeftMs() <= 0) this.#gone("no_lease");
  }

  #gone(reason) {
    if (this.closed) return;
    this.#shut();
    this.on.lost(reason);
  }

  #shutMedia() {
    clearTimeout(this.renewal);
    if (this.media) this.media.onmessage = null;
    this.media?.close();
  }

  #shut() {
    this.closed = true;
    clearInterval(this.watch);
    this.#shutMedia();
    this.notices.onmessage = null;
    this.notices.close();
  }
}

// A MediaSource that is kept at its live edge.
class Screen {
  constructor(video, on) {
    this.video = video;
    this.on = on;
    this.pending = [];
    this.source = null;
    this.buffer = null;
    this.url = null;
    this.offsetIsOpen = false;
  }

  init(bytes) {
    const codec = codecOf(bytes);
    if (codec === null || !MediaSource.isTypeSupported(`video/mp4; codecs="${codec}"`)) {
      this.on.broken("unsupported_codec");
      return;
    }
    const init = { bytes: bytes.slice(), opens: true };
    if (this.source === null) this.#openSource(codec, init);
    else this.pending.push(init);
    this.#feed();
  }

  append(bytes, isKeyframe) {
    if (this.source === null) return;
    this.pending.push({ bytes, opens: false, isKeyframe });
    this.#feed();
  }

  behindS() {
    const { buffered, currentTime } = this.video;
    return buffered.length === 0 ? 0 : buffered.end(buffered.length - 1) - currentTime;
  }

  // Nothing of what was shown stays in the page.
  clear() {
    this.pending = [];
    this.buffer = null;
    this.source = null;
    this.video.onerror = null;
    if (this.url === null) return;
    this.video.removeAttribute("src");
    this.video.load();
    URL.revokeObjectURL(this.url);
    this.url = null;
  }

  #openSource(codec, init) {
    const source = new MediaSource();
    this.source = source;
    this.url = URL.createObjectURL(source);
    this.pending = [init];
    source.addEventListener(
      "sourceopen",
      () => {
        if (this.source !== source) return;
        this.buffer = source.addSourceBuffer(`video/mp4; codecs="${codec}"`);
        this.buffer.addEventListener("updateend", () => this.#appended(source));
        this.#feed();
      },
      { once: true },
    );
    this.video.onerror = () => this.source === source && this.on.broken("decoder");
    this.video.src = this.url;
    this.video.play().catch(() => {}); // starts again with the first data
    this.#countFrames(source);
  }

  #countFrames(source) {
    this.video.requestVideoFrameCallback(() => {
      if (this.source !== source) return;
      this.on.shows();
      this.#countFrames(source);
    });
  }

  #feed() {
    if (this.buffer === null || this.buffer.updating || this.pending.length === 0) return;
    const [first] = this.pending;
    if (first.opens) {
      this.pending.shift();
      this.offsetIsOpen = true;
      this.buffer.appendBuffer(first.bytes);
      return;
    }
    if (this.offsetIsOpen) {
      // A new run counts from 0 again: lay it behind what is there.
      const { buffered } = this.video;
      const end = buffered.length === 0 ? 0 : buffered.end(buffered.length - 1);
      this.buffer.timestampOffset = end - decodeTimeS(first.bytes);
      this.offsetIsOpen = false;
    }
    const run = this.pending.findIndex((item) => item.opens);
    const together = this.pending.splice(0, run === -1 ? this.pending.length : run);
    try {
      this.buffer.appendBuffer(joined(together.map((item) => item.bytes)));
    } catch {
      this.on.broken("buffer"); // full or detached: begin anew
    }
  }

  #appended(source) {
    if (this.source !== source) return;
    this.#keepToLiveEdge();
    this.#forget();
    this.#feed();
  }

  #keepToLiveEdge() {
    const { video } = this;
    const { buffered } = video;
    if (buffered.length === 0) return;
    const start = buffered.start(buffered.length - 1);
    const end = buffered.end(buffered.length - 1);
    const behind = end - video.currentTime;
    if (video.currentTime < start || behind > 1) video.currentTime = Math.max(start, end - 0.05);
    video.playbackRate = behind > 0.25 ? 1.15 : 1;
    if (video.paused) video.play().catch(() => {});
  }

  #forget() {
    const until = this.video.currentTime - KEEP_BEHIND_S;
    const { buffered } = this.video;
    if (!this.buffer.updating && buffered.length > 0 && buffered.start(0) < until - KEEP_BEHIND_S) {
      this.buffer.remove(0, until);
    }
  }
}

function socketUrl(path) {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;
}

// Two frames: the first paints what was changed, the second begins after it was handed on.
function afterPaint(action) {
  if (document.hidden) action();
  else requestAnimationFrame(() => requestAnimationFrame(action));
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

function find(bytes, name) {
  const [a, b, c, d] = [...name].map((letter) => letter.charCodeAt(0));
  for (let i = 0; i + 4 <= bytes.length; i += 1) {
    if (bytes[i] === a && bytes[i + 1] === b && bytes[i + 2] === c && bytes[i + 3] === d) return i + 4;
  }
  return -1;
}

// RFC 6381 name from the avcC box (ISO/IEC 14496-15 5.3.3.1).
function codecOf(init) {
  const at = find(init, "avcC");
  if (at === -1) return null;
  const hex = [1, 2, 3].map((i) => init[at + i].toString(16).padStart(2, "0"));
  return `avc1.${hex.join("")}`;
}

// Seconds of the fragment's tfdt box (ISO/IEC 14496-12 8.8.12); the time base is 1/90000.
function decodeTimeS(fragment) {
  const at = find(fragment, "tfdt");
  const view = new DataView(fragment.buffer, fragment.byteOffset + at);
  const ticks = view.getUint8(0) === 1 ? Number(view.getBigUint64(4)) : view.getUint32(4);
  return ticks / 90000;
}
