// Where a stream's rows lie, as a saved position knows them, and the positions of another number of ranks. Shards are divided among
// the ranks where they divide evenly and all their rows are read, else each rank takes every worldSize-th row of all of them
// (source/stream.ts).
/** A row of a stream. */
export interface StreamPlace {
  readonly epoch: number;
  readonly shard: number;
  /** Within its shard, from 0. */
  readonly row: number;
  /** Rows of the stream before it in this epoch, as this rank has counted them. */
  readonly index: number;
}

/** Of a data position, what a stream adds. */
export interface StreamState {
  readonly shards: number;
  /** Rows of an epoch, at most; null: all there are. */
  readonly limit?: number | null;
  /** The next row to read. */
  readonly next: StreamPlace;
  /** The rows of the buffer. */
  readonly waiting: readonly StreamPlace[];
  /**
   * Rows of this epoch that ranks had read before their number changed: how many of the first ones of a shard, by its number;
   * -1: all.
   */
  readonly read: Readonly<Record<string, number>>;
}

/** A rank's position before the number of ranks changed. */
interface RankPosition {
  readonly rank: number;
  readonly worldSize: number;
  readonly stream: StreamState;
}

/** Whether each rank has shards of its own. Where rows are limited it can't: which ones are the first is known by counting them all. */
export const ownShards = (
  { shards, limit }: Pick<StreamState, "shards" | "limit">,
  worldSize: number,
): boolean => shards % worldSize === 0 && (limit ?? null) === null;

/**
 * Where `worldSize` ranks go on: no row is left out; those that waited in the old ranks' buffers and, where ranks took every
 * n-th row, the few that some had read before others, come again.
 */
export function reshardStream(states: readonly RankPosition[]): StreamState {
  const { shards, limit = null } = states[0]!.stream;
  const earliest = states.map(({ stream: { next, waiting } }) => waiting[0] ?? next);
  const epoch = Math.min(...earliest.map((place) => place.epoch));
  const begin: StreamPlace = { epoch, shard: 0, row: 0, index: 0 };
  const read: Record<string, number> = {
    ...states.find(({ stream }) => stream.next.epoch === epoch)?.stream.read,
  };
  if (ownShards({ shards, limit }, states.length)) {
    for (const [i, { rank, worldSize }] of states.entries()) {
      const place = earliest[i]!;
      for (let shard = rank; shard < shards; shard += worldSize)
        if (place.epoch > epoch || shard < place.shard) read[shard] = -1;
        else if (shard === place.shard && place.row > 0) read[shard] = Math.max(place.row, read[shard] ?? 0);
    }
    return { shards, limit, next: begin, waiting: [], read };
  }
  const first = earliest
    .filter((place) => place.epoch === epoch)
    .reduce((a, b) => (b.shard < a.shard || (b.shard === a.shard && b.row < a.row) ? b : a));
  for (let shard = 0; shard < first.shard; shard++) read[shard] = -1;
  if (first.row > 0) read[first.shard] = Math.max(first.row, read[first.shard] ?? 0);
  return { shards, limit, next: begin, waiting: [], read };
}
