// What an actor says on its way out of its process: in order, and at once, but records of steps and progress at most five times
// a second, those in between together. Each sending costs both processes more than what is in it.
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

  /** Sends what waits: before anything else is sent, and before the process ends. */
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
