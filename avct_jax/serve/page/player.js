// Audio and images of a stream by one clock: that of the audio device.
//
// Stream time t is played at context time base + t. `base` is set by what comes first, BUFFER seconds ahead, and
// moves when something comes too late (the connection or the server hesitated) or, while nobody speaks, when all
// comes early.

import { StreamDecoder } from "./video_decoder.js";

const BUFFER = 0.1; // seconds that the first frame waits
const LATE = 0.01; // seconds before its time at which audio must be there
const EARLY = 0.25; // seconds: so much of waiting that it is shortened
const MOST = 50; // images kept: a page in the background draws none
const SCREEN = 1.5 / 60; // seconds until what is drawn is seen: it is shown with the screen's next frame

export class Player {
  // `failed(line)` is told when what comes cannot be decoded.
  constructor(canvas, rate, failed) {
    this.canvas = canvas;
    this.failed = failed;
    this.context = new AudioContext({ sampleRate: rate, latencyHint: "interactive" });
    this.pixels = canvas.getContext("2d", { alpha: false });
    this.images = []; // {pts, bitmap}, in order
    this.base = null;
    this.decoding = Promise.resolve();
    this.leads = []; // seconds that the last frames came before their time
    this.shown = 0;
    this.missed = 0;
    this.speaking = false;
    this.moved = 0;
  }

  async start() {
    await this.context.audioWorklet.addModule("/static/playback.worklet.js");
    this.node = new AudioWorkletNode(this.context, "playback", { numberOfInputs: 0, outputChannelCount: [1] });
    this.gain = new GainNode(this.context);
    this.node.connect(this.gain).connect(this.context.destination);
    await this.context.resume();
    const draw = () => {
      this.draw();
      this.request = requestAnimationFrame(draw);
    };
    this.request = requestAnimationFrame(draw);
  }

  mute(muted) {
    if (this.gain) this.gain.gain.value = muted ? 0 : 1;
  }

  // Take int16 samples that are said from a stream time on.
  takeAudio(pts, pcm) {
    this.keepTime(pts, true);
    const samples = Float32Array.from(pcm, (value) => value / 32768);
    const at = Math.round(this.base * this.context.sampleRate) + Math.round(pts * this.context.sampleRate);
    this.node.port.postMessage({ at, samples }, [samples.buffer]);
  }

  // Take a JPEG that is shown from a stream time on.
  takeImage(pts, jpeg, speaking) {
    this.keepTime(pts, speaking);
    this.showLater(pts, createImageBitmap(new Blob([jpeg], { type: "image/jpeg" })), speaking);
  }

  // Take H.264 of an image that is shown from a stream time on.
  takeVideo(pts, coded, speaking, whole) {
    this.keepTime(pts, speaking);
    this.decoder ??= new StreamDecoder((at, frame, said) => {
      this.showLater(at, createImageBitmap(frame).finally(() => frame.close()), said); // decoders have few frames
    }, this.failed);
    this.decoder.decode(pts, coded, speaking, whole);
  }

  showLater(pts, decoded, speaking) {
    this.decoding = this.decoding.then(async () => {
      const bitmap = await decoded.catch(() => null);
      if (!bitmap) return;
      this.images.push({ pts, bitmap, speaking });
      while (this.images.length > MOST) this.images.shift().bitmap.close();
    });
  }

  // Move the clock's beginning where what comes does not fit it.
  keepTime(pts, speaking) {
    const now = this.context.currentTime;
    if (this.base === null) this.base = now + BUFFER - pts;
    const lead = this.base + pts - now;
    this.leads.push(lead);
    if (this.leads.length > 75) this.leads.shift();
    if (lead < LATE) this.move(BUFFER - lead);
    else if (!speaking && this.leads.length === 75 && Math.min(...this.leads) > EARLY) {
      this.move(BUFFER - Math.min(...this.leads));
    }
  }

  move(seconds) {
    this.base += seconds;
    this.leads = [];
    this.moved += 1;
  }

  // Stream time of what is heard now.
  heard() {
    const { contextTime = 0, performanceTime = 0 } = this.context.getOutputTimestamp?.() ?? {};
    const now = this.context.currentTime;
    const latency = this.context.outputLatency || this.context.baseLatency || 0;
    const since = (performance.now() - performanceTime) / 1000;
    const told = contextTime > 0 && since >= 0 && since < 1 ? contextTime + since : now - latency;
    return Math.min(told, now + 0.05) - this.base;
  }

  draw() {
    if (this.base === null) return;
    const due = this.heard() + SCREEN;
    let newest = null;
    while (this.images.length && this.images[0].pts <= due) {
      if (newest) {
        newest.bitmap.close();
        this.missed += 1;
      }
      newest = this.images.shift();
    }
    if (!newest) return;
    const { bitmap } = newest;
    if (this.canvas.width !== bitmap.width || this.canvas.height !== bitmap.height) {
      Object.assign(this.canvas, { width: bitmap.width, height: bitmap.height });
    }
    this.pixels.drawImage(bitmap, 0, 0);
    bitmap.close();
    this.shown += 1;
    this.speaking = newest.speaking;
  }

  async close() {
    cancelAnimationFrame(this.request);
    this.decoder?.close();
    for (const { bitmap } of this.images) bitmap.close();
    this.images = [];
    if (this.context.state !== "closed") await this.context.close();
  }
}
