const data = JSON.parse(document.getElementById('data').textContent);
const $ = id => document.getElementById(id);
const memory = 'avct-rating-' + data.id;
let state = {rater: '', answers: {}, at: 0};
try { state = Object.assign(state, JSON.parse(localStorage.getItem(memory) || '{}')); } catch (e) {}
function save() { try { localStorage.setItem(memory, JSON.stringify(state)); } catch (e) {} }
function seeded(text) { let h = 2166136261; for (const c of text) { h ^= c.codePointAt(0); h = Math.imul(h, 16777619); }
  return () => { h += 0x6D2B79F5; let t = h; t = Math.imul(t ^ t >>> 15, t | 1); t ^= t + Math.imul(t ^ t >>> 7, t | 61);
    return ((t ^ t >>> 14) >>> 0) / 4294967296; }; }
function shuffled() { const next = seeded(state.rater + data.id), order = data.films.map((_, i) => i);
  for (let i = order.length - 1; i > 0; i--) { const j = Math.floor(next() * (i + 1)); [order[i], order[j]] = [order[j], order[i]]; }
  return order; }
let order = [];
function answered(i) { const a = state.answers[i] || {}; return data.questions.every(q => a[q.key]); }
function show() {
  const done = order.filter(answered).length, over = state.at >= order.length;
  $('progress').max = order.length; $('progress').value = done; $('count').textContent = done + ' of ' + order.length + ' films rated';
  $('film').hidden = over; $('end').hidden = !over; if (over) return;
  const i = order[state.at], a = state.answers[i] || {};
  $('title').textContent = 'Film ' + (state.at + 1) + ' of ' + order.length;
  if ($('video').dataset.film !== String(i)) { $('video').src = data.films[i].video; $('video').dataset.film = i; }
  for (const q of data.questions) for (let v = 1; v <= 5; v++) $(q.key + v).checked = a[q.key] === v;
  $('back').disabled = state.at === 0; $('next').disabled = !answered(i);
}
for (const q of data.questions) for (let v = 1; v <= 5; v++) $(q.key + v).addEventListener('change', () => {
  const i = order[state.at]; state.answers[i] = Object.assign({}, state.answers[i], {[q.key]: v}); save(); show(); });
$('next').addEventListener('click', () => { state.at++; save(); show(); scrollTo(0, 0); });
$('back').addEventListener('click', () => { state.at--; save(); show(); });
$('again').addEventListener('click', () => { state.at = 0; save(); show(); });
function begin() { order = shuffled(); $('begin').hidden = true; $('rating').hidden = false; show(); }
$('start').addEventListener('submit', event => { event.preventDefault(); state.rater = $('rater').value.trim() || 'anonymous'; save(); begin(); });
$('save').addEventListener('click', () => {
  const cell = x => '"' + String(x).replace(/"/g, '""') + '"', lines = ['rater,film,system,question,rating'];
  data.films.forEach((film, i) => { const [name, system] = JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(film.code), c => c.charCodeAt(0))));
    for (const q of data.questions) { const v = (state.answers[i] || {})[q.key]; if (v) lines.push([state.rater, name, system, q.key, v].map(cell).join(',')); } });
  const link = document.createElement('a'); link.href = URL.createObjectURL(new Blob([lines.join('\n') + '\n'], {type: 'text/csv'}));
  link.download = 'ratings-' + state.rater.replace(/[^\w-]+/g, '_') + '.csv'; link.click(); });
if (state.rater) begin();
