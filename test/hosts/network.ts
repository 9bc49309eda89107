// Two hosts for tests, on one machine: network namespaces with latency, loss and a link that can be cut. See network.py.
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

/** Whether this machine lets us: root, `ip netns`, and a tun device. */
export const canMakeHosts = (): boolean =>
  process.getuid?.() === 0 &&
  existsSync("/dev/net/tun") &&
  spawnSync("unshare", ["--net", "ip", "link"], { stdio: "ignore" }).status === 0;

export const firstAddress = "10.77.0.1";

export interface Network extends AsyncDisposable {
  /** What a command line on a host begins with. */
  on(host: 0 | 1): readonly string[];
  cut(): void;
  join(): void;
}

export async function makeNetwork({
  delayMs = 0,
  loss = 0,
  seed = 1,
}: { delayMs?: number; loss?: number; seed?: number } = {}): Promise<Network> {
  const name = `torchforge-${process.pid}-${Date.now() % 100_000}`;
  const program = join(import.meta.dirname, "network.py");
  const args = [program, name, String(delayMs), String(loss), String(seed)];
  const child = spawn(process.env["PYTHON"] ?? "python3", args, { stdio: ["pipe", "pipe", "inherit"] });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  await new Promise<void>((resolve, reject) => {
    child.stdout.once("data", () => resolve());
    child.once("error", reject);
    void ended.then(() => reject(new Error("the network could not be made")));
  });
  return {
    on: (host) => ["ip", "netns", "exec", `${name}-${host}`],
    cut: () => void child.stdin.write("cut\n"),
    join: () => void child.stdin.write("join\n"),
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await ended;
    },
  };
}
