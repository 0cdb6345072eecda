import { has } from "../sniff";

/** `other` is a JPEG that has no decoder here: of 12 bits, or arithmetically coded. */
type Family = "JPEG" | "JPEG Lossless" | "JPEG-LS" | "JPEG 2000" | "other";

interface Codestream {
  /** Null where it is none that is known here. */
  readonly family: Family | null;
  /** Of a sample; 0 where its decoder tells. */
  readonly bits: number;
}

const UNKNOWN: Codestream = { family: null, bits: 0 };
const JPEG_2000 = [0xff, 0x4f, 0xff, 0x51];
const JP2 = [0, 0, 0, 0x0c, 0x6a, 0x50, 0x20, 0x20, 0x0d, 0x0a, 0x87, 0x0a];
const JPEG = [0xff, 0xd8];
const START_OF_SCAN = 0xda;
/** Tables, which stand among the markers of frames. */
const NO_FRAMES: readonly number[] = [0xc4, 0xc8, 0xcc];
const JPEG_LS = 0xf7;
const LOSSLESS = 0xc3;
/** Baseline, extended and progressive: of 8 bits every browser reads them. */
const COMMON: readonly number[] = [0xc0, 0xc1, 0xc2];

/** Tell a codestream by its header. Source: ITU-T T.81 B.1.1 and B.2.2, T.87 C.2.2, T.800 A.4. */
export function codestreamOf(bytes: Uint8Array): Codestream {
  if (has(bytes, JPEG_2000) || has(bytes, JP2)) return { family: "JPEG 2000", bits: 0 };
  return has(bytes, JPEG) ? jpegOf(bytes) : UNKNOWN;
}

function jpegOf(bytes: Uint8Array): Codestream {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 2;
  while (at + 5 <= bytes.length && bytes[at] === 0xff) {
    const marker = bytes[at + 1] as number;
    if (marker === START_OF_SCAN) break;
    const isFrame = marker >> 4 === 0xc && !NO_FRAMES.includes(marker);
    if (isFrame || marker === JPEG_LS) return frameOf(marker, bytes[at + 4] as number);
    // A fill byte may stand before a marker.
    at += marker === 0xff ? 1 : 2 + view.getUint16(at + 2);
  }
  return UNKNOWN;
}

function frameOf(process: number, bits: number): Codestream {
  if (process === JPEG_LS) return { family: "JPEG-LS", bits };
  if (process === LOSSLESS) return { family: "JPEG Lossless", bits };
  return { family: COMMON.includes(process) && bits === 8 ? "JPEG" : "other", bits };
}
