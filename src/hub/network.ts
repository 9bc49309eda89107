// Requests to the hub, with limits in time and with errors that a user can act on. Every failure that isn't a bug
// becomes a UserError here: no network, a refused token, a gated or missing repository.
import { messageOf, UserError } from "../util/index.ts";
import type { Repo } from "./cache.ts";

/** The hub cannot be reached at all. What is in the cache may still do. */
export class HubUnreachableError extends UserError {
  override name = "HubUnreachableError";
}

export interface HubClient {
  readonly endpoint: string;
  readonly token: string | undefined;
  /** Where the token was found, for messages. */
  readonly tokenFrom: string | undefined;
  /** How long to wait for an answer to begin. */
  readonly answerMs: number;
  /** How long a download may stand still. */
  readonly stallMs: number;
}

/** What a request is about, for messages. */
export interface Subject {
  readonly repo: Repo;
  readonly revision: string;
  readonly file?: string;
}

/** Times that a request is made again after an answer of "try later" or a broken connection. */
const attempts = 3;

let proxyTaken = false;

/** Node's fetch ignores HTTPS_PROXY unless told; newer versions can be told here. */
function takeProxyFromEnvironment(): void {
  if (proxyTaken) return;
  proxyTaken = true;
  const wanted = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"].some((name) => process.env[name]);
  // Not imported: an import of node:http loads all of Node's fetch, which most processes never use.
  const { setGlobalProxyFromEnv } = process.getBuiltinModule("node:http") as {
    setGlobalProxyFromEnv?: () => unknown;
  };
  if (wanted) setGlobalProxyFromEnv?.();
}

/**
 * One request; answers of "try later" are tried again. A successful answer comes back, all others throw.
 * @throws HubUnreachableError, UserError
 */
export async function request(
  client: HubClient,
  url: string,
  about: Subject,
  headers: Readonly<Record<string, string>> = {},
  signal?: AbortSignal,
): Promise<Response> {
  takeProxyFromEnvironment();
  for (let attempt = 1; ; attempt++) {
    const response = await requestOnce(client, url, headers, signal);
    if (response.ok) return response;
    const later = response.status === 429 || response.status >= 500;
    if (!later || attempt >= attempts) throw await explain(client, response, about);
    await response.body?.cancel();
    const asked = Number(response.headers.get("Retry-After"));
    await pause(
      Math.min(Number.isFinite(asked) && asked > 0 ? asked * 1000 : 250 * 2 ** attempt, 10_000),
      signal,
    );
  }
}

async function requestOnce(
  client: HubClient,
  url: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal | undefined,
): Promise<Response> {
  // The time limit is for the answer to begin; its body has limits of its own.
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(new Error("no answer")), client.answerMs);
  const authorization: Record<string, string> =
    client.token === undefined ? {} : { authorization: `Bearer ${client.token}` };
  try {
    return await fetch(url, {
      // Sizes and ranges must be those of the file, not of a compressed copy.
      headers: { "accept-encoding": "identity", ...authorization, ...headers },
      signal: signal === undefined ? limit.signal : AbortSignal.any([signal, limit.signal]),
    });
  } catch (error) {
    signal?.throwIfAborted();
    const reason = limit.signal.aborted
      ? `no answer within ${client.answerMs / 1000} s`
      : networkReason(error);
    throw new HubUnreachableError(
      `${client.endpoint} cannot be reached (${reason}). Check the network or HF_ENDPOINT; a folder given by its path needs no network.`,
      { cause: error },
    );
  } finally {
    clearTimeout(timer);
  }
}

/** fetch hides the cause of a failed connection one level down. */
export function networkReason(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  const code = (cause as NodeJS.ErrnoException | undefined)?.code;
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") return `${code}: its name is not known to the network`;
  return typeof code === "string" && code !== "" ? code : messageOf(cause ?? error);
}

/** Turns an answer that isn't a success into an error that says what to do. */
export async function explain(client: HubClient, response: Response, about: Subject): Promise<UserError> {
  const code = response.headers.get("X-Error-Code");
  const said = response.headers.get("X-Error-Message");
  const body = await response.text().catch(() => "");
  const { repo, revision } = about;
  const what = `${repo.type} ${repo.name}`;
  const page = `${client.endpoint}/${repo.type === "dataset" ? "datasets/" : ""}${repo.name}`;
  const having =
    client.token === undefined
      ? "No token was given."
      : `The token from ${client.tokenFrom ?? "the environment"} has no access.`;
  const giveToken = "Give a token with --hf-token, HF_TOKEN or `hf auth login`.";

  if (response.status === 401 && (said ?? body).includes("Invalid credentials in Authorization header")) {
    return new UserError(
      `The hub refuses the token from ${client.tokenFrom ?? "the environment"}: it is wrong, or has expired. ${giveToken}`,
    );
  }
  if (code === "GatedRepo") {
    return new UserError(
      `The ${what} is gated: its owner asks you to accept conditions. Open ${page}, ask for access, and use a token of that account. ${having} ${giveToken}`,
    );
  }
  if (said === "Access to this resource is disabled.") {
    return new UserError(`The ${what} was disabled by the hub (${page}).`);
  }
  if (code === "RevisionNotFound") {
    return new UserError(
      `The ${what} has no revision ${revision}. Its branches and tags are listed at ${page}.`,
    );
  }
  if (code === "EntryNotFound") {
    return new UserError(`The ${what} has no file ${about.file ?? "of that name"} at revision ${revision}.`);
  }
  if (code === "RepoNotFound" || response.status === 401 || response.status === 404) {
    return new UserError(
      `There is no ${what} on ${client.endpoint}, or it is private. Check its name. ${having} ${giveToken}`,
    );
  }
  if (response.status === 403) {
    return new UserError(
      `The hub forbids access to the ${what}: ${said ?? "no reason given"}. ${having} ${giveToken}`,
    );
  }
  if (response.status === 429) {
    return new UserError(
      `The hub is limiting requests (429). Wait some minutes; with a token the limit is higher. ${having}`,
    );
  }
  return new UserError(
    `The hub answered ${response.status} for the ${what}: ${said ?? (body.slice(0, 200) || response.statusText)}. Try again later.`,
  );
}

export async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted(); // a signal tells of its abort once
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    function stop(): void {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    }
    signal?.addEventListener("abort", stop, { once: true });
  });
}
