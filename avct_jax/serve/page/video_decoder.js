// H.264 of a stream, an image each, by the browser's own decoder (WebCodecs).

const CODEC = "avc1.640028"; // Annex B: what a decoder begins with is in the stream
const CONFIG = { codec: CODEC, optimizeForLatency: true };

// Whether this browser decodes it; pages by http on another machine have no WebCodecs.
export async function decodesH264() {
  if (!("VideoDecoder" in window)) return false;
  return VideoDecoder.isConfigSupported(CONFIG).then(
    ({ supported }) => Boolean(supported),
    () => false,
  );
}

export class StreamDecoder {
  // `take(pts, frame, speaking)` is given each VideoFrame, and closes it; `failed(line)` is told when it ends.
  constructor(take, failed) {
    this.speaking = new Map(); // microseconds of what is being decoded: whether somebody speaks
    this.decoder = new VideoDecoder({
      output: (frame) => {
        take(frame.timestamp / 1e6, frame, Boolean(this.speaking.get(frame.timestamp)));
        this.speaking.delete(frame.timestamp);
      },
      error: ({ message }) => failed(`The browser cannot decode the stream: ${message}`),
    });
    this.decoder.configure(CONFIG);
  }

  decode(pts, data, speaking, whole) {
    if (this.decoder.state !== "configured") return;
    const timestamp = Math.round(pts * 1e6);
    this.speaking.set(timestamp, speaking);
    this.decoder.decode(new EncodedVideoChunk({ type: whole ? "key" : "delta", timestamp, data }));
  }

  close() {
    if (this.decoder.state !== "closed") this.decoder.close();
  }
}
