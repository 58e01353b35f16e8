// Plays pieces of audio at the frames of the context's clock that they are given for.

class Playback extends AudioWorkletProcessor {
  constructor() {
    super();
    this.pieces = []; // {at: frame of the context, samples}, in order
    this.port.onmessage = ({ data }) => {
      if (data.clear) this.pieces = [];
      else this.pieces.push(data);
    };
  }

  process(_, [[output]]) {
    const begin = currentFrame;
    const end = begin + output.length;
    while (this.pieces.length && this.pieces[0].at + this.pieces[0].samples.length <= begin) this.pieces.shift();
    for (const { at, samples } of this.pieces) {
      if (at >= end) break;
      const first = Math.max(at, begin);
      output.set(samples.subarray(first - at, Math.min(end - at, samples.length)), first - begin);
    }
    return true;
  }
}

registerProcessor("playback", Playback);
