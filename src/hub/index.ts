export { hubEnvironment, type HubEnvironment } from "./environment.ts";
export { cachedRepos, cachedSnapshot, missingModelFiles, type Repo, type RepoType } from "./cache.ts";
