// Elements, messages, and files that are dropped.

export const $ = (id) => document.getElementById(id);

export function show(element, shown) {
  element.hidden = !shown;
}

// Show one line of what went wrong; read out at once.
export function complain(error) {
  if (error?.name === "AbortError" || error?.name === "TokenRefused") return;
  $("alert-text").textContent = String(error?.message ?? error);
  show($("alert"), true);
  $("alert").scrollIntoView({ block: "nearest" });
}

export function settle() {
  show($("alert"), false);
  $("alert-text").textContent = "";
}

// Have a line read out that the eye sees elsewhere.
export function tell(line) {
  $("told").textContent = line;
}

// Call `take` with the file that is chosen or dropped.
export function takeFiles(zone, input, take) {
  const over = (event, is) => {
    event.preventDefault();
    zone.classList.toggle("over", is && !input.disabled);
  };
  zone.addEventListener("dragover", (event) => over(event, true));
  zone.addEventListener("dragleave", (event) => over(event, false));
  zone.addEventListener("drop", (event) => {
    over(event, false);
    if (!input.disabled && event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });
  input.addEventListener("change", () => {
    const [file] = input.files;
    input.value = ""; // the same file may be chosen again
    if (file) take(file);
  });
}

// Let a click run to its end before the next; what goes wrong is shown.
export function onClick(button, act) {
  let busy = false;
  button.addEventListener("click", async () => {
    if (busy) return;
    busy = true;
    settle();
    try {
      await act();
    } catch (error) {
      complain(error);
    } finally {
      busy = false;
    }
  });
}
