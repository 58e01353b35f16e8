// The page of `avct serve`.
import { commandLine, startCommand } from "./command.js";
import { $, complain, settle, show } from "./dom.js";
import { adjustLive, leaveLive, liveFraming, startLive } from "./live_view.js";
import { chosenFace, offerFaces, onFace, onPicture, picture, startPicture } from "./picture.js";
import { readForms, readHash, request } from "./server.js";
import { offerFields, options, startSettings } from "./settings.js";
import { offerVerify, startVerify } from "./verify_view.js";
import { framing, resumeVideo, showResult, startVideo, videoSaid } from "./video_view.js";

const EVERY = { warming: 1500, ready: 15_000, gone: 3000 }; // ms between looks at the server
const STATES = { warming: "Warming up", ready: "Ready", gone: "No answer" };
let said = {}; // live, last: {audio: name} or {text}
let tab = "live";

async function begin() {
  readHash();
  startPicture();
  startSettings(() => {
    tellCommand();
    adjustLive();
  });
  startCommand();
  startLive((what) => {
    said = what;
    tellCommand();
  }, tellCommand);
  startVideo(tellCommand);
  startVerify();
  onPicture(pictureChanged);
  onFace(tellCommand);
  startTabs();
  $("alert-close").addEventListener("click", settle);
  tellCommand();
  watchServer();
  for (const kind of ["dragover", "drop"]) {
    addEventListener(kind, (event) => event.preventDefault()); // a file beside its place is not opened
  }
  await offer();
  await resumeVideo(() => $("tab-video").click());
}

async function offer() {
  try {
    const forms = await readForms();
    const { speaks } = await (await request("/healthz")).json();
    offerFields(forms, speaks);
    offerFaces("/v1/faces" in forms);
    offerVerify("/v1/verify" in forms);
  } catch (error) {
    complain(error);
  }
}

function pictureChanged() {
  showResult(false); // a finished video is there again when the tab is opened
  $("stage").dataset.shows = "picture";
  show($("preview"), true);
  tellCommand();
}

function tellCommand() {
  const { transcript, ...what } = tab === "video" ? videoSaid() : said;
  const wanted = { ...(tab === "video" ? framing() : liveFraming()), ...options() };
  if (chosenFace() !== null) wanted.face = chosenFace();
  if (transcript) wanted.transcript = transcript;
  $("command").textContent = commandLine(picture()?.name ?? "PORTRAIT.jpg", what, wanted);
}

function startTabs() {
  const tabs = [...document.querySelectorAll("[role=tab]")];
  const choose = (chosen) => {
    for (const other of tabs) {
      const on = other === chosen;
      other.setAttribute("aria-selected", String(on));
      other.tabIndex = on ? 0 : -1;
      show($(other.getAttribute("aria-controls")), on);
    }
    tab = chosen.id.replace("tab-", "");
    settle();
    if (tab === "video") leaveLive().catch(complain);
    showResult(tab === "video");
    if (tab === "live") show($("preview"), Boolean(picture()));
    tellCommand();
  };
  tabs.forEach((button, number) => {
    button.addEventListener("click", () => choose(button));
    button.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1, Home: -number, End: tabs.length - 1 - number }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      const next = tabs[(number + step + tabs.length) % tabs.length];
      choose(next);
      next.focus();
    });
  });
}

async function watchServer() {
  let state = "gone";
  try {
    const answer = await fetch("/healthz");
    state = (await answer.json()).ready ? "ready" : "warming";
  } catch {
    // it is gone, and may come back
  }
  $("ready").dataset.state = state;
  if ($("ready").textContent !== STATES[state]) $("ready").textContent = STATES[state];
  setTimeout(watchServer, EVERY[state]);
}

begin();
