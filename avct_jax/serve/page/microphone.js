// Sound that is to be said: a microphone's, or a file's. Both come at one context's rate.

const AHEAD = 3; // seconds of a recording that are sent before they are due
const PIECE = 0.2; // seconds
const LOUDNESS = 32767;

export class SoundSource {
  // `send` takes int16 samples, `end` ends a reply.
  constructor(send, end) {
    this.context = new AudioContext(); // the device's own rate: a microphone cannot be had at every other
    this.send = send;
    this.end = end;
    this.turn = 0;
  }

  get rate() {
    return this.context.sampleRate;
  }

  get listening() {
    return Boolean(this.stream);
  }

  async openMicrophone(lost) {
    const asked = { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true };
    try {
      if (!navigator.mediaDevices) throw new Error("this browser gives microphones to https and localhost alone");
      this.stream = await navigator.mediaDevices.getUserMedia({ audio: asked });
    } catch (error) {
      const why = error.name === "NotAllowedError" ? "this page may not use it; allow it in the browser" : error.message;
      throw new Error(`The microphone cannot be had: ${why}`);
    }
    await this.context.resume();
    await this.context.audioWorklet.addModule("/static/capture.worklet.js");
    this.input = new MediaStreamAudioSourceNode(this.context, { mediaStream: this.stream });
    this.capture = new AudioWorkletNode(this.context, "capture", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
    this.capture.port.onmessage = ({ data }) => this.send(new Int16Array(data));
    this.input.connect(this.capture);
    this.stream.getAudioTracks()[0].onended = lost;
  }

  closeMicrophone() {
    if (!this.stream) return;
    for (const track of this.stream.getTracks()) track.stop();
    this.capture.port.onmessage = null;
    this.input.disconnect();
    this.stream = null;
    this.end();
  }

  // Say a recording, some seconds ahead of its time; false where another one, or a stop, came between.
  async sayFile(file) {
    const turn = ++this.turn;
    let sound;
    try {
      sound = await this.context.decodeAudioData(await file.arrayBuffer());
    } catch {
      throw new Error(`${file.name} cannot be heard by this browser; the tab Video may read it`);
    }
    const samples = mono(sound);
    const size = Math.round(PIECE * sound.sampleRate);
    const began = performance.now();
    for (let at = 0; at < samples.length; at += size) {
      const early = at / sound.sampleRate - (performance.now() - began) / 1000 - AHEAD;
      if (early > 0) await new Promise((resolve) => setTimeout(resolve, 1000 * early));
      if (turn !== this.turn) return false;
      this.send(samples.subarray(at, at + size));
    }
    if (turn === this.turn) this.end();
    return turn === this.turn;
  }

  // Say no more of a recording.
  stopFile() {
    this.turn += 1;
  }

  async close() {
    this.stopFile();
    this.end = () => {};
    this.closeMicrophone();
    if (this.context.state !== "closed") await this.context.close();
  }
}

function mono(sound) {
  const channels = Array.from({ length: sound.numberOfChannels }, (_, number) => sound.getChannelData(number));
  const mixed = new Int16Array(sound.length);
  for (let at = 0; at < mixed.length; at++) {
    let sum = 0;
    for (const channel of channels) sum += channel[at];
    mixed[at] = LOUDNESS * Math.max(-1, Math.min(1, sum / channels.length));
  }
  return mixed;
}
