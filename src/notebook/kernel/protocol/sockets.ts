// The kernel's listening sockets for Jupyter's five channels. ROUTER knows its peers by identity, PUB by their subscriptions,
// REP echoes each message (the heartbeat).
import { createServer, type Server, type Socket } from "node:net";

import { ZmtpConnection, type SocketType } from "./zmtp.ts";

/** Where a channel listens: a TCP port, or a path (transport `ipc`). */
export type Address = { readonly host: string; readonly port: number } | { readonly path: string };

abstract class ListeningSocket {
  readonly peers = new Set<ZmtpConnection>();
  readonly #server: Server;
  readonly #type: SocketType;

  constructor(type: SocketType) {
    this.#type = type;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  listen(address: Address): Promise<void> {
    return new Promise((done, fail) => {
      this.#server.once("error", fail);
      const listening = (): void => {
        this.#server.off("error", fail);
        done();
      };
      if ("path" in address) this.#server.listen(address.path, listening);
      else this.#server.listen(address.port, address.host, listening);
    });
  }

  /** Closes all connections after everything has been sent. */
  async close(): Promise<void> {
    this.#server.close();
    await Promise.all([...this.peers].map((peer) => peer.close()));
  }

  #accept(socket: Socket): void {
    const connection = new ZmtpConnection(socket, this.#type, {
      onReady: (peer, identity) => this.onPeer(peer, identity),
      onMessage: (peer, frames) => this.onMessage(peer, frames),
      onClose: (peer) => {
        this.peers.delete(peer);
        this.onPeerClosed(peer);
      },
    });
    this.peers.add(connection);
  }

  protected onPeer(_peer: ZmtpConnection, _identity: string): void {}
  protected onPeerClosed(_peer: ZmtpConnection): void {}
  protected abstract onMessage(peer: ZmtpConnection, frames: Buffer[]): void;
}

/** The sender of a request, to whom the reply goes. */
export interface Sender {
  readonly peer: ZmtpConnection;
  /** The peer's name for itself; the same on its stdin channel. */
  readonly identity: string;
}

/** Shell, control and stdin: several clients, each answered on its own connection. */
export class RouterSocket extends ListeningSocket {
  readonly #receive: (sender: Sender, frames: Buffer[]) => void;
  readonly #identities = new Map<ZmtpConnection, string>();

  constructor(receive: (sender: Sender, frames: Buffer[]) => void) {
    super("ROUTER");
    this.#receive = receive;
  }

  /** Sends to the peer with this identity. False if there is none. */
  sendTo(identity: string, frames: readonly (Buffer | string)[]): boolean {
    for (const [peer, known] of this.#identities) {
      if (known !== identity) continue;
      peer.send(frames);
      return true;
    }
    return false;
  }

  protected override onPeer(peer: ZmtpConnection, identity: string): void {
    this.#identities.set(peer, identity);
  }

  protected override onPeerClosed(peer: ZmtpConnection): void {
    this.#identities.delete(peer);
  }

  protected override onMessage(peer: ZmtpConnection, frames: Buffer[]): void {
    this.#receive({ peer, identity: this.#identities.get(peer) ?? "" }, frames);
  }
}

/** iopub: sends outputs to all subscribers. */
export class PublisherSocket extends ListeningSocket {
  readonly #subscriptions = new Map<ZmtpConnection, Buffer[]>();
  readonly #onSubscribe: (peer: ZmtpConnection, topic: Buffer) => void;

  /** @param onSubscribe may send the new subscriber a welcome message */
  constructor(onSubscribe: (peer: ZmtpConnection, topic: Buffer) => void = () => {}) {
    super("PUB");
    this.#onSubscribe = onSubscribe;
  }

  /** The first frame is the topic. */
  publish(frames: readonly (Buffer | string)[]): void {
    const topic = Buffer.from(frames[0]!);
    for (const [peer, topics] of this.#subscriptions) {
      if (topics.some((prefix) => topic.subarray(0, prefix.length).equals(prefix))) peer.send(frames);
    }
  }

  protected override onPeerClosed(peer: ZmtpConnection): void {
    this.#subscriptions.delete(peer);
  }

  /** 0x01 and a prefix subscribes, 0x00 and a prefix unsubscribes. */
  protected override onMessage(peer: ZmtpConnection, [frame]: Buffer[]): void {
    const topics = this.#subscriptions.get(peer) ?? [];
    const topic = frame!.subarray(1);
    if (frame![0] === 1) {
      this.#subscriptions.set(peer, [...topics, topic]);
      this.#onSubscribe(peer, topic);
    } else {
      const index = topics.findIndex((known) => known.equals(topic));
      if (index >= 0) this.#subscriptions.set(peer, topics.toSpliced(index, 1));
    }
  }
}

/** Heartbeat: echoes every message. */
export class EchoSocket extends ListeningSocket {
  constructor() {
    super("REP");
  }

  protected override onMessage(peer: ZmtpConnection, frames: Buffer[]): void {
    peer.send(frames);
  }
}
