// Remembers the job of this tab, so that it is found again when the page is reloaded or opened anew.
//
// Only its id and the name of its file are kept: who asks for it needs the server's token as before. A job belongs
// to one tab at a time, which holds a lock of its name: another tab would delete it when it makes the next one.

const KEY = "avct-job";
const UNLOADING = 2000; // ms that a page which is being left may still hold its lock
let letGo = () => {};

const stores = [() => sessionStorage, () => localStorage]; // this tab's, and what tabs that were closed have left

export function keepJob(job) {
  for (const store of stores) quietly(() => store().setItem(KEY, JSON.stringify(job)));
  return hold(job.id, 0);
}

export function dropJob(id) {
  letGo();
  for (const store of stores) if (read(store)?.id === id) quietly(() => store().removeItem(KEY));
}

// The job that is kept and no other tab's: {id, name}, or null.
export async function keptJob() {
  const seen = new Set();
  for (const store of stores) {
    const job = read(store);
    if (typeof job?.id !== "string" || seen.has(job.id)) continue;
    seen.add(job.id);
    if (await hold(job.id, UNLOADING)) return job;
  }
  return null;
}

function read(store) {
  return quietly(() => JSON.parse(store().getItem(KEY)));
}

// Browsers that are told to store nothing refuse to.
function quietly(act) {
  try {
    return act();
  } catch {
    return null;
  }
}

// Take the lock of a job; false where another tab has it. Pages by http on another machine have no locks.
function hold(id, patience) {
  letGo();
  if (!navigator.locks) return true;
  return new Promise((resolve) => {
    const wanted = patience ? { signal: AbortSignal.timeout(patience) } : {};
    const until = () => {
      resolve(true);
      return new Promise((release) => (letGo = release));
    };
    navigator.locks.request(`${KEY}-${id}`, wanted, until).catch(() => resolve(false));
  });
}
