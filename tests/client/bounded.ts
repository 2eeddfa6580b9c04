/** Runs a test's body and fails it when it takes longer than 30 s: nothing that these tests await may hang. */
export function bounded(body: () => Promise<void>): () => Promise<void> {
  return async () => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error("The test took over 30 s")), 30_000);
    });
    try {
      await Promise.race([body(), late]);
    } finally {
      clearTimeout(timer);
    }
  };
}
