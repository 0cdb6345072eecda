const DATABASE = "pneumoscope-trial";
const KEPT = "kept";

/** Keeps a trial in the browser, value by value. Nothing of it is ever sent. */
export interface Store {
  readonly all: () => Promise<ReadonlyMap<string, unknown>>;
  readonly put: (key: string, value: unknown) => Promise<void>;
  readonly erase: () => Promise<void>;
}

/** @returns null where the browser keeps nothing, as in some private windows. */
export async function openStore(): Promise<Store | null> {
  let database: IDBDatabase | null;
  try {
    database = await opened();
  } catch {
    return null;
  }
  const run = async <T>(mode: IDBTransactionMode, act: (kept: IDBObjectStore) => IDBRequest<T>) => {
    database ??= await opened();
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
    erase: async () => {
      database?.close();
      database = null;
      await settled(indexedDB.deleteDatabase(DATABASE));
    },
  };
}

function opened(): Promise<IDBDatabase> {
  const request = indexedDB.open(DATABASE, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(KEPT);
  return settled(request);
}

const settled = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
