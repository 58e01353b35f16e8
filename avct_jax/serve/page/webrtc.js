// A stream by WebRTC (WHEP): one offer, one answer.
import { Refusal, request } from "./server.js";

const GATHER = 2000; // ms in which this machine's addresses are found
// ms that each waits: left to themselves, browsers let audio come up to 100 ms after its image. A device plays
// what it takes some 30 ms later.
const BUFFER = { audio: 90, video: 120 };

export class Watcher {
  constructor(video, lost) {
    this.video = video;
    this.lost = lost;
    this.media = new MediaStream();
  }

  async open(session) {
    const peer = (this.peer = new RTCPeerConnection());
    peer.addTransceiver("video", { direction: "recvonly" });
    peer.addTransceiver("audio", { direction: "recvonly" });
    peer.ontrack = ({ track }) => this.media.addTrack(track);
    peer.onconnectionstatechange = () => {
      if (peer.connectionState === "failed") this.lost("WebRTC found no way to the server; try the WebSocket.");
    };
    for (const receiver of peer.getReceivers()) receiver.jitterBufferTarget = BUFFER[receiver.track.kind];
    this.video.srcObject = this.media;
    await peer.setLocalDescription();
    await gathered(peer);
    const answer = await request(`/whep/${encodeURIComponent(session)}`, {
      method: "POST",
      headers: { "content-type": "application/sdp" },
      body: peer.localDescription.sdp,
    });
    this.location = answer.headers.get("location");
    if (this.closed) throw new DOMException("stopped", "AbortError");
    await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
    await this.video.play().catch((error) => {
      if (error.name !== "AbortError") throw new Refusal(0, `The browser does not play it: ${error.message}`);
    });
  }

  mute(muted) {
    this.video.muted = muted;
  }

  // How many images have been shown and lost.
  async counts() {
    for (const row of (await this.peer.getStats()).values()) {
      if (row.type === "inbound-rtp" && row.kind === "video") {
        return { shown: row.framesDecoded ?? 0, missed: row.framesDropped ?? 0 };
      }
    }
    return { shown: 0, missed: 0 };
  }

  async close() {
    this.closed = true;
    this.video.srcObject = null;
    if (this.location) await request(this.location, { method: "DELETE" }).catch(() => {}); // it may be gone
    this.peer?.close();
  }
}

function gathered(peer) {
  return new Promise((resolve) => {
    const look = () => peer.iceGatheringState === "complete" && resolve();
    peer.addEventListener("icegatheringstatechange", look);
    setTimeout(resolve, GATHER);
    look();
  });
}
