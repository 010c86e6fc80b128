/**
 * Does `work` for every item, at most `most` at a time, in the order of the items. Rejects with the first error, when
 * the work that was begun has ended; no more is begun then.
 */
export async function forEachBounded<T>(
  items: Iterable<T>,
  most: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const left = items[Symbol.iterator]();
  let failure: { readonly error: unknown } | null = null;
  const worker = async (): Promise<void> => {
    for (let next = left.next(); !next.done && failure === null; next = left.next()) {
      try {
        await work(next.value);
      } catch (error) {
        failure ??= { error };
      }
    }
  };
  await Promise.all(Array.from({ length: most }, worker));
  const failed = failure as { readonly error: unknown } | null;
  if (failed) throw failed.error;
}
