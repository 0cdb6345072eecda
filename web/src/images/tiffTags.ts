const ORIENTATION = 274;
const UPRIGHT = 1;
const ENTRY_BYTES = 12;
const MOST_PAGES = 4096;

/**
 * A copy of a TIFF whose pages all say that they are upright.
 *
 * The decoder refuses any other page; the caller turns the pixels. Source: TIFF 6.0, section 2.
 */
export function withoutOrientations(bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  const view = new DataView(copy.buffer);
  const little = bytes[0] === 0x49;
  let page = view.getUint32(4, little);
  for (let pages = 0; page !== 0 && page + 2 <= copy.length && pages < MOST_PAGES; pages++) {
    const entries = view.getUint16(page, little);
    const end = page + 2 + entries * ENTRY_BYTES;
    if (end + 4 > copy.length) break;
    for (let entry = page + 2; entry < end; entry += ENTRY_BYTES) {
      if (view.getUint16(entry, little) === ORIENTATION) {
        view.setUint16(entry + 8, UPRIGHT, little);
      }
    }
    page = view.getUint32(end, little);
  }
  return copy;
}
