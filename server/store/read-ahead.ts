/** Passes batches on; while one is used the next is read already. What was read ahead is dropped when nobody wants more. */
export async function* readAhead<T>(batches: AsyncGenerator<T, void, void>): AsyncGenerator<T, void, void> {
  let next = batches.next();
  try {
    for (;;) {
      const { done, value } = await next;
      if (done === true) return;
      next = batches.next();
      // Whoever waits for it hears of it; when nobody does any more, nobody needs to.
      next.catch(() => undefined);
      yield value;
    }
  } finally {
    await batches.return();
  }
}
