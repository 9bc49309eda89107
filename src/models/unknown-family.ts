// What is said of a model that no family here is: which there are, which one is the nearest, and what of config.json that one has
// no use for.
import { UserError } from "../util/index.ts";
import { ConfigReader, families, type Family } from "./families/index.ts";

type Json = Readonly<Record<string, unknown>>;

/** Keys that say nothing of what is computed. */
const idle =
  /^(_|architectures$|auto_map$|model_type$|torch_dtype$|dtype$|transformers_version$|use_cache$|initializer_range$|.*_token_id$|.*dropout$|.*_pdrop$|layerdrop$|is_decoder$|chunk_size_feed_forward$|pretraining_tp$|id2label$|label2id$|return_dict$|output_(attentions|hidden_states)$|rope_(theta|scaling|parameters)$|max_position_embeddings$)/;

interface Nearness {
  readonly family: Family;
  /** Keys of config.json that it doesn't read. */
  readonly unread: readonly string[];
  /** What it doesn't take of those that it reads. */
  readonly refusal: string | undefined;
  /** It has experts, and config.json says nothing of any. */
  readonly inventsExperts: boolean;
}

function nearnessOf(family: Family, json: Json): Nearness {
  const read = new Set<string>();
  const noting = new Proxy(json, {
    get: (target, key) => {
      read.add(String(key));
      return target[String(key)];
    },
  });
  let refusal: string | undefined;
  let inventsExperts = false;
  try {
    const { moe } = family.read(new ConfigReader(noting, "it"));
    inventsExperts = moe !== undefined && !Object.keys(json).some((key) => key.includes("expert"));
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    refusal = error.message;
  }
  const unread = Object.keys(json).filter((key) => !read.has(key) && !idle.test(key) && isOn(json[key]));
  return { family, unread, refusal, inventsExperts };
}

/** A switch that is off asks for nothing. */
const isOn = (value: unknown): boolean => value !== null && value !== false && value !== undefined;

/** How much of the beginning two names share. */
function shared(a: string, b: string): number {
  let at = 0;
  while (at < a.length && a[at] === b[at]) at++;
  return at;
}

/** @throws UserError always */
export function refuseFamily(json: Json, where: string): never {
  const type = json["model_type"];
  const named = typeof type === "string" ? type : "";
  const all = families.map((family) => nearnessOf(family, json));
  // A name alike counts as much as some keys: deepseek_v2 is nearer to deepseek_v3 than to llama.
  const distance = ({ family, unread, refusal, inventsExperts }: Nearness): number =>
    unread.length +
    (refusal === undefined ? 0 : 2) +
    (inventsExperts ? 3 : 0) -
    (shared(family.modelType, named) >= 4 ? 4 : 0);
  const [nearest] = all.toSorted((a, b) => distance(a) - distance(b)) as [Nearness, ...Nearness[]];
  const { family, unread, refusal } = nearest;
  const differences = [
    ...(unread.length === 0 ? [] : [`it has no ${unread.join(", ")}`]),
    ...(refusal === undefined ? [] : [refusal.replace(/^it: /, "")]),
  ];
  const said =
    differences.length === 0
      ? "config.json has no key that it lacks, so that what differs is in the model's code alone"
      : `what differs: ${differences.join("; ")}`;
  const types = families.map(({ modelType }) => modelType).join(", ");
  throw new UserError(
    `${where}: model_type: expected one of ${types}, found ${JSON.stringify(type)}. The nearest is ${family.modelType} (${family.models}); ${said}. \`npx torchforge models\` tells more of each`,
    { exitCode: 2 },
  );
}
