// Reads the Hugging Face hub's settings from the environment, with the variables and defaults of Python's huggingface_hub: cache,
// endpoint, token, offline mode.
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";

import type { Environment } from "../util/index.ts";

const defaultEndpoint = "https://huggingface.co";

export interface HubEnvironment {
  /** The folder that contains `models--org--name`. */
  readonly cacheDir: string;
  /** Without trailing slash. */
  readonly endpoint: string;
  readonly token: string | undefined;
  /** The variable or file that the token comes from, for messages. */
  readonly tokenFrom: string | undefined;
  /** HF_HUB_OFFLINE: use only the cache. */
  readonly offline: boolean;
}

/** Reads HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN (or the file that `hf auth login` wrote), HF_HUB_OFFLINE. */
export function hubEnvironment(env: Environment = process.env): HubEnvironment {
  const home =
    expand(env["HF_HOME"], env) ??
    join(expand(env["XDG_CACHE_HOME"], env) ?? join(homeOf(env), ".cache"), "huggingface");
  const cacheDir =
    expand(env["HF_HUB_CACHE"], env) ?? expand(env["HUGGINGFACE_HUB_CACHE"], env) ?? join(home, "hub");
  const endpoint = (env["HF_ENDPOINT"]?.trim() || defaultEndpoint).replace(/\/+$/, "");
  const offline = isTrue(env["HF_HUB_OFFLINE"]) || isTrue(env["TRANSFORMERS_OFFLINE"]);
  return { cacheDir: resolve(cacheDir), endpoint, ...readToken(env, home), offline };
}

function readToken(env: Environment, home: string): Pick<HubEnvironment, "token" | "tokenFrom"> {
  for (const name of ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]) {
    const token = env[name]?.replaceAll(/[\r\n]/g, "").trim();
    if (token) return { token, tokenFrom: name };
  }
  const none = { token: undefined, tokenFrom: undefined };
  if (isTrue(env["HF_HUB_DISABLE_IMPLICIT_TOKEN"])) return none;
  const path = expand(env["HF_TOKEN_PATH"], env) ?? join(home, "token");
  const token = existsSync(path) ? readFileSync(path, "utf8").trim() : "";
  return token ? { token, tokenFrom: path } : none;
}

function isTrue(value: string | undefined): boolean {
  return value !== undefined && ["1", "ON", "YES", "TRUE"].includes(value.toUpperCase());
}

function homeOf(env: Environment): string {
  return env["HOME"] || env["USERPROFILE"] || homedir();
}

/** Expands `~`; an empty value counts as undefined. */
function expand(path: string | undefined, env: Environment): string | undefined {
  if (!path) return undefined;
  return path === "~" || path.startsWith("~/") ? join(homeOf(env), path.slice(2)) : path;
}
