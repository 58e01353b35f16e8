// Options of what is made: those that the server's forms know.
import { $, show } from "./dom.js";

const SLIDERS = ["head_motion", "blink", "mouth"];
let known = {};

export function startSettings(changed) {
  $("settings").addEventListener("input", () => {
    tellSliders();
    changed();
  });
  tellSliders();
}

// Show the fields that one of the forms has, and take the bounds that it tells.
export function offerFields(forms, speaks) {
  known = { ...forms["/v1/sessions"], ...forms["/v1/videos"] };
  if (!speaks) delete known.text;
  for (const element of document.querySelectorAll("[data-field]")) show(element, element.dataset.field in known);
  for (const name of SLIDERS.filter((name) => name in known)) {
    const { minimum, maximum, default: usual } = known[name];
    if (minimum !== undefined) $(name).min = minimum;
    if (maximum !== undefined) $(name).max = maximum;
    $(name).value = $(name).defaultValue = usual ?? 1;
  }
  tellSliders();
}

export const knows = (name) => name in known;

// What differs from the usual: {size: 512, still: true, ...}
export function options() {
  const found = {};
  if ($("size").value) found.size = Number($("size").value);
  if ($("seed").value !== "") found.seed = Number($("seed").value);
  for (const name of ["still", "label"]) if (name in known && $(name).checked) found[name] = true;
  for (const name of SLIDERS) {
    if (name in known && $(name).value !== $(name).defaultValue) found[name] = Number($(name).value);
  }
  return found;
}

// What a stream that goes on can be told to do more or less: {mouth: 1.5, ...}
export const factors = () =>
  Object.fromEntries(SLIDERS.filter((name) => name in known).map((name) => [name, Number($(name).value)]));

// Say why the seed cannot be taken, or "".
export function faultOfSettings() {
  const seed = $("seed");
  return seed.validity.valid ? "" : `The seed is a whole number from 0: ${seed.validationMessage}`;
}

function tellSliders() {
  for (const name of SLIDERS) $(name).previousElementSibling.textContent = Number($(name).value).toFixed(2);
}
