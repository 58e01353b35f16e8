// The portrait, its faces, and the consent to animate it.
import { $, complain, settle, show, takeFiles } from "./dom.js";
import { request } from "./server.js";

const MOST = 20_000_000; // bytes, the server's limit
let file = null;
let face = null; // number of the face that speaks; null: the server chooses
let boxes = [];
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
  boxes = [];
  const preview = $("preview");
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(given);
  preview.alt = `The chosen picture, ${given.name}`;
  $("picture-name").textContent = given.name;
  show($("picture-change"), true);
  changed.dispatchEvent(new Event("picture"));
  if (findsFaces) findFaces();
}

// Several faces: one is chosen. Needs `POST /v1/faces`: {"faces": [{"box": [left, top, right, bottom]}, ...]}, px.
export function offerFaces(offered) {
  findsFaces = offered;
  if (findsFaces && file) findFaces();
}

async function findFaces() {
  const turn = ++asked;
  const body = new FormData();
  body.append("image", file);
  try {
    const { faces } = await (await request("/v1/faces", { method: "POST", body })).json();
    if (turn !== asked) return;
    boxes = faces.map((found) => found.box);
    placeFaces();
  } catch (error) {
    if (turn === asked) complain(error);
  }
}

function placeFaces() {
  const image = $("preview");
  const group = $("faces");
  const several = boxes.length > 1 && image.naturalWidth > 0;
  show(group, several);
  if (!several) return;
  const { clientWidth, clientHeight } = $("preview-fit");
  const scale = Math.min(clientWidth / image.naturalWidth, clientHeight / image.naturalHeight);
  const at = [(clientWidth - image.naturalWidth * scale) / 2, (clientHeight - image.naturalHeight * scale) / 2];
  place(group, at[0], at[1], image.naturalWidth * scale, image.naturalHeight * scale);
  group.replaceChildren(...boxes.map((box, number) => faceButton(number, box.map((edge) => edge * scale))));
}

function place(element, left, top, width, height) {
  Object.assign(element.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
}

function faceButton(number, [left, top, right, bottom]) {
  const button = document.createElement("button");
  const label = document.createElement("span");
  const chosen = number === (face ?? 0);
  label.textContent = String(number + 1);
  button.append(label);
  button.type = "button";
  button.setAttribute("role", "radio");
  button.setAttribute("aria-checked", String(chosen));
  button.setAttribute("aria-label", `Face ${number + 1} of ${boxes.length}`);
  button.tabIndex = chosen ? 0 : -1;
  place(button, left, top, right - left, bottom - top);
  const choose = (next) => {
    face = (next + boxes.length) % boxes.length;
    placeFaces();
    $("faces").children[face].focus();
    changed.dispatchEvent(new Event("face"));
  };
  button.addEventListener("click", () => choose(number));
  button.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      choose(number + step);
    }
  });
  return button;
}
