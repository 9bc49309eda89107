// The kernel's listening sockets for Jupyter's five channels. ROUTER knows its peers by identity, PUB by their subscriptions,
// REP echoes each message (the heartbeat).
import { createServer, type Server, type Socket } from "node:net";

import { Budget, ZmtpConnection, type SocketType, type ZmtpLimits } from "./zmtp.ts";

// Anyone on this machine can connect, and only messages on a ROUTER are signed. What strangers can cost is limited, for each
// socket: connections, bytes of messages that don't end, bytes that nobody reads, subscriptions.
const maxConnections = 100;
const megabyte = 2 ** 20;
const maxUnread = 256 * megabyte;
const maxUnreadOfAll = 512 * megabyte;
const maxSubscriptions = 100;
/** Messages without a right signature, or sent twice, before the connection is closed. */
const maxRefused = 100;

/** Where a channel listens: a TCP port, or a path (transport `ipc`). */
export type Address = { readonly host: string; readonly port: number } | { readonly path: string };

abstract class ListeningSocket {
  readonly peers = new Set<ZmtpConnection>();
  readonly #server: Server;
  readonly #type: SocketType;
  readonly #limits: ZmtpLimits;

  /** @param message most bytes of a message */
  constructor(type: SocketType, message: number) {
    this.#type = type;
    this.#limits = { message, unread: maxUnread, incomplete: new Budget(2 * message) };
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
    if (this.peers.size >= maxConnections) {
      // One that says nothing gives way; those that work stay.
      const silent = [...this.peers].find((peer) => !peer.ready);
      if (silent === undefined) return void socket.destroy();
      this.peers.delete(silent);
      silent.drop();
    }
    const handlers = {
      onReady: (peer: ZmtpConnection, identity: string) => this.onPeer(peer, identity),
      onMessage: (peer: ZmtpConnection, frames: Buffer[]) => this.onMessage(peer, frames),
      onClose: (peer: ZmtpConnection) => {
        this.peers.delete(peer);
        this.onPeerClosed(peer);
      },
    };
    this.peers.add(new ZmtpConnection(socket, this.#type, handlers, "", this.#limits));
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
  readonly #receive: (sender: Sender, frames: Buffer[]) => boolean;
  readonly #identities = new Map<ZmtpConnection, string>();
  readonly #refused = new Map<ZmtpConnection, number>();

  /** @param receive false for a message that is refused */
  constructor(receive: (sender: Sender, frames: Buffer[]) => boolean) {
    super("ROUTER", 64 * megabyte);
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
    this.#refused.delete(peer);
  }

  protected override onMessage(peer: ZmtpConnection, frames: Buffer[]): void {
    if (this.#receive({ peer, identity: this.#identities.get(peer) ?? "" }, frames)) return;
    const refused = (this.#refused.get(peer) ?? 0) + 1;
    this.#refused.set(peer, refused);
    if (refused > maxRefused) peer.drop();
  }
}

/** iopub: sends outputs to all subscribers. */
export class PublisherSocket extends ListeningSocket {
  readonly #subscriptions = new Map<ZmtpConnection, Buffer[]>();
  readonly #onSubscribe: (peer: ZmtpConnection, topic: Buffer) => void;

  /** @param onSubscribe may send the new subscriber a welcome message */
  constructor(onSubscribe: (peer: ZmtpConnection, topic: Buffer) => void = () => {}) {
    super("PUB", 65_536);
    this.#onSubscribe = onSubscribe;
  }

  /** The first frame is the topic. */
  publish(frames: readonly (Buffer | string)[]): void {
    const topic = Buffer.from(frames[0]!);
    let unread = 0;
    for (const [peer, topics] of this.#subscriptions) {
      if (topics.some((prefix) => topic.subarray(0, prefix.length).equals(prefix))) peer.send(frames);
      unread += peer.unread;
    }
    if (unread > maxUnreadOfAll) this.#dropSlowest();
  }

  /** Of those for whom much waits, the one that has read the least. */
  #dropSlowest(): void {
    const peers = [...this.#subscriptions.keys()];
    const most = Math.max(...peers.map((peer) => peer.unread));
    const [slowest] = peers.filter((peer) => peer.unread * 2 >= most).toSorted((a, b) => a.read - b.read);
    slowest!.drop();
  }

  protected override onPeerClosed(peer: ZmtpConnection): void {
    this.#subscriptions.delete(peer);
  }

  /** 0x01 and a prefix subscribes, 0x00 and a prefix unsubscribes. */
  protected override onMessage(peer: ZmtpConnection, [frame]: Buffer[]): void {
    const topics = this.#subscriptions.get(peer) ?? [];
    const topic = frame!.subarray(1);
    if (frame![0] === 1) {
      if (topics.length >= maxSubscriptions) return peer.drop();
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
    super("REP", 65_536);
  }

  protected override onMessage(peer: ZmtpConnection, frames: Buffer[]): void {
    peer.send(frames);
  }
}
