// A batch made readable: in the terminal, with trained tokens coloured, and as a page that shows every id, label and
// document. Both show the batch itself, not the rows that it was made of: what is wrong in it can be seen here.
import { mapColumns } from "../columns.ts";
import { ignoreIndex, paddingOf, padBatch, type Batch } from "../pack/batch.ts";
import type { Tokenizer } from "../text/tokenizer.ts";

/** One position of a batch. A token is trained when the position before it has it as label. */
export interface PreviewToken {
  readonly position: number;
  readonly id: number;
  readonly label: number;
  readonly piece: string;
  readonly isTrained: boolean;
}

/** One document, or the padding of a sequence, which has no row and no tokens. */
export interface PreviewDocument {
  readonly sequence: number;
  readonly document: number;
  readonly row: number | undefined;
  /** Positions. */
  readonly length: number;
  readonly tokens: readonly PreviewToken[];
}

/** The documents of a batch, position by position. */
export function previewDocuments(batch: Batch, tokenizer: Tokenizer): PreviewDocument[] {
  const documents: PreviewDocument[] = [];
  const { tokens: ids, labels, positions } = batch.columns;
  let at = 0;
  for (const [sequence, some] of batch.sequences.entries()) {
    const start = at;
    for (const [document, { row, length }] of some.entries()) {
      const tokens = Array.from({ length }, (_, t) => {
        const id = ids[at + t]!;
        return {
          position: positions[at + t]!,
          id,
          label: labels[at + t]!,
          piece: tokenizer.pieceOf(id) ?? "",
          isTrained: t > 0 && labels[at + t - 1] !== ignoreIndex,
        };
      });
      documents.push({ sequence, document, row, length, tokens });
      at += length;
    }
    const padding = batch.seqLen - (at - start);
    if (padding > 0)
      documents.push({ sequence, document: some.length, row: undefined, length: padding, tokens: [] });
  }
  return documents;
}

/** Runs of tokens that are all trained or all not. A character whose bytes lie in two runs shows as U+FFFD. */
function runs(document: PreviewDocument): PreviewToken[][] {
  const found: PreviewToken[][] = [];
  for (const token of document.tokens) {
    const last = found.at(-1);
    if (last?.[0]?.isTrained === token.isTrained) last.push(token);
    else found.push([token]);
  }
  return found;
}

export interface TextPreviewOptions {
  /** Marks trained text: colour, or brackets where there is none. */
  readonly mark: (text: string) => string;
  /** Shows what is said about a document. */
  readonly heading: (text: string) => string;
  /** FILE:LINE of a row. */
  readonly placeOf: (row: number) => string;
  /** Show so many documents; default all. */
  readonly documents?: number;
}

/** A batch for the terminal. */
export function previewText(batch: Batch, tokenizer: Tokenizer, options: TextPreviewOptions): string {
  const lines: string[] = [summary(batch), ""];
  const { documents: most = Infinity } = options;
  const all = previewDocuments(batch, tokenizer);
  for (const document of all.slice(0, most)) {
    const { length } = document;
    const where = `sequence ${document.sequence + 1}, document ${document.document + 1}`;
    if (document.row === undefined) {
      lines.push(options.heading(`${where}: padding, ${length} positions`), "");
      continue;
    }
    const trained = document.tokens.filter((token) => token.isTrained).length;
    lines.push(
      options.heading(`${where}: ${options.placeOf(document.row)}, ${length} tokens, ${trained} trained`),
      runs(document)
        .map((run) => {
          const text = tokenizer.decode(run.map(({ id }) => id));
          return run[0]!.isTrained ? text.split("\n").map(options.mark).join("\n") : text;
        })
        .join(""),
      "",
    );
  }
  if (all.length > most) lines.push(`… and ${all.length - most} more documents`, "");
  return lines.join("\n");
}

