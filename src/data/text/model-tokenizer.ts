// The tokenizer of the model that a configuration names. Of a model of the hub the weights are not downloaded for it.
import { existsSync } from "node:fs";
import { join } from "node:path";
import {
  cachedSnapshot,
  download,
  hubEnvironment,
  parseModelReference,
  resolveModel,
  type RepoFile,
} from "../../hub/index.ts";
import { loadTokenizer, type Tokenizer } from "./tokenizer.ts";

const tokenizerFile =
  /^((tokenizer|tokenizer_config|special_tokens_map|generation_config|config|chat_template)\.json|(additional_chat_templates\/[^/]+|chat_template)\.jinja)$/;

/**
 * @param assets model.hf_assets_path
 * @param chatTemplate model.chat_template
 */
export async function modelTokenizer(assets: string, chatTemplate: string | null = null): Promise<Tokenizer> {
  return loadTokenizer(await tokenizerFolder(assets), { chatTemplate });
}

async function tokenizerFolder(assets: string): Promise<string> {
  const hub = parseModelReference(assets);
  if (hub === undefined) return resolveModel(assets);
  const { cacheDir } = hubEnvironment();
  const cached = cachedSnapshot(cacheDir, { type: "model", name: hub.name }, hub.revision ?? "main");
  if (cached !== undefined && existsSync(join(cached, "tokenizer.json"))) return cached;
  const select = (files: readonly RepoFile[]): RepoFile[] =>
    files.filter(({ path }) => tokenizerFile.test(path));
  return (await download(hub.name, { revision: hub.revision, select })).folder;
}
