// The tab Live.
import { $, complain, onClick, settle, show, takeFiles, tell } from "./dom.js";
import { LiveSocket } from "./live_socket.js";
import { SoundSource } from "./microphone.js";
import { chosenFace, consent, isReady, picture } from "./picture.js";
import { Player } from "./player.js";
import { request } from "./server.js";
import { factors, faultOfSettings, knows, options } from "./settings.js";
import { decodesH264 } from "./video_decoder.js";
import { Watcher } from "./webrtc.js";

const EVERY = 500; // ms between looks at the figures
const HINTS = {
  idle: "Choose a picture, fill in the consent, then start.",
  live: "Speak, or give a recording. Use headphones with the microphone, or mute: it would hear the face.",
};
const RATE = 16_000; // samples a second of streams
const SIZE = 256; // px, of WebRTC's streams and others where none is chosen
let live = null; // what is open
let saidLast = () => {};

export function startLive(said, changed) {
  saidLast = said;
  $("live-whole").addEventListener("input", changed);
  onClick($("live-start"), start);
  onClick($("live-stop"), () => stop());
  onClick($("microphone"), () => (live.sound.listening ? hush() : listen()));
  onClick($("interrupt"), interrupt);
  onClick($("mute"), () => mute($("mute").getAttribute("aria-pressed") !== "true"));
  takeFiles($("live-audio-drop"), $("live-audio"), sayFile);
  $("live-text-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = $("live-text").value.trim();
    if (!live || !text) return;
    live.sound.stopFile();
    if (live.sound.listening) hush();
    live.socket.command("text", { text });
    saidLast({ text });
    $("live-text").value = "";
  });
  addEventListener("pagehide", () => {
    live?.socket.close();
    if (live) closeSession(live);
  });
}

async function start() {
  const fault = faultOfSettings();
  if (fault) throw new Error(fault);
  if (live || !isReady()) return;
  const byWebrtc = document.querySelector("input[name=way]:checked").value === "webrtc";
  const opened = (live = { byWebrtc, socket: null, player: null, watcher: null, sound: null, session: null });
  opened.socket = new LiveSocket(handlers(opened));
  opened.sound = new SoundSource((samples) => opened.socket.say(samples), () => opened.socket.command("flush"));
  opened.told = JSON.stringify(factors());
  shows("opening");
  try {
    await (byWebrtc ? openWebrtc(opened) : openSocket(opened));
    if (live !== opened) return;
    opened.ready = true;
    opened.timer = setInterval(() => tellCounts(opened), EVERY);
    mute($("mute").getAttribute("aria-pressed") === "true");
    shows("live");
    tell("Live");
  } catch (error) {
    if (live !== opened) return; // it was stopped
    await stop();
    throw error;
  }
}

async function openSocket(opened) {
  const wanted = { consent: consent(), sample_rate: opened.sound.rate, ...chosen() };
  const failed = (line) => live === opened && lost(line);
  const player = (opened.player = new Player($("canvas"), RATE, failed)); // before the first wait: a click allows sound
  await player.start();
  if (await decodesH264()) wanted.video = "h264";
  const ready = await opened.socket.open(wanted, await picture().arrayBuffer());
  tellNotes(ready.notes);
}

async function openWebrtc(opened) {
  const body = new FormData();
  body.append("image", picture());
  body.append("consent", consent());
  for (const [name, value] of Object.entries(chosen())) body.append(name, value);
  const session = await (await request("/v1/sessions", { method: "POST", body })).json();
  opened.session = session.id;
  if (live !== opened) return closeSession(opened);
  tellNotes(session.notes);
  opened.watcher = new Watcher($("webrtc"), (line) => live === opened && lost(line));
  await opened.watcher.open(session.id);
  await opened.socket.open({ session: session.id, watch: false, sample_rate: opened.sound.rate });
}

// What of the picture is seen: {framing: "full"}, or nothing where it is the head.
export const liveFraming = () => (knows("framing") && $("live-whole").checked ? { framing: "full" } : {});

function chosen() {
  const face = chosenFace();
  return { size: SIZE, ...options(), ...liveFraming(), ...(face === null ? {} : { face }) };
}

const handlers = (opened) => ({
  image: (pts, jpeg, speaking) => opened.player.takeImage(pts, jpeg, speaking),
  video: (pts, coded, speaking, whole) => opened.player.takeVideo(pts, coded, speaking, whole),
  audio: (pts, samples) => opened.player.takeAudio(pts, samples),
  latency: tellLatency,
  refused: complain,
  ended: (line) => live === opened && lost(line),
});

