// Requests to the server, with its token where it has one.
import { $ } from "./dom.js";

const KEY = "avct-token";
const SILENT = "The server does not answer; is it still running?";
let asking = null;

export class Refusal extends Error {
  constructor(status, line) {
    super(line);
    this.status = status;
  }
}

class TokenRefused extends Error {
  name = "TokenRefused";
}

// Take the token of an address like /#token=..., and take it out of the address.
export function readHash() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!given) return;
  sessionStorage.setItem(KEY, given);
  history.replaceState(null, "", location.pathname + location.search);
}

const token = () => sessionStorage.getItem(KEY) ?? "";

// Fetch; asks for the token where it is missing, and raises the server's one line.
export async function request(path, { method = "GET", body, headers = {}, ...more } = {}) {
  for (;;) {
    const given = token();
    const bearer = given ? { authorization: `Bearer ${given}` } : {};
    const answer = await fetch(path, { method, body, headers: { ...headers, ...bearer }, ...more }).catch((error) => {
      throw error.name === "AbortError" ? error : new Refusal(0, SILENT);
    });
    if (answer.status === 401) {
      await askToken(given);
      continue;
    }
    if (!answer.ok) throw new Refusal(answer.status, await lineOf(answer));
    return answer;
  }
}

async function lineOf(answer) {
  try {
    const { detail } = await answer.json();
    if (typeof detail === "string") return detail;
  } catch {
    // no JSON: the status must do
  }
  return `The server answered ${answer.status} ${answer.statusText}`.trim();
}

// Open a WebSocket; resolves when it is open.
export async function openSocket(path) {
  const given = token();
  const address = new URL(path, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const socket = new WebSocket(address, given ? ["avct", `bearer.${given}`] : ["avct"]);
  socket.binaryType = "arraybuffer";
  const opened = await new Promise((resolve) => {
    socket.onopen = () => resolve(true);
    socket.onerror = () => resolve(false);
  });
  socket.onopen = socket.onerror = null;
  if (opened) return socket;
  await request("/openapi.json"); // a browser is not told why: this one is, and asks for the token
  if (token() !== given) return openSocket(path);
  throw new Refusal(0, "The live connection was refused; a proxy before the server may not let WebSockets through.");
}

// The fields of the forms and the paths that this server knows: {"/v1/videos": {size: schema, ...}, ...}
export async function readForms() {
  const api = await (await request("/openapi.json")).json();
  const forms = {};
  for (const [path, methods] of Object.entries(api.paths)) {
    const schema = Object.values(methods.post?.requestBody?.content ?? {})[0]?.schema;
    const named = schema?.$ref ? api.components.schemas[schema.$ref.split("/").pop()] : schema;
    forms[path] = named?.properties ?? {};
  }
  return forms;
}

// Ask for the token once, whoever needs it.
function askToken(wrong) {
  asking ??= new Promise((resolve, reject) => {
    const dialog = $("token-dialog");
    $("token-wrong").textContent = wrong ? "That token is not this server's." : "";
    $("token").value = "";
    const end = (finish, value) => {
      asking = null;
      $("token-form").onsubmit = $("token-cancel").onclick = dialog.oncancel = null;
      dialog.close();
      finish(value);
    };
    $("token-form").onsubmit = (event) => {
      event.preventDefault();
      sessionStorage.setItem(KEY, $("token").value.trim());
      end(resolve);
    };
    const refuse = () => end(reject, new TokenRefused("no token was given"));
    $("token-cancel").onclick = refuse;
    dialog.oncancel = refuse;
    dialog.showModal();
  });
  return asking;
}
