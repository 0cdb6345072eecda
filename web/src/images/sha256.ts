/**
 * The SHA-256 of bytes as 64 hexadecimal digits. Source: FIPS 180-4.
 *
 * The browser's own is used where it is: over plain HTTP to another machine it is not.
 */
export async function sha256(bytes: Uint8Array): Promise<string> {
  const { subtle } = globalThis.crypto ?? {};
  if (!subtle) return sha256Here(bytes);
  return hex(new Uint8Array(await subtle.digest("SHA-256", bytes as BufferSource)));
}

const hex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

const PRIMES = firstPrimes(64);
/** The first 32 bits of the fractional parts of the roots of the first primes. */
const K = Uint32Array.from(PRIMES, (prime) => fraction(Math.cbrt(prime)));
const START = Uint32Array.from(PRIMES.slice(0, 8), (prime) => fraction(Math.sqrt(prime)));

export function sha256Here(bytes: Uint8Array): string {
  const blocks = (bytes.length + 9 + 63) >> 6;
  const state = START.slice();
  const words = new Uint32Array(64);
  const tail = new Uint8Array(128);
  const whole = bytes.length >> 6;
  tail.set(bytes.subarray(whole << 6));
  tail[bytes.length - (whole << 6)] = 0x80;
  const tailView = new DataView(tail.buffer);
  const tailSize = (blocks - whole) << 6;
  tailView.setUint32(tailSize - 8, Math.floor(bytes.length / 2 ** 29));
  tailView.setUint32(tailSize - 4, (bytes.length << 3) >>> 0);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let block = 0; block < blocks; block++) {
    const isTail = block >= whole;
    compress(state, words, isTail ? tailView : view, isTail ? (block - whole) << 6 : block << 6);
  }
  return Array.from(state, (word) => word.toString(16).padStart(8, "0")).join("");
}

const right = (word: number, by: number): number => (word >>> by) | (word << (32 - by));

function compress(state: Uint32Array, words: Uint32Array, view: DataView, from: number): void {
  for (let t = 0; t < 16; t++) words[t] = view.getUint32(from + t * 4);
  const w = (t: number) => words[t] as number;
  for (let t = 16; t < 64; t++) {
    const small0 = right(w(t - 15), 7) ^ right(w(t - 15), 18) ^ (w(t - 15) >>> 3);
    const small1 = right(w(t - 2), 17) ^ right(w(t - 2), 19) ^ (w(t - 2) >>> 10);
    words[t] = w(t - 16) + small0 + w(t - 7) + small1;
  }
  let [a, b, c, d, e, f, g, h] = state as unknown as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  for (let t = 0; t < 64; t++) {
    const big1 = right(e, 6) ^ right(e, 11) ^ right(e, 25);
    const one = (h + big1 + ((e & f) ^ (~e & g)) + (K[t] as number) + w(t)) | 0;
    const big0 = right(a, 2) ^ right(a, 13) ^ right(a, 22);
    const two = (big0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + one) | 0, c, b, a, (one + two) | 0];
  }
  for (const [at, value] of [a, b, c, d, e, f, g, h].entries()) {
    state[at] = (state[at] as number) + value;
  }
}

function firstPrimes(count: number): number[] {
  const primes: number[] = [];
  for (let candidate = 2; primes.length < count; candidate++) {
    if (primes.every((prime) => candidate % prime !== 0)) primes.push(candidate);
  }
  return primes;
}

function fraction(root: number): number {
  return Math.floor((root - Math.floor(root)) * 2 ** 32);
}
