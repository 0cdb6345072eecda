import charlsWasm from "@cornerstonejs/codec-charls/decodewasm?url";
import openJpegWasm from "@cornerstonejs/codec-openjpeg/decodewasm?url";

import { part } from "../part";

/** What a codestream says of its samples, which are decoded to bytes, or to words above 8 bits. */
export interface Coded {
  readonly bits: number;
  readonly signed: boolean;
  readonly lossy: boolean;
}

export const bytesOf = (bits: number): 1 | 2 => (bits > 8 ? 2 : 1);

export interface CodedFrame extends Coded {
  readonly bytes: Uint8Array;
  readonly components: number;
}

export interface WasmDecoder {
  getEncodedBuffer(length: number): Uint8Array;
  decode(): void;
  getDecodedBuffer(): Uint8Array;
  getFrameInfo(): { bitsPerSample: number; componentCount: number; isSigned?: boolean };
  /** Of JPEG 2000. */
  getIsReversible?(): boolean;
  /** Of JPEG-LS. */
  getNearLossless?(): number;
  delete(): void;
}

/** The decoders chat on the console about every header that they read. */
const silent = () => {};

const openJpeg = part(async () => {
  const { default: load } = await import("@cornerstonejs/codec-openjpeg/decodewasmjs");
  return load({ locateFile: () => openJpegWasm, print: silent, printErr: silent });
});

const charls = part(async () => {
  const { default: load } = await import("@cornerstonejs/codec-charls/decodewasmjs");
  return load({ locateFile: () => charlsWasm, print: silent, printErr: silent });
});

const lossless = part(() => import("@cornerstonejs/jpeg-lossless-decoder-js"));

/**
 * Load all decoders before they are needed.
 *
 * @throws PreviewError where one does not arrive.
 */
export async function loadDecoders(): Promise<void> {
  await Promise.all([openJpeg(), charls(), lossless()]);
}

/** JPEG 2000, by OpenJPEG. */
export async function decodeJpeg2000(frame: Uint8Array): Promise<CodedFrame> {
  const codec = await openJpeg();
  return decoded(new codec.J2KDecoder(), frame);
}

/** JPEG-LS, by CharLS. */
export async function decodeJpegLs(frame: Uint8Array): Promise<CodedFrame> {
  const codec = await charls();
  return decoded(new codec.JpegLSDecoder(), frame);
}

function decoded(decoder: WasmDecoder, frame: Uint8Array): CodedFrame {
  try {
    decoder.getEncodedBuffer(frame.length).set(frame);
    decoder.decode();
    const info = decoder.getFrameInfo();
    return {
      // A copy: the decoder's memory goes with it.
      bytes: decoder.getDecodedBuffer().slice(),
      bits: info.bitsPerSample,
      components: info.componentCount,
      signed: info.isSigned ?? false,
      lossy: !(decoder.getIsReversible?.() ?? decoder.getNearLossless?.() === 0),
    };
  } finally {
    decoder.delete();
  }
}

/** JPEG Lossless (process 14). */
export async function decodeJpegLossless(frame: Uint8Array, bits: number): Promise<Uint8Array> {
  const { Decoder } = await lossless();
  const whole = frame.slice();
  const decoder = new Decoder();
  const values = decoder.decode(whole.buffer, 0, whole.length, bytesOf(bits));
  // It leaves the point transform undone. Source: ITU-T T.81 H.1.2.1.
  const { al } = decoder.scan;
  if (al > 0)
    values.forEach((value, index) => {
      values[index] = value << al;
    });
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
