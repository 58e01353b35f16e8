const data = JSON.parse(document.getElementById('data').textContent);
const $ = id => document.getElementById(id);
const memory = 'avct-rating-' + data.id;
// Each rater's answers by video and question, and where they are; rater: who is rating now.
let all = {rater: '', raters: {}}, state = {answers: {}, at: 0}, order = [];
try { all = Object.assign(all, JSON.parse(localStorage.getItem(memory) || '{}')); } catch (e) {}
function save() {
  try { localStorage.setItem(memory, JSON.stringify(all)); } catch (e) { $('unkept').hidden = false; }
}
function seeded(text) {
  let h = 2166136261;
  for (const c of text) { h ^= c.codePointAt(0); h = Math.imul(h, 16777619); }
  return () => {
    h += 0x6D2B79F5;
    let t = h;
    t = Math.imul(t ^ t >>> 15, t | 1);
    t ^= t + Math.imul(t ^ t >>> 7, t | 61);
    return ((t ^ t >>> 14) >>> 0) / 4294967296;
  };
}
function shuffled(rater) {
  const next = seeded(rater + data.id), videos = data.videos.map((_, i) => i);
  for (let i = videos.length - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1));
    [videos[i], videos[j]] = [videos[j], videos[i]];
  }
  return videos;
}
function answered(i) { const a = state.answers[i] || {}; return data.questions.every(q => a[q.key]); }
function show() {
  const done = order.filter(answered).length, over = state.at >= order.length;
  $('progress').max = order.length;
  $('progress').value = done;
  $('count').textContent = done + ' of ' + order.length + ' videos rated';
  $('video').hidden = over;
  $('end').hidden = !over;
  $('save').classList.toggle('main', over);
  if (over) { $('video').pause(); return; }
  const i = order[state.at], a = state.answers[i] || {};
  $('title').textContent = 'Video ' + (state.at + 1) + ' of ' + order.length;
  if ($('video').dataset.video !== String(i)) {
    $('video').src = data.videos[i].video;
    $('video').dataset.video = i;
    $('video').setAttribute('aria-label', 'Video ' + (state.at + 1));
  }
  for (const q of data.questions) for (let v = 1; v <= 5; v++) $(q.key + v).checked = a[q.key] === v;
  $('back').disabled = state.at === 0;
  $('next').disabled = !answered(i);
}
function turn(at) {
  state.at = at;
  save();
  show();
  scrollTo(0, 0);
  $(at < order.length ? 'title' : 'thanks').focus({preventScroll: true});
}
function begin() {
  // Not by the plain name: "__proto__" may be one.
  state = all.raters['@' + all.rater] = all.raters['@' + all.rater] || {answers: {}, at: 0};
  order = shuffled(all.rater);
  $('begin').hidden = true;
  $('rating').hidden = false;
  show();
}
function csv() {
  const cell = x => '"' + String(x).replace(/"/g, '""') + '"', lines = ['rater,video,system,question,rating'];
  data.videos.forEach((video, i) => {
    const bytes = Uint8Array.from(atob(video.code), c => c.charCodeAt(0));
    const [name, system] = JSON.parse(new TextDecoder().decode(bytes));
    for (const q of data.questions) {
      const v = (state.answers[i] || {})[q.key];
      if (v) lines.push([all.rater, name, system, q.key, v].map(cell).join(','));
    }
  });
  return lines.join('\n') + '\n';
}
for (const q of data.questions) for (let v = 1; v <= 5; v++) $(q.key + v).addEventListener('change', () => {
  const i = order[state.at];
  state.answers[i] = Object.assign({}, state.answers[i], {[q.key]: v});
  save();
  show();
});
$('next').addEventListener('click', () => turn(state.at + 1));
$('back').addEventListener('click', () => turn(state.at - 1));
$('again').addEventListener('click', () => turn(0));
$('start').addEventListener('submit', event => {
  event.preventDefault();
  all.rater = $('rater').value.trim() || 'anonymous';
  begin();
  turn(state.at);
});
$('other').addEventListener('click', () => {
  $('video').pause();
  all.rater = '';
  save();
  $('rating').hidden = true;
  $('begin').hidden = false;
  $('rater').value = '';
  $('rater').focus();
});
$('save').addEventListener('click', () => {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([csv()], {type: 'text/csv'}));
  link.download = 'ratings-' + all.rater.replace(/[^\p{L}\p{N}-]+/gu, '_') + '.csv';
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
});
if (all.rater) begin();
