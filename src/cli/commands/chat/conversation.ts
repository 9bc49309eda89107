// A conversation of `forge chat`: what was said so far, and the commands that change it.
import type { Generated } from "../../../train/actors/index.ts";

export const help =
  "/reset begins anew, /system TEXT sets the system prompt and begins anew, /history shows the conversation, /exit ends";

export class Conversation {
  #system: string | undefined;
  #messages: { role: string; content: string }[] = [];

  constructor(system: string | undefined) {
    this.#system = system;
    this.reset();
  }

  reset(): void {
    this.#messages = this.#system === undefined ? [] : [{ role: "system", content: this.#system }];
  }

  ask(content: string): readonly { role: string; content: string }[] {
    this.#messages.push({ role: "user", content });
    return this.#messages;
  }

  answered({ text }: Generated): void {
    this.#messages.push({ role: "assistant", content: text });
  }

  /** Whether a line is a command other than /exit; then it is done. Other lines with a slash are the model's (/no_think …). */
  obeys(line: string, isTyped: boolean): boolean {
    const words = line.trim();
    const [, system] = /^\/system(?:\s+(.*))?$/.exec(words) ?? [];
    if (words === "/history") {
      for (const { role, content } of this.#messages) console.error(`${role}: ${content}`);
    } else if (words === "/reset") {
      this.reset();
      console.error("begun anew");
    } else if (words === "/system" || system !== undefined) {
      this.#system = system;
      this.reset();
      console.error(
        `begun anew, ${system === undefined ? "without a system prompt" : "with this system prompt"}`,
      );
    } else if (isTyped && words === "/help") {
      console.error(help);
    } else {
      return false;
    }
    return true;
  }
}
