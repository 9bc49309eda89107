// Loads libtorch in a child process and reads its build information, so that a library that crashes its process is a finding
// and doesn't end the doctor.
import { spawnSync } from "node:child_process";
import { extname, join } from "node:path";

/** The addon's info(). */
export interface TorchInfo {
  readonly loadMs: number;
  readonly torchVersion: string;
  readonly cpuCapability: string;
  readonly threads: number;
  readonly hasMkl: boolean;
  readonly hasMkldnn: boolean;
  readonly hasCuda: boolean;
  /** The kind of accelerator that this build supports, or null. */
  readonly accelerator: string | null;
  readonly deviceCount: number;
}

export type Probe = { readonly info: TorchInfo } | { readonly error: string };

const program = join(
  import.meta.dirname,
  "..",
  "..",
  "..",
  "torch",
  "addon",
  `probe${extname(import.meta.filename)}`,
);

export function probeTorch(env: NodeJS.ProcessEnv): Probe {
  const run = spawnSync(process.execPath, [program], {
    encoding: "utf8",
    env: { ...env, TORCHFORGE_AUTOBUILD: "0" },
    timeout: 60_000,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const line = run.stdout.trim().split("\n").at(-1) ?? "";
  if (run.status !== 0 || line === "") {
    const how = run.signal === null ? `exit code ${run.status ?? "unknown"}` : `signal ${run.signal}`;
    return {
      error: `loading the addon ended the process (${how}): ${run.stderr.trim().split("\n").at(-1) ?? ""}`,
    };
  }
  const answer = JSON.parse(line) as { error: string } | TorchInfo;
  return "error" in answer ? answer : { info: answer };
}
