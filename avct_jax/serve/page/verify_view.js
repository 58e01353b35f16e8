// Whether a film says that it is synthetic: dropped, looked at by the server, and told in its lines.
import { $, complain, settle, show, takeFiles } from "./dom.js";
import { request } from "./server.js";

const ODD = {
  invalid: "; its credentials are NOT valid",
  unreadable: "; its credentials cannot be read",
  unchecked: "; its credentials were not looked at",
};

export function startVerify() {
  takeFiles($("verify-drop"), $("verify-file"), async (file) => {
    settle();
    $("verify-state").textContent = `Looking at ${file.name}`;
    $("verify-lines").replaceChildren();
    try {
      const body = new FormData();
      body.append("video", file);
      const found = await (await request("/v1/verify", { method: "POST", body })).json();
      const odd = ODD[found.state] ?? "";
      $("verify-state").textContent = `${file.name} is ${found.marked ? "" : "not "}marked as synthetic${odd}.`;
      $("verify-lines").replaceChildren(...found.lines.map(item));
    } catch (error) {
      $("verify-state").textContent = "";
      complain(error);
    }
  });
}

export function offerVerify(known) {
  show($("verify"), known);
}

function item(line) {
  const made = document.createElement("li");
  made.textContent = line;
  return made;
}
