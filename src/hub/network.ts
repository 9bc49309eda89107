// Requests to the hub, with time limits and helpful errors. Every failure that isn't a bug becomes a UserError here: no network,
// an invalid token, a gated or missing repository.
import { messageOf, UserError } from "../util/index.ts";
import type { Repo } from "./cache.ts";

/** The hub can't be reached. Callers may fall back to the cache. */
export class HubUnreachableError extends UserError {
  override name = "HubUnreachableError";
}

/** A repository has no such file. */
export class MissingFileError extends UserError {
  override name = "MissingFileError";
}

export interface HubClient {
  readonly endpoint: string;
  readonly token: string | undefined;
  /** Where the token was found, for messages. */
  readonly tokenFrom: string | undefined;
  /** How long to wait for a response to begin. */
  readonly answerMs: number;
  /** How long a download may stall. */
  readonly stallMs: number;
}

/** What is requested, for messages. */
export interface RequestSubject {
  readonly repo: Repo;
  readonly revision: string;
  readonly file?: string;
}

/** Attempts of a request if the server is busy, and if it says when it will be free again. */
const attempts = { unnamed: 3, named: 8 };
/** The longest wait that the hub may ask for: its windows are of five minutes. */
const maxWaitSeconds = 330;
/** A wait that is told of. */
const longWaitSeconds = 10;

let proxyApplied = false;

/** Node's fetch ignores HTTPS_PROXY by default; newer versions have a function to apply it. */
function applyProxyFromEnvironment(): void {
  if (proxyApplied) return;
  proxyApplied = true;
  const hasProxy = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"].some(
    (name) => process.env[name],
  );
  // Not imported, because node:http loads all of Node's fetch, which most processes never use.
  const { setGlobalProxyFromEnv } = process.getBuiltinModule("node:http") as {
    setGlobalProxyFromEnv?: () => unknown;
  };
  if (hasProxy) setGlobalProxyFromEnv?.();
}

/**
 * Makes a request, and retries if the server is busy. Returns a successful response.
 * @throws HubUnreachableError, UserError
 */
export async function request(
  client: HubClient,
  url: string,
  subject: RequestSubject,
  headers: Readonly<Record<string, string>> = {},
  signal?: AbortSignal,
): Promise<Response> {
  applyProxyFromEnvironment();
  for (let attempt = 1; ; attempt++) {
    const response = await requestOnce(client, url, headers, signal);
    if (response.ok) return response;
    const isRetryable = response.status === 429 || response.status >= 500;
    const named = namedWait(response.headers);
    const limit = named === undefined ? attempts.unnamed : attempts.named;
    if (!isRetryable || attempt >= limit || (named ?? 0) > maxWaitSeconds)
      throw await explain(client, response, subject);
    await response.body?.cancel();
    if ((named ?? 0) > longWaitSeconds)
      process.emitWarning(
        `${client.endpoint} limits requests (${response.status}); waiting the ${named} s that it asks for`,
        "HubWarning",
      );
    await pause(named === undefined ? 250 * 2 ** attempt : named * 1000, signal);
  }
}

/**
 * Seconds after which the server wants to be asked again: `Retry-After`, in seconds or as a date, or the `t` of the hub's
 * `RateLimit: "api";r=0;t=35`, the seconds that are left of its window.
 */
export function namedWait(headers: Headers, now = Date.now()): number | undefined {
  const after = headers.get("Retry-After")?.trim();
  const seconds =
    after === undefined || /^\d+$/.test(after) ? Number(after) : (Date.parse(after) - now) / 1000;
  const left = /(?:^|;)\s*t\s*=\s*(\d+)/.exec(headers.get("RateLimit") ?? "")?.[1];
  const wait = Math.max(Number.isFinite(seconds) ? seconds : 0, Number(left ?? 0));
  return wait > 0 ? Math.ceil(wait) : undefined;
}

