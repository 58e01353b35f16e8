// The command line that makes the same video.
import { $, tell } from "./dom.js";

const PLAIN = /^[\w@%+=:,./-]+$/;

// Quote for a POSIX shell, so that it is one word.
const quote = (word) => (PLAIN.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);

// The same of a file's name, so that it is no option either.
const quoteFile = (name) => quote(name.startsWith("-") ? `./${name}` : name);

export function commandLine(image, { audio, text }, options) {
  const said = text ? `--text ${quote(text)}` : `--audio ${quoteFile(audio ?? "SPEECH.wav")}`;
  const words = ["avct animate", `--image ${quoteFile(image)}`, said];
  for (const [name, value] of Object.entries(options)) {
    const option = `--${name.replaceAll("_", "-")}`;
    words.push(value === true ? option : `${option} ${quote(String(value))}`);
  }
  return words.join(" \\\n  ");
}

export function startCommand() {
  $("command-copy").addEventListener("click", async () => {
    const said = $("command").textContent;
    try {
      await navigator.clipboard.writeText(said);
      $("command-copy").textContent = "Copied";
      tell("The command was copied");
      setTimeout(() => ($("command-copy").textContent = "Copy"), 2000);
    } catch {
      getSelection().selectAllChildren($("command")); // no clipboard without https: it is ready to be copied
      tell("The command is selected: copy it with the keyboard");
    }
  });
}
