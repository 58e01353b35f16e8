// Tells the context's time at which each click begins.

class Tap extends AudioWorkletProcessor {
  last = -1;

  process([[input]]) {
    const at = input ? input.findIndex((sample) => Math.abs(sample) > 0.2) : -1;
    const time = (currentFrame + at) / sampleRate;
    if (at >= 0 && time - this.last > 0.3) {
      this.last = time;
      this.port.postMessage(time);
    }
    return true;
  }
}

registerProcessor("tap", Tap);
