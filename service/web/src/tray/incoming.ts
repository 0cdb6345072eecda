import { type ImageFormat, sniffFile } from "../images/sniff";

export interface IncomingFile {
  readonly file: File;
  readonly format: ImageFormat | null;
}

export interface Incoming {
  readonly files: readonly IncomingFile[];
  /** Files of a folder that are no images. */
  readonly skipped: number;
}

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
  for (let at = 0; at < files.length; at += PORTION) {
    const portion = files.slice(at, at + PORTION);
    const looked = await Promise.all(
      portion.map(async (file) => ({ file, format: await formatOf(file) })),
    );
    const kept = fromFolder ? looked.filter(({ format }) => format !== null) : looked;
    yield { files: kept, skipped: looked.length - kept.length };
  }
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
    if (entry?.isDirectory) yield* received(await walk(entry as FileSystemDirectoryEntry), true);
  }
}

/** Images of the clipboard. */
export function pasted(clipboard: DataTransfer | null): File[] {
  return clipboard ? [...clipboard.files] : [];
}

async function walk(folder: FileSystemDirectoryEntry): Promise<File[]> {
  const found: File[] = [];
  const reader = folder.createReader();
  for (;;) {
    // A browser hands out a folder in portions of a hundred.
    const entries = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (entries.length === 0) return found;
    for (const entry of entries) {
      if (entry.isDirectory) found.push(...(await walk(entry as FileSystemDirectoryEntry)));
      else found.push(await fileOf(entry as FileSystemFileEntry));
    }
  }
}

const fileOf = (entry: FileSystemFileEntry): Promise<File> =>
  new Promise((resolve, reject) => entry.file(resolve, reject));