async function requestOnce(
  client: HubClient,
  url: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal | undefined,
): Promise<Response> {
  // This limit is for the response to begin; its body is limited by stallMs.
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(new Error("no answer")), client.answerMs);
  // Nobody but the hub itself gets the token; a redirect elsewhere loses it, too.
  const isHub = new URL(url).origin === new URL(client.endpoint).origin;
  const authorization: Record<string, string> =
    client.token === undefined || !isHub
      ? {}
      : { authorization: `Bearer ${checkToken(client, client.token)}` };
  try {
    return await fetch(url, {
      // Sizes and ranges must refer to the uncompressed file.
      headers: { "accept-encoding": "identity", ...authorization, ...headers },
      signal: signal === undefined ? limit.signal : AbortSignal.any([signal, limit.signal]),
    });
  } catch (error) {
    signal?.throwIfAborted();
    if (isRedirectLoop(error))
      throw new UserError(
        `${client.endpoint} sends ${new URL(url).pathname} from one address to another without end. Check HF_ENDPOINT, or use the hub itself.`,
        { cause: error },
      );
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

const isRedirectLoop = (error: unknown): boolean =>
  error instanceof Error && error.cause instanceof Error && /redirect count/i.test(error.cause.message);

/** What can't stand in a header would come back in the error of whoever finds that out. */
function checkToken({ tokenFrom }: HubClient, token: string): string {
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new UserError(
    `The token from ${tokenFrom ?? "the environment"} has characters that no token has (a space, a line break or one beyond ASCII). Copy it anew.`,
    { exitCode: 2 },
  );
}

/** fetch wraps the cause of a failed connection. */
export function networkReason(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  const code = (cause as NodeJS.ErrnoException | undefined)?.code;
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") return `${code}: its name is not known to the network`;
  return typeof code === "string" && code !== "" ? code : messageOf(cause ?? error);
}

/** Converts an unsuccessful response to an error that says what to do. */
export async function explain(
  client: HubClient,
  response: Response,
  subject: RequestSubject,
): Promise<UserError> {
  // A server may repeat what it was sent.
  const { token } = client;
  const hide = (text: string): string => (token === undefined ? text : text.replaceAll(token, "***"));
  const code = response.headers.get("X-Error-Code");
  const errorMessage =
    response.headers.get("X-Error-Message") && hide(response.headers.get("X-Error-Message")!);
  const body = hide(await response.text().catch(() => ""));
  const { repo, revision } = subject;
  const what = `${repo.type} ${repo.name}`;
  const page = `${client.endpoint}/${repo.type === "dataset" ? "datasets/" : ""}${repo.name}`;
  const tokenStatus =
    client.token === undefined
      ? "No token was given."
      : `The token from ${client.tokenFrom ?? "the environment"} has no access.`;
  const tokenAdvice = "Give a token with --hf-token, HF_TOKEN or `hf auth login`.";

  if (
    response.status === 401 &&
    (errorMessage ?? body).includes("Invalid credentials in Authorization header")
  ) {
    return new UserError(
      `The hub refuses the token from ${client.tokenFrom ?? "the environment"}: it is wrong, or has expired. ${tokenAdvice}`,
    );
  }
  if (code === "GatedRepo") {
    return new UserError(
      `The ${what} is gated: its owner asks you to accept conditions. Open ${page}, ask for access, and use a token of that account. ${tokenStatus} ${tokenAdvice}`,
    );
  }
  if (errorMessage === "Access to this resource is disabled.") {
    return new UserError(`The ${what} was disabled by the hub (${page}).`);
  }
  if (code === "RevisionNotFound") {
    return new UserError(
      `The ${what} has no revision ${revision}. Its branches and tags are listed at ${page}.`,
    );
  }
  if (code === "EntryNotFound") {
    return new MissingFileError(
      `The ${what} has no file ${subject.file ?? "of that name"} at revision ${revision}.`,
    );
  }
  if (code === "RepoNotFound" || response.status === 401 || response.status === 404) {
    return new UserError(
      `There is no ${what} on ${client.endpoint}, or it is private. Check its name. ${tokenStatus} ${tokenAdvice}`,
    );
  }
  if (response.status === 403) {
    return new UserError(
      `The hub forbids access to the ${what}: ${errorMessage ?? "no reason given"}. ${tokenStatus} ${tokenAdvice}`,
    );
  }
  if (response.status === 429) {
    const named = namedWait(response.headers);
    return new UserError(
      `The hub is limiting requests (429). Wait ${named === undefined ? "some minutes" : `${named} s`}; with a token the limit is higher. ${tokenStatus}`,
    );
  }
  return new UserError(
    `The hub answered ${response.status} for the ${what}: ${errorMessage ?? (body.slice(0, 200) || response.statusText)}. Try again later.`,
  );
}

export async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted(); // an aborted signal emits no further event
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
