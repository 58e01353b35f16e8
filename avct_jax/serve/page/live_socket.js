// `WS /v1/stream`: audio and commands out, images, audio and figures in.
import { Refusal, openSocket } from "./server.js";

const HEAD = 16; // bytes: kind, flags, 0, 0, frame (uint32), seconds (float64)
const JPEG = 1;
const PCM = 2;
const H264 = 3;
const SPEAKING = 1;
const WHOLE = 4;

export class LiveSocket {
  // `on` has functions: image(pts, jpeg, speaking), video(pts, coded, speaking, whole), audio(pts, samples), latency(figures), ended(line).
  constructor(on) {
    this.on = on;
    this.over = false;
    this.said = ""; // the server's last complaint
  }

  // Begin a stream of a portrait, or join one; what the server says when it is ready.
  async open(start, portrait) {
    this.socket = await openSocket("/v1/stream");
    if (this.over) {
      this.socket.close();
      throw new DOMException("stopped", "AbortError");
    }
    return new Promise((resolve, reject) => {
      this.socket.onmessage = ({ data }) => this.take(data, resolve);
      this.socket.onclose = ({ reason }) => {
        const line = this.said || reason || "The live connection was lost.";
        reject(this.over ? new DOMException("stopped", "AbortError") : new Refusal(0, line));
        if (!this.over) this.on.ended(line);
        this.over = true;
      };
      this.socket.send(JSON.stringify({ type: "start", ...start }));
      if (portrait) this.socket.send(portrait);
    });
  }

  say(samples) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(samples);
  }

  command(type, more = {}) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type, ...more }));
  }

  close() {
    this.over = true;
    this.socket?.close();
  }

  take(data, ready) {
    if (this.over) return;
    if (typeof data === "string") {
      const { type, ...rest } = JSON.parse(data);
      if (type === "ready") ready(rest);
      else if (type === "latency") this.on.latency(rest);
      else if (type === "refused") this.on.refused(rest.message);
      else if (type === "error") this.said = rest.message;
      return;
    }
    const head = new DataView(data, 0, HEAD);
    const [kind, flags, pts] = [head.getUint8(0), head.getUint8(1), head.getFloat64(8, true)];
    if (kind === JPEG) this.on.image(pts, new Uint8Array(data, HEAD), Boolean(flags & SPEAKING));
    else if (kind === H264) {
      this.on.video(pts, new Uint8Array(data, HEAD), Boolean(flags & SPEAKING), Boolean(flags & WHOLE));
    } else if (kind === PCM) this.on.audio(pts, new Int16Array(data, HEAD));
  }
}
