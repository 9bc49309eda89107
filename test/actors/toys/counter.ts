// An actor for the tests, without libtorch: counts, tells, and fails where its configuration's description says so, e.g.
// `throw in run on 1`.
import type { Config } from "../../../src/config/index.ts";
import { BaseForgeActor } from "../../../src/actors/index.ts";

export class Trouble extends Error {
  override name = "Trouble";
}

export class Counter extends BaseForgeActor {
  static override readonly collective: readonly string[] = ["together"];
  static override readonly adjustable: readonly string[] = ["training.steps", "lr_scheduler"];
  readonly pid = process.pid;
  setups = 0;
  cleanups = 0;
  readonly #begun = Date.now();

  async setup(): Promise<void> {
    await this.#mayFail("setup");
    this.setups++;
  }

  async run(): Promise<{ sum: number; stopped: boolean }> {
    await this.#mayFail("run");
    const { steps } = this.config.training;
    const [mode, pause = "0"] = this.config.job.description.split(" ");
    for (let i = 1; i <= steps && !this.stopRequested; i++) {
      this.progress(i, steps, "counting");
      this.currentStep = i;
      if (mode === "slow") await new Promise((resolve) => setTimeout(resolve, Number(pause)));
    }
    this.note(`counted to ${this.currentStep}`);
    return { sum: (this.currentStep * (this.currentStep + 1)) / 2, stopped: this.stopRequested };
  }

  async cleanup(): Promise<void> {
    await this.#mayFail("cleanup");
    this.cleanups++;
    this.note(`cleaned up ${this.cleanups} times`);
  }

  protected override configure(next: Config): void {
    if (next.training.steps < this.currentStep) throw new Trouble("that is less than was counted");
    if (this.config.job.description === "refuses on 1" && this.rank === 1 && next.training.steps === 7)
      throw new Trouble("not seven");
  }

  add(a: number, b: number): number {
    return a + b;
  }

  async echo<T>(value: T): Promise<T> {
    return await Promise.resolve(value);
  }

  steps(): number {
    return this.config.training.steps;
  }

  async never(): Promise<void> {
    await new Promise(() => undefined);
  }

  together(): string {
    this.note("together");
    return `rank ${this.rank} of ${this.worldSize}`;
  }

  print(text: string): void {
    console.log(text);
    console.error(`error ${text}`);
  }

  environment(): Record<string, string | undefined> {
    const { RANK, LOCAL_RANK, WORLD_SIZE, LOCAL_WORLD_SIZE } = process.env;
    return { RANK, LOCAL_RANK, WORLD_SIZE, LOCAL_WORLD_SIZE };
  }

  fail(message: string): never {
    throw new Trouble(message);
  }

  get begun(): Date {
    return new Date(this.#begun);
  }

  get thing(): unknown {
    return { list: [new Counter(this.config)] };
  }

  libraries(): string[] {
    const report = process.report.getReport() as unknown as { sharedObjects: string[] };
    return report.sharedObjects.filter((file) => file.includes("torch"));
  }

  async #mayFail(phase: string): Promise<void> {
    const [how, , where, , rank = "0"] = this.config.job.description.split(" ");
    if (where !== phase || Number(rank) !== this.rank) return;
    console.error(`last words of rank ${this.rank}`);
    if (how === "throw") throw new Trouble(`trouble in ${phase}`);
    // oxlint-disable-next-line no-throw-literal -- a user's may
    if (how === "null") throw null;
    if (how === "kill") process.kill(process.pid, "SIGKILL");
    if (how === "exit") process.exit(7);
    if (how === "hang") await new Promise(() => setInterval(() => undefined, 1000));
    if (how === "spin") for (;;);
    await new Promise(() => setInterval(() => undefined, 1000));
  }
}

/** After setup() it takes another number of steps, nothing else. */
export class Steady extends Counter {
  static override readonly adjustable: readonly string[] = ["training.steps"];
}

class Hidden extends Counter {}
export const hidden = (): typeof Hidden => Hidden;
