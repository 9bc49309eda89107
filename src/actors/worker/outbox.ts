// Sends an actor's messages to the controller, in order. Step records and progress are batched to at most five sends a second,
// because a send costs both processes more than its content; everything else goes at once.
import type { ActorMessage } from "../messages/events.ts";

const intervalMs = 200;

export class Outbox {
  readonly #send: (messages: ActorMessage[]) => void;
  #waiting: ActorMessage[] = [];
  #sentAt = -Infinity;
  #timer: NodeJS.Timeout | undefined;

  constructor(send: (messages: ActorMessage[]) => void) {
    this.#send = send;
  }

  push(message: ActorMessage): void {
    this.#waiting.push(message);
    const isFrequent =
      message.type === "progress" || (message.type === "record" && message.record.kind === "train");
    const wait = isFrequent ? this.#sentAt + intervalMs - performance.now() : 0;
    if (wait <= 0) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), wait).unref();
  }

  /** Must run before any other message is sent, and before the process exits. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#waiting.length === 0) return;
    const messages = this.#waiting;
    this.#waiting = [];
    this.#sentAt = performance.now();
    this.#send(messages);
  }
}
