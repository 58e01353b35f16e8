// The tab Video.
import { $, complain, onClick, settle, show, takeFiles, tell } from "./dom.js";
import { dropJob, keepJob, keptJob } from "./kept_job.js";
import { chosenFace, consent, isReady, picture } from "./picture.js";
import { request } from "./server.js";
import { faultOfSettings, knows, options } from "./settings.js";

const EVERY = 700; // ms between looks at a job
const MOST = 50_000_000; // bytes, the server's limit
let audio = null;
let job = null; // {id, name, following} of the server's, the name of its file
let made = null; // address of the video, in this page

export function startVideo(changed) {
  takeFiles($("video-audio-drop"), $("video-audio"), (file) => {
    settle();
    if (file.size > MOST) {
      complain(`The recording has ${Math.ceil(file.size / 1e6)} MB; 50 MB are the most.`);
      return;
    }
    audio = file;
    $("video-audio-name").replaceChildren(Object.assign(document.createElement("strong"), { textContent: file.name }));
    $("video-audio-name").append(` · ${(file.size / 1e6).toFixed(1)} MB`);
    changed();
  });
  for (const id of ["transcript", "video-text", "whole"]) $(id).addEventListener("input", changed);
  onClick($("video-make"), make);
  onClick($("job-delete"), remove);
}

const typed = (field, id) => (knows(field) ? $(id).value.trim() : "");

// What of the picture is seen: {framing: "full"}, or nothing where it is the head.
export const framing = () => (knows("framing") && $("whole").checked ? { framing: "full" } : {});

// What is to be said: {text}, or {audio: name, transcript}
export function videoSaid() {
  const text = typed("text", "video-text");
  return text ? { text } : { audio: audio?.name, transcript: typed("transcript", "transcript") };
}

async function make() {
  const fault = faultOfSettings();
  if (fault) throw new Error(fault);
  if (!isReady()) return;
  const { text, transcript } = videoSaid();
  if (!audio && !text) {
    $("video-audio").focus();
    throw new Error(`Choose a recording${knows("text") ? ", or type what is to be said" : " of what is to be said"}.`);
  }
  await forget();
  const body = form(text, transcript);
  state("Sending the files", null);
  try {
    const name = `${stem(picture().name)}_says_${stem(videoSaid().audio ?? "text")}.mp4`;
    const answer = await (await request("/v1/videos", { method: "POST", body })).json();
    job = { id: answer.id, name, following: new AbortController() };
    keepJob({ id: job.id, name });
    await follow(job, answer);
  } catch (error) {
    if (!job) show($("job"), false);
    throw error;
  } finally {
    $("video-make").disabled = false;
  }
}

// Go on with the job that the page had when it was left; `found` is called where there is one.
export async function resumeVideo(found) {
  const kept = await keptJob();
  if (!kept || job) return;
  const resumed = { ...kept, following: new AbortController() };
  try {
    const answer = await (await request(`/v1/videos/${encodeURIComponent(kept.id)}`)).json();
    if (job) return; // a new one was asked for meanwhile
    job = resumed;
    found();
    await follow(job, answer);
  } catch (error) {
    if (error.status === 404) dropJob(kept.id); // it was kept for as long as the server keeps them
    else complain(error);
  } finally {
    if (job === resumed || !job) $("video-make").disabled = false;
  }
}

function form(text, transcript) {
  const body = new FormData();
  body.append("image", picture());
  if (text) body.append("text", text);
  else body.append("audio", audio);
  body.append("consent", consent());
  if (transcript) body.append("transcript", transcript);
  if (chosenFace() !== null) body.append("face", chosenFace());
  for (const [name, value] of Object.entries({ ...framing(), ...options() })) body.append(name, value);
  return body;
}

async function follow(followed, answer) {
  const { signal } = followed.following;
  while (["queued", "running"].includes(answer.state)) {
    tellState(answer);
    await new Promise((resolve) => setTimeout(resolve, EVERY));
    if (signal.aborted) return;
    answer = await (await request(`/v1/videos/${followed.id}`, { signal })).json();
  }
  if (answer.state !== "done") {
    await forget();
    throw new Error(answer.error ?? `The video was ${answer.state}.`);
  }
  const content = await (await request(answer.content, { signal })).blob();
  if (!signal.aborted) play(content, answer, followed.name);
}

function tellState({ state: now, queue_position: place, frames_done: done, frames }) {
  if (now === "queued") state(place ? `In the queue: ${place} before it` : "Next in the queue", null);
  else if (frames) state(`Drawing: ${done} of ${frames} frames`, done / frames);
  else state("Listening to the recording", null);
}

function state(line, share) {
  show($("job"), true);
  show($("job-progress"), true);
  show($("job-download"), false);
  $("video-make").disabled = true;
  $("job-delete").textContent = "Cancel";
  if ($("job-state").textContent !== line) $("job-state").textContent = line;
  if (share === null) $("job-progress").removeAttribute("value");
  else $("job-progress").value = share;
}

function play(content, { frames, seconds, notes }, name) {
  made = URL.createObjectURL(content);
  const [video, link] = [$("result"), $("job-download")];
  video.src = link.href = made;
  link.download = name;
  show($("job"), true);
  show($("job-progress"), false);
  show(link, true);
  $("job-delete").textContent = "Delete";
  $("job-state").textContent = `Ready: ${frames} frames, ${seconds.toFixed(1)} s`;
  $("notes").replaceChildren(...notes.map((line) => Object.assign(document.createElement("li"), { textContent: line })));
  show($("notes"), notes.length > 0);
  showResult(isOpen());
  if (isOpen()) video.play().catch(() => {}); // it has controls
  tell("The video is ready");
}

const isOpen = () => !$("panel-video").hidden;
const stem = (name) => name.replace(/\.[^.]*$/, "");

// The stage belongs to the tab that is open.
export function showResult(open) {
  const shown = open && made !== null;
  show($("result"), shown);
  if (!shown) $("result").pause();
  if (shown) $("stage").dataset.shows = "result";
  else if (!document.body.dataset.live || document.body.dataset.live === "idle") {
    $("stage").dataset.shows = picture() ? "picture" : "nothing";
  }
  if (open) show($("preview"), !shown && Boolean(picture()));
}

async function remove() {
  const known = job?.id;
  await forget();
  if (known) tell("The video was deleted");
}

// Let go of a job, here and on the server.
async function forget() {
  const left = job;
  job = null;
  show($("job"), false);
  show($("notes"), false);
  if (made) {
    $("result").removeAttribute("src");
    $("result").load();
    URL.revokeObjectURL(made);
    made = null;
    showResult(isOpen());
  }
  if (!left) return;
  dropJob(left.id);
  left.following.abort();
  await request(`/v1/videos/${left.id}`, { method: "DELETE" }).catch(() => {}); // it may be gone already
}
