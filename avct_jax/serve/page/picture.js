// The portrait, its faces, and the consent to animate it.
import { $, complain, settle, show, takeFiles } from "./dom.js";
import { request } from "./server.js";

const MOST = 20_000_000; // bytes, the server's limit
let file = null;
let face = null; // number of the face that speaks; null: the largest
let pictured = { width: 1, height: 1, faces: [] }; // what the server found
let asked = 0;
let findsFaces = false;
const changed = new EventTarget();

export const picture = () => file;
export const chosenFace = () => face;
export const consent = () => $("consent").value.trim();
export const onPicture = (act) => changed.addEventListener("picture", act);
export const onFace = (act) => changed.addEventListener("face", act);

export function startPicture() {
  takeFiles($("stage"), $("picture"), take);
  $("picture-change").addEventListener("click", () => $("picture").click());
  $("consent-me").addEventListener("click", () => {
    $("consent").value = "I am the person in the picture.";
    $("consent").dispatchEvent(new Event("input"));
  });
  $("consent").addEventListener("input", () => $("consent").removeAttribute("aria-invalid"));
  $("preview").addEventListener("load", placeFaces);
  $("preview").addEventListener("error", () => {
    if (file) $("picture-name").textContent = `${file.name}: this browser cannot show it, the server may read it`;
  });
  new ResizeObserver(placeFaces).observe($("stage"));
}

// What must be there before anything is made; false, and told, where it is not.
export function isReady() {
  if (!file) {
    complain("Choose a picture first.");
    $("picture").focus();
    return false;
  }
  if (!consent()) {
    complain("Say who in the picture agreed to this, and how.");
    $("consent").setAttribute("aria-invalid", "true");
    $("consent").focus();
    return false;
  }
  return true;
}

function take(given) {
  settle();
  if (given.size > MOST) {
    complain(`The picture has ${Math.ceil(given.size / 1e6)} MB; 20 MB are the most.`);
    return;
  }
  file = given;
  face = null;
  pictured.faces = [];
  const preview = $("preview");
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(given);
  preview.alt = `The chosen picture, ${given.name}`;
  $("picture-name").textContent = given.name;
  show($("picture-change"), true);
  changed.dispatchEvent(new Event("picture"));
  if (findsFaces) findFaces();
}

// Where there are several faces, have one chosen: `POST /v1/faces` finds them.
export function offerFaces(offered) {
  findsFaces = offered;
  if (findsFaces && file) findFaces();
}

async function findFaces() {
  const turn = ++asked;
  const body = new FormData();
  body.append("image", file);
  try {
    const found = await (await request("/v1/faces", { method: "POST", body })).json();
    if (turn !== asked) return;
    pictured = found;
    placeFaces();
    if (!found.faces.length) complain("No face was found in this picture; choose one seen from the front.");
  } catch (error) {
    if (turn === asked) complain(error);
  }
}

function placeFaces() {
  const { width, height, faces } = pictured;
  const group = $("faces");
  const several = faces.length > 1;
  show(group, several);
  if (!several) return;
  const { clientWidth, clientHeight } = $("preview-fit");
  const scale = Math.min(clientWidth / width, clientHeight / height);
  place(group, (clientWidth - width * scale) / 2, (clientHeight - height * scale) / 2, width * scale, height * scale);
  group.replaceChildren(...faces.map((_, index) => faceButton(index, scale)));
}

function place(element, left, top, width, height) {
  Object.assign(element.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
}

function faceButton(index, scale) {
  const { faces } = pictured;
  const { number, box, largest } = faces[index];
  const [left, top, right, bottom] = box.map((edge) => edge * scale);
  const button = document.createElement("button");
  const label = document.createElement("span");
  const chosen = face === null ? largest : number === face;
  label.textContent = String(number);
  button.append(label);
  button.type = "button";
  button.setAttribute("role", "radio");
  button.setAttribute("aria-checked", String(chosen));
  button.setAttribute("aria-label", `Face ${number} of ${faces.length}, from the left`);
  button.tabIndex = chosen ? 0 : -1;
  place(button, left, top, right - left, bottom - top);
  button.addEventListener("click", () => choose(index));
  button.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    choose((index + step + faces.length) % faces.length);
  });
  return button;
}

function choose(index) {
  face = pictured.faces[index].number;
  placeFaces();
  $("faces").children[index].focus();
  changed.dispatchEvent(new Event("face"));
}
