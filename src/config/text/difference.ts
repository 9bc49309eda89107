// One key in which two configurations differ: what changes() and diff() list.
/** A key whose value differs between two configurations. */
export interface Difference {
  key: string;
  before: unknown;
  after: unknown;
}
