import { sniff } from "./sniff";

const FRAME_HEADERS = new Set([
  0xc0, 0xc1, 0xc2, 0xc3, 0xc5, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcd, 0xce, 0xcf,
]);

/** Columns and rows of a PNG or JPEG by its header alone; null for anything else. */
export function dimensions(bytes: Uint8Array): string | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const format = sniff(bytes);
  if (format === "png" && bytes.length >= 24)
    return `${view.getUint32(16)} × ${view.getUint32(20)}`;
  if (format !== "jpeg") return null;
  // Source: ITU-T T.81 B.1: segments until the frame header.
  for (let at = 2; at + 9 < bytes.length; ) {
    if (view.getUint8(at) !== 0xff) return null;
    const marker = view.getUint8(at + 1);
    if (FRAME_HEADERS.has(marker)) return `${view.getUint16(at + 7)} × ${view.getUint16(at + 5)}`;
    at += 2 + view.getUint16(at + 2);
  }
  return null;
}
