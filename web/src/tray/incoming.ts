import { type ImageFormat, sniffFile } from "../images/sniff";

export interface IncomingFile {
  readonly file: File;
  /** The file's name, behind the folders that it came with. */
  readonly path: string;
  readonly format: ImageFormat | null;
}

export interface Incoming {
  readonly files: readonly IncomingFile[];
  /** Files of a folder that are no images or cannot be read. */
  readonly skipped: number;
}

/** A file and where it lay. */
export interface Located {
  readonly file: File;
  readonly path: string;
}

/** What a folder has at one place; null where the browser could not read it. */
type Found = Located | null;

/** The first images of a large folder show while the rest is still looked at. */
const PORTION = 24;

/**
 * Look at what was chosen. A file that was chosen by itself is kept whatever it is, so that the
 * service can say what is wrong with it; of a folder only images are kept.
 */
export async function* received(
  files: readonly File[],
  fromFolder: boolean,
): AsyncGenerator<Incoming> {
  const located = files.map((file) => ({ file, path: file.webkitRelativePath || file.name }));
  yield* lookedAt(located, fromFolder);
}

async function* lookedAt(
  found: Iterable<Found> | AsyncIterable<Found>,
  onlyImages: boolean,
): AsyncGenerator<Incoming> {
  for await (const portion of portions(found)) {
    const readable = portion.filter((one) => one !== null);
    const looked = await Promise.all(
      readable.map(async (one) => ({ ...one, format: await formatOf(one.file) })),
    );
    const kept = onlyImages ? looked.filter(({ format }) => format !== null) : looked;
    yield { files: kept, skipped: portion.length - kept.length };
  }
}

async function* portions<T>(all: Iterable<T> | AsyncIterable<T>): AsyncGenerator<T[]> {
  let portion: T[] = [];
  for await (const one of all) {
    portion.push(one);
    if (portion.length < PORTION) continue;
    yield portion;
    portion = [];
  }
  if (portion.length > 0) yield portion;
}

async function formatOf(file: File): Promise<ImageFormat | null> {
  try {
    return await sniffFile(file);
  } catch {
    return null;
  }
}

/** Everything that was dropped, folders walked to their depth. */
export function dropped(transfer: DataTransfer): AsyncGenerator<Incoming> {
  // The list is emptied when the event is over, so the entries are taken at once.
  const entries = [...transfer.items]
    .filter(({ kind }) => kind === "file")
    .map((item) => ({ entry: item.webkitGetAsEntry?.() ?? null, file: item.getAsFile() }));
  return lookedThrough(entries);
}

async function* lookedThrough(
  entries: readonly { entry: FileSystemEntry | null; file: File | null }[],
): AsyncGenerator<Incoming> {
  const alone = entries.flatMap(({ entry, file }) => (entry?.isDirectory || !file ? [] : [file]));
  yield* received(alone, false);
  for (const { entry } of entries) {
    if (entry?.isDirectory) yield* lookedAt(walk(entry as FileSystemDirectoryEntry), true);
  }
}

/** Images of the clipboard. */
export function pasted(clipboard: DataTransfer | null): File[] {
  return clipboard ? [...clipboard.files] : [];
}

/** What cannot be read is left out by itself: the rest of its folder still comes. */
async function* walk(folder: FileSystemDirectoryEntry): AsyncGenerator<Found> {
  const reader = folder.createReader();
  for (;;) {
    // A browser hands out a folder in portions of a hundred.
    const entries = await portionOf(reader);
    if (entries === null) yield null;
    if (entries === null || entries.length === 0) return;
    for (const entry of entries) {
      if (entry.isDirectory) yield* walk(entry as FileSystemDirectoryEntry);
      else yield await located(entry as FileSystemFileEntry);
    }
  }
}

const portionOf = (reader: FileSystemDirectoryReader): Promise<FileSystemEntry[] | null> =>
  new Promise((resolve) => reader.readEntries(resolve, () => resolve(null)));

const located = (entry: FileSystemFileEntry): Promise<Found> =>
  new Promise((resolve) => {
    const path = entry.fullPath.replace(/^\//, "");
    entry.file(
      (file) => resolve({ file, path }),
      () => resolve(null),
    );
  });
