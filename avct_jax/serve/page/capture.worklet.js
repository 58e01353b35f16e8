// Gives the microphone's audio as int16 pieces of 20 to 40 ms.

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.size = 128 * Math.ceil((0.02 * sampleRate) / 128);
    this.piece = new Int16Array(this.size);
    this.filled = 0;
  }

  process([[input]]) {
    if (!input) return true;
    for (const sample of input) {
      this.piece[this.filled++] = 32767 * Math.max(-1, Math.min(1, sample));
      if (this.filled < this.size) continue;
      this.port.postMessage(this.piece.buffer, [this.piece.buffer]);
      this.piece = new Int16Array(this.size);
      this.filled = 0;
    }
    return true;
  }
}

registerProcessor("capture", Capture);