function lost(line) {
  complain(line);
  stop();
}

async function stop() {
  const closing = live;
  if (!closing) return;
  live = null;
  clearInterval(closing.timer);
  closing.socket.close();
  shows("idle");
  await Promise.all([closing.sound.close(), closing.player?.close(), closing.watcher?.close()]);
  await closeSession(closing);
}

async function closeSession({ session }) {
  if (session) await request(`/v1/sessions/${session}`, { method: "DELETE", keepalive: true }).catch(() => {}); // it may be gone
}

async function listen() {
  const { sound } = live;
  sound.stopFile();
  await sound.openMicrophone(hush);
  $("microphone").setAttribute("aria-pressed", "true");
  tell("The microphone is on");
}

function hush() {
  live?.sound.closeMicrophone();
  $("microphone").setAttribute("aria-pressed", "false");
  tell("The microphone is off");
}

async function sayFile(file) {
  if (!live) return;
  settle();
  if (live.sound.listening) hush();
  saidLast({ audio: file.name });
  tell(`${file.name} is being said`);
  try {
    await live.sound.sayFile(file);
  } catch (error) {
    complain(error);
  }
}

function interrupt() {
  live.sound.stopFile();
  live.socket.command("interrupt");
}

// Do as the sliders say from now on.
export function adjustLive() {
  const told = JSON.stringify(factors());
  if (!live?.ready || told === live.told || told === "{}") return;
  live.told = told;
  live.socket.command("adjust", factors());
}

function mute(muted) {
  $("mute").setAttribute("aria-pressed", String(muted));
  live?.player?.mute(muted);
  live?.watcher?.mute(muted);
}

function tellNotes(notes) {
  $("notes").replaceChildren(
    ...notes.map((line) => Object.assign(document.createElement("li"), { textContent: line })),
  );
  show($("notes"), notes.length > 0);
}

const ms = (seconds) => (seconds ? `${Math.round(1000 * seconds)} ms` : "–");

function tellLatency(found) {
  if (!live) return;
  live.dropped = found.dropped;
  $("figure-first").textContent = ms(found.first_frame.p50);
  $("figure-late").textContent = ms(found.lateness.p95);
  $("figure-repeated").textContent = found.repeated;
}

async function tellCounts(opened) {
  if (opened.byWebrtc) {
    opened.asked = (opened.asked ?? 0) + 1;
    if (opened.asked % 4 === 0) {
      const state = await request(`/v1/sessions/${opened.session}`).catch(() => null); // the socket tells why
      if (state) tellLatency((await state.json()).latency);
    }
  }
  const { shown, missed } = opened.byWebrtc ? await opened.watcher.counts() : opened.player;
  if (live !== opened) return;
  $("figure-shown").textContent = shown;
  $("figure-dropped").textContent = missed + (opened.dropped ?? 0);
  if (opened.player) $("badge").dataset.speaking = String(opened.player.speaking);
}

function shows(state) {
  const [isLive, opening] = [state === "live", state === "opening"];
  const byWebrtc = live?.byWebrtc;
  document.body.dataset.live = state;
  $("stage").dataset.shows = state === "idle" ? (picture() ? "picture" : "nothing") : "live";
  show($("veil"), opening);
  $("veil-text").textContent = opening ? "Finding the face" : "";
  show($("preview"), !isLive && Boolean(picture()));
  show($("canvas"), isLive && !byWebrtc);
  show($("webrtc"), isLive && byWebrtc);
  show($("badge"), isLive);
  show($("figures"), isLive);
  const [shown, hidden] = state === "idle" ? [$("live-start"), $("live-stop")] : [$("live-stop"), $("live-start")];
  const focused = document.activeElement === hidden;
  show(shown, true);
  show(hidden, false);
  if (focused) shown.focus();
  show($("picture-change"), state === "idle" && Boolean(picture()));
  for (const id of ["microphone", "interrupt", "live-audio", "live-text-say"]) $(id).disabled = !isLive;
  $("picture").disabled = state !== "idle";
  for (const radio of document.querySelectorAll("input[name=way]")) radio.disabled = state !== "idle";
  $("live-whole").disabled = state !== "idle";
  for (const id of ["figure-first", "figure-late"]) if (opening) $(id).textContent = "–";
  for (const id of ["figure-shown", "figure-repeated", "figure-dropped"]) if (opening) $(id).textContent = "0";
  $("live-hint").textContent = isLive ? HINTS.live : HINTS.idle;
  if (!isLive) {
    $("microphone").setAttribute("aria-pressed", "false");
    $("badge").dataset.speaking = "false";
  }
}

export const leaveLive = stop;
