// Notes when numbers are seen and clicks are heard in the page of `avct serve`; put before the page's own programs.
// window.seen: [number, ms]; window.heard: ms, told in two ways that should agree.
(() => {
  window.seen = [];
  window.heard = [];
  const BITS = 16;
  const small = new OffscreenCanvas(BITS * 2, BITS * 2);
  const pixels = small.getContext("2d", { willReadFrequently: true });

  function number(shown) {
    pixels.drawImage(shown, 0, 0, small.width, small.height);
    const { data } = pixels.getImageData(0, 1, small.width, 1);
    let found = 0;
    for (let bit = 0; bit < BITS; bit++) if (data[(2 * bit + 1) * 4] + data[2 * bit * 4] > 255) found |= 1 << bit;
    return found;
  }

  function see(shown, time) {
    const found = number(shown);
    if (window.seen.at(-1)?.[0] !== found) window.seen.push([found, time]);
  }

  // What was drawn in the last frame is on the screen when the next one begins.
  function look(time) {
    const canvas = document.querySelector("#canvas");
    if (canvas && !canvas.hidden) see(canvas, time);
    requestAnimationFrame(look);
  }
  requestAnimationFrame(look);

  async function listen(node) {
    const { context } = node;
    await context.audioWorklet.addModule(URL.createObjectURL(new Blob([tapSource], { type: "text/javascript" })));
    const tap = new AudioWorkletNode(context, "tap", { numberOfOutputs: 0 });
    connect.call(node, tap);
    tap.port.onmessage = ({ data }) => {
      const { contextTime, performanceTime } = context.getOutputTimestamp();
      const told = performanceTime + 1000 * (data - contextTime);
      const latency = context.outputLatency || context.baseLatency || 0;
      window.heard.push([told, performance.now() + 1000 * (data + latency - context.currentTime)]);
    };
    window.listened = context;
  }

  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (target, ...more) {
    const made = connect.call(this, target, ...more);
    if (target instanceof AudioDestinationNode) listen(this);
    return made;
  };

  const Peer = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Peer {
    constructor(...given) {
      super(...given);
      window.peer = this;
    }
  };

  // What Chromium itself believes: seconds by which audio is behind, and what buffers hold.
  window.believed = async () => {
    const rows = [...(await window.peer.getStats()).values()].filter(({ type }) => type === "inbound-rtp");
    const { audio, video } = Object.fromEntries(rows.map((row) => [row.kind, row]));
    const held = ({ jitterBufferDelay, jitterBufferEmittedCount }) => jitterBufferDelay / jitterBufferEmittedCount;
    const behind = (video.estimatedPlayoutTimestamp - audio.estimatedPlayoutTimestamp) / 1000;
    return { behind, audio: held(audio), video: held(video), concealed: audio.concealedSamples / 48000 };
  };

  // A stream by WebRTC: called when it plays.
  window.watchVideo = async () => {
    const video = document.querySelector("#webrtc");
    const next = (_, { expectedDisplayTime }) => {
      see(video, expectedDisplayTime);
      video.requestVideoFrameCallback(next);
    };
    video.requestVideoFrameCallback(next);
    // A MediaStreamAudioSourceNode would hear it some 70 ms late: this is when the device takes it.
    const device = new AudioContext({ latencyHint: "interactive" });
    await device.resume();
    const [track] = video.srcObject.getAudioTracks();
    const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
    let last = 0;
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const now = performance.now();
      const samples = new Float32Array(value.numberOfFrames);
      value.copyTo(samples, { planeIndex: 0, format: "f32-planar" });
      const at = samples.findIndex((sample) => Math.abs(sample) > 0.2);
      const begin = 1000 * (at / value.sampleRate);
      if (at >= 0 && now - last > 300) {
        last = now;
        window.heard.push([now + begin, now + begin + 1000 * device.outputLatency]);
      }
      value.close();
    }
  };
})();
