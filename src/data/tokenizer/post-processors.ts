// The post-processors of tokenizer.json: the special tokens before and after a text. (What they do to offsets and
// pairs of texts isn't used.)
import { byType, wrong, type Fields } from "./fields.ts";

/** Ids before and after a text. */
export interface Around {
  readonly before: readonly number[];
  readonly after: readonly number[];
}

export function readPostProcessor(fields: Fields): Around {
  return byType(fields, known)(fields);
}

const known: Readonly<Record<string, (fields: Fields) => Around>> = {
  ByteLevel: () => ({ before: [], after: [] }),
  BertProcessing: (fields) => ({ before: [idOf(fields, "cls")], after: [idOf(fields, "sep")] }),
  RobertaProcessing: (fields) => ({ before: [idOf(fields, "cls")], after: [idOf(fields, "sep")] }),
  Sequence: (fields) => {
    const before: number[] = [];
    const after: number[] = [];
    for (const part of fields.each("processors").map(readPostProcessor)) {
      before.unshift(...part.before);
      after.push(...part.after);
    }
    return { before, after };
  },
  TemplateProcessing: (fields) => {
    const pieces = fields.each("single");
    const at = pieces.findIndex(({ value }) => value["Sequence"] !== undefined);
    const more = pieces.filter(({ value }) => value["Sequence"] !== undefined).length;
    if (more !== 1) throw wrong(fields.at("single"), "one place for the text", fields.value["single"]);
    const ids = (part: readonly Fields[]): number[] =>
      part.flatMap((piece) => {
        const token = piece.fields("SpecialToken").text("id");
        const special = fields.fields("special_tokens").fields(token);
        return special.list("ids").map((id) => {
          if (typeof id !== "number") throw wrong(special.at("ids"), "ids", id);
          return id;
        });
      });
    return { before: ids(pieces.slice(0, at)), after: ids(pieces.slice(at + 1)) };
  },
};

function idOf(fields: Fields, name: string): number {
  const [, id] = fields.list(name);
  if (typeof id !== "number") throw wrong(fields.at(name), "[token, id]", fields.value[name]);
  return id;
}
