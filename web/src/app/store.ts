const KEPT = "kept";

/** Keeps values in the browser, by their keys. Nothing of it is ever sent. */
export interface Store {
  readonly all: () => Promise<ReadonlyMap<string, unknown>>;
  readonly put: (key: string, value: unknown) => Promise<void>;
  readonly remove: (key: string) => Promise<void>;
  readonly erase: () => Promise<void>;
}

/**
 * @param isNew Make the database where there is none.
 * @returns null where there is none, or where the browser keeps nothing, as in some private windows.
 */
export async function openStore(name: string, isNew = true): Promise<Store | null> {
  let database: IDBDatabase | null;
  try {
    database = await opened(name, isNew);
  } catch {
    return null;
  }
  const run = async <T>(mode: IDBTransactionMode, act: (kept: IDBObjectStore) => IDBRequest<T>) => {
    database ??= await opened(name, true);
    return settled(act(database.transaction(KEPT, mode).objectStore(KEPT)));
  };
  return {
    all: async () => {
      const [keys, values] = await Promise.all([
        run("readonly", (kept) => kept.getAllKeys()),
        run("readonly", (kept) => kept.getAll()),
      ]);
      return new Map(keys.map((key, at) => [String(key), values[at] as unknown]));
    },
    put: async (key, value) => {
      await run("readwrite", (kept) => kept.put(value, key));
    },
    remove: async (key) => {
      await run("readwrite", (kept) => kept.delete(key));
    },
    erase: async () => {
      database?.close();
      database = null;
      await settled(indexedDB.deleteDatabase(name));
    },
  };
}

function opened(name: string, isNew: boolean): Promise<IDBDatabase> {
  const request = indexedDB.open(name, 1);
  request.onupgradeneeded = () => {
    if (isNew) request.result.createObjectStore(KEPT);
    // A database that is not made whole is not there afterwards.
    else request.transaction?.abort();
  };
  return settled(request);
}

const settled = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
