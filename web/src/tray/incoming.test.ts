import { expect, it } from "vitest";
import { dropped, type Incoming } from "./incoming";

const JPEG = new Uint8Array([0xff, 0xd8, 0xff, 0xe0]);

/** A file of a dropped folder; null content for one that cannot be read. */
function fileEntry(path: string, content: BlobPart | null) {
  const name = path.split("/").at(-1) ?? "";
  return {
    isDirectory: false,
    fullPath: path,
    file: (resolve: (file: File) => void, reject: (error: Error) => void) =>
      content === null ? reject(new Error("locked")) : resolve(new File([content], name)),
  };
}

/** A dropped folder that hands out its entries in portions; null where it breaks off. */
function folderEntry(...portions: (object[] | null)[]) {
  return {
    isDirectory: true,
    createReader: () => ({
      readEntries: (resolve: (entries: object[]) => void, reject: (error: Error) => void) => {
        const portion = portions.length > 0 ? portions.shift() : [];
        if (portion) resolve(portion);
        else reject(new Error("unreadable"));
      },
    }),
  };
}

const drop = (...entries: object[]): DataTransfer =>
  ({
    items: entries.map((entry) => ({
      kind: "file",
      webkitGetAsEntry: () => entry,
      getAsFile: () => null,
    })),
  }) as unknown as DataTransfer;

async function all(incoming: AsyncIterable<Incoming>): Promise<Incoming[]> {
  const found: Incoming[] = [];
  for await (const one of incoming) found.push(one);
  return found;
}

it("a dropped folder is walked to its depth, and each image keeps its path", async () => {
  const series = folderEntry([fileEntry("/study/b/1.dcm", JPEG)], [fileEntry("/study/b/n", "x")]);
  const study = folderEntry([fileEntry("/study/1.dcm", JPEG), series]);

  const [found] = await all(dropped(drop(study)));

  expect(found?.files.map(({ path }) => path)).toEqual(["study/1.dcm", "study/b/1.dcm"]);
  expect(found?.skipped).toBe(1);
});

it("what cannot be read is left out by itself", async () => {
  const locked = folderEntry(null);
  const study = folderEntry([
    fileEntry("/s/1", JPEG),
    fileEntry("/s/2", null),
    locked,
    fileEntry("/s/3", JPEG),
  ]);

  const [found] = await all(dropped(drop(study)));

  expect(found?.files.map(({ path }) => path)).toEqual(["s/1", "s/3"]);
  expect(found?.skipped).toBe(2);
});

it("the first images come before the folder is walked to its end", async () => {
  let handedOut = 0;
  const entries = Array.from({ length: 100 }, (_, at) => ({
    ...fileEntry(`/s/${at}`, JPEG),
    file: (resolve: (file: File) => void) => {
      handedOut++;
      resolve(new File([JPEG], String(at)));
    },
  }));

  const first = await dropped(drop(folderEntry(entries))).next();

  expect(first.value?.files).toHaveLength(24);
  expect(handedOut).toBeLessThan(30);
});