/** One line on a batch. */
export function summary(batch: Batch): string {
  const { length: size } = batch.sequences;
  const documents = batch.sequences.flat().length;
  const padding = paddingOf(batch);
  const share = ((100 * padding) / (size * batch.seqLen)).toFixed(1);
  const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? "" : "s"}`;
  return (
    `${counted(size, "sequence")} of ${batch.seqLen} positions: ${counted(documents, "document")}, ` +
    `${batch.columns.tokens.length} tokens, ${batch.trainedTokens} trained, ${padding} padding (${share} %)`
  );
}

const escapes: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const escapeHtml = (text: string): string => text.replace(/[&<>"]/g, (c) => escapes[c]!);

const pageStyle = `
:root { color-scheme: light dark; }
body { font: 14px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
`;
/** Nothing outside of the fragment is touched. */
const style = `
.forge-preview pre { white-space: pre-wrap; font: 13px/1.9 ui-monospace, monospace; border: 1px solid #8884; border-radius: 6px; padding: .7rem; }
.forge-preview pre span, .forge-preview mark { border-radius: 3px; color: inherit; background: none; box-shadow: 0 0 0 .5px #8886; }
.forge-preview mark { background: #2a94; box-shadow: 0 0 0 1px #2a9; }
.forge-preview h2 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
.forge-preview table { border-collapse: collapse; font: 12px ui-monospace, monospace; }
.forge-preview :is(td, th) { padding: 0 .8em 0 0; text-align: right; }
.forge-preview :is(td, th):last-child { text-align: left; }
`;

/** What is shown around the batches. */
interface PageOptions {
  readonly title: string;
  readonly placeOf: (row: number) => string;
}

/**
 * Batches as one page without outside resources. The ids themselves are in it as JSON, in the element `batches`: columns of
 * [B, S], sequence after sequence, and what documents they are.
 */
export function previewHtml(batches: readonly Batch[], tokenizer: Tokenizer, options: PageOptions): string {
  const data = batches.map((batch) => {
    const { sequences, seqLen, trainedTokens } = batch;
    return { sequences, seqLen, trainedTokens, ...mapColumns(padBatch(batch), (values) => [...values]) };
  });
  const json = JSON.stringify(data).replaceAll("<", "\\u003c");
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${escapeHtml(options.title)}</title><style>${pageStyle}</style></head>
<body>
${previewFragment(batches, tokenizer, options)}
<script type="application/json" id="batches">${json}</script>
</body></html>
`;
}

/**
 * Batches as part of a page. Trained tokens are `mark`s, which also shows where styles are taken out.
 * @param options.documents show so many documents of a batch; default all
 */
export function previewFragment(
  batches: readonly Batch[],
  tokenizer: Tokenizer,
  options: PageOptions & { readonly documents?: number },
): string {
  const { documents: most = Infinity } = options;
  const sections = batches.map((batch, i) => {
    const all = previewDocuments(batch, tokenizer);
    const parts = all.slice(0, most).map((document) => documentHtml(document, tokenizer, options.placeOf));
    if (all.length > most) parts.push(`<p>… and ${all.length - most} more documents.</p>`);
    const heading = batches.length > 1 ? `<h2>Batch ${i + 1}</h2>\n` : "";
    return `${heading}<p>${escapeHtml(summary(batch))}</p>\n${parts.join("\n")}`;
  });
  return `<div class="forge-preview"><style>${style}</style>
<p>${escapeHtml(options.title)}. Marked: <mark>trained tokens</mark>. Point at a token for its position, id and label.</p>
${sections.join("\n")}
</div>`;
}

function documentHtml(
  document: PreviewDocument,
  tokenizer: Tokenizer,
  placeOf: (row: number) => string,
): string {
  const where = `Sequence ${document.sequence + 1}, document ${document.document + 1}`;
  const { length } = document;
  if (document.row === undefined) return `<h2>${where}: padding, ${length} positions</h2>`;
  const spans = document.tokens.map((token) => {
    // A line break is shown as one, with a sign, inside its own token.
    const text = escapeHtml(tokenizer.decode([token.id])).replaceAll("\n", "↵\n");
    const title = escapeHtml(
      `position ${token.position}, id ${token.id} ${token.piece}, label ${token.label}`,
    );
    const tag = token.isTrained ? "mark" : "span";
    return `<${tag} title="${title}">${text}</${tag}>`;
  });
  const rows = document.tokens.map(
    ({ position, id, label, piece }) =>
      `<tr><td>${position}<td>${id}<td>${label === ignoreIndex ? "–" : label}<td>${escapeHtml(piece)}</tr>`,
  );
  const trained = document.tokens.filter((token) => token.isTrained).length;
  return `<h2>${where}: ${escapeHtml(placeOf(document.row))}, ${length} tokens, ${trained} trained</h2>
<pre>${spans.join("")}</pre>
<details><summary>ids and labels</summary><table><tr><th>position<th>id<th>label<th>token</tr>${rows.join("")}</table></details>`;
}
